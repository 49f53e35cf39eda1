"""A plan: what applying a desired state would change, and what of it must not be."""

from typing import Literal

import msgspec

from router.model.errors import Conflict
from router.store.base import Change
from router.template.differences import Difference

Action = Literal["create", "update", "replace", "delete", "keep"]


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One resource: what happens to it and why. `refusal` says why it must not."""

    action: Action
    kind: str
    name: str
    logical_id: str
    differences: tuple[Difference, ...] = ()
    reason: str = ""
    refusal: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything applying a desired state would do."""

    stack: str
    changes: tuple[PlannedChange, ...]
    outputs: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    catalog_changes: tuple[Change, ...] = ()
    """What is committed; empty when something is refused."""

    @property
    def refused(self) -> tuple[PlannedChange, ...]:
        """Changes that must not be made."""
        return tuple(change for change in self.changes if change.refusal)

    @property
    def is_empty(self) -> bool:
        """Whether everything is as it shall be."""
        return all(change.action == "keep" and not change.refusal for change in self.changes)


class PlanRefused(Conflict):
    """A plan that must not be applied; nothing was changed."""

    code = "plan_refused"

    def __init__(self, plan: Plan) -> None:
        """The text has one line for each refusal."""
        lines = [f"{it.kind} {it.logical_id or it.name}: {it.refusal}" for it in plan.refused]
        super().__init__("\n".join(lines))
        self.plan = plan
