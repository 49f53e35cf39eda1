"""Who may use a function: a statement of a resource policy (`functions-and-invocation.md` 5.5)."""

from typing import Any

import msgspec

from router.model.resources import Owner


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. All of a function and qualifier are its policy."""

    function: str
    qualifier: str
    """A version, an alias, or `$LATEST` for the function itself, as it is asked for without one."""
    sid: str
    statement: dict[str, Any]
    """As the policy shows it."""
    place: int
    """Where it stands in the policy: statements are in the order they were added."""
    owner: Owner | None = None
