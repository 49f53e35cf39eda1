"""Published versions of a function, and its aliases (`functions-and-invocation.md` 4.4, 5.2)."""

from typing import Final

import msgspec

from router.model.resources import Function, Owner

LATEST: Final = "$LATEST"
"""The version that is not published."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A function as it was when it was published; nothing of it changes any more.

    Its code is never a folder used in place, whose files change, but a snapshot of it.
    """

    number: int
    """From 1; a function never gives a number twice."""
    function: Function
    """With description, revision and time of the version; without what is the function's own."""
    described: str = ""
    """The function's description when this was published."""
    owner: Owner | None = None


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name for a version, or for two of which one gets a share."""

    function: str
    name: str
    version: str
    """A number, or `$LATEST`."""
    weights: dict[str, float] = {}
    """Version → its share of the invocations, 0 to 1: one at most; the rest goes to `version`."""
    description: str = ""
    revision_id: str
    owner: Owner | None = None
