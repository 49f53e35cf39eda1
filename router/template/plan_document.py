"""A plan for programs. Apart from `render`, whose library a router that runs need not load."""

from typing import Any

import msgspec

from router.template.plan import Plan, PlannedChange


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as plain data, without what is committed."""
    document: dict[str, Any] = msgspec.to_builtins(
        {name: getattr(plan, name) for name in ("stack", "changes", "outputs", "warnings")}
    )
    return document | {"refused": len(plan.refused), "empty": plan.is_empty}


def plan_of(document: dict[str, Any]) -> Plan:
    """The plan a document shows; what would be committed is not in it."""
    return Plan(
        stack=document["stack"],
        changes=msgspec.convert(document["changes"], tuple[PlannedChange, ...]),
        outputs=document["outputs"],
        warnings=tuple(document["warnings"]),
    )
