"""Resource policies: statements from what callers give, documents from statements (5.5)."""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from router.model.errors import RouterError
from router.model.permission import Permission
from router.model.version import LATEST
from router.store.catalog import own_name

POLICY_BYTES_MAX: Final = 20_480
"""Longest policy (Lambda quota)."""

_SERVICE: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:\S+")

_CONDITIONS: Final = (
    ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
    ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
    ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
    ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
)
"""Member given → operator and key of the condition it becomes."""


class BadPrincipal(RouterError):
    """The principal is none."""

    code = "bad_principal"


def statement_of(sid: str, resource_arn: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The statement that AddPermission's members make. Raises `BadPrincipal`.

    Action and condition values are texts, never lists: clients read them so.
    """
    conditions: dict[str, dict[str, str]] = {}
    for member, operator, key in _CONDITIONS:
        if given.get(member):
            conditions.setdefault(operator, {})[key] = given[member]
    if given.get("InvokedViaFunctionUrl"):
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": _principal(given["Principal"]),
        "Action": given["Action"],
        "Resource": resource_arn,
    }
    return {**statement, "Condition": conditions} if conditions else statement


def _principal(text: str) -> str | dict[str, str]:
    if text == "*":
        return text
    if re.fullmatch(r"\d{12}", text, re.ASCII):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if _ARN.fullmatch(text):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise BadPrincipal(
        "The provided principal was invalid. Please check the principal and try again."
    )


def policy_prefix(function: str, qualifier: str | None) -> str:
    """How the names of all permissions of a policy begin."""
    return f"{own_name(function, qualifier or LATEST)}:"


def permission_name(permission: Permission) -> str:
    """A permission's name in the catalog."""
    return policy_prefix(permission.function, permission.qualifier) + permission.sid


def policy_of(
    permissions: Mapping[str, Permission], function: str, qualifier: str | None
) -> list[Permission]:
    """The statements of one policy, in order; none where there is no policy."""
    start = policy_prefix(function, qualifier)
    found = [it for name, it in permissions.items() if name.startswith(start)]
    return sorted(found, key=lambda permission: (permission.place, permission.sid))


def document_of(policy: Iterable[Permission]) -> str:
    """A policy as its readers get it: JSON."""
    statements = [permission.statement for permission in policy]
    document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return orjson.dumps(document).decode()


def revision_of(policy: Iterable[Permission]) -> str:
    """A policy's RevisionId: another one for other statements."""
    digest = hashlib.sha256(document_of(policy).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
