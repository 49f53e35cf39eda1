"""Published versions of a function, and its aliases (`functions-and-invocation.md` 4.4, 5.2)."""

import msgspec

from router.model.resources import Function, Owner


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A function as it was when it was published; nothing of it changes any more.

    Only the code it shows may differ from the function's: never a folder used in place, whose
    files change, but a snapshot of it.
    """

    number: int
    """From 1; a function never gives a number twice."""
    function: Function
    """With the version's revision and time; without tags and owner, the function's own."""
    description: str = ""
    """As given when it was published; else the function's."""
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
