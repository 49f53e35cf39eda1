"""Why a mapping cannot be: AWS's text, and where in the settings the reason is."""

from typing import Any

from router.model.errors import RouterError

Settings = dict[str, Any]
"""Members of CreateEventSourceMapping or UpdateEventSourceMapping, in the API's form."""


class Refusal(RouterError):
    """One thing that is wrong. `path` leads to it through the settings, in the API's names."""

    code = "mapping_refused"

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Conflict(Refusal):
    """Another mapping stands in the way."""

    code = "mapping_conflict"


def unsupported(name: str, *path: str | int, hint: str = "") -> Refusal:
    """A setting the kind of source does not take. `name` is the API's, `hint` our own advice."""
    text = f"Unsupported '{lower(name)}' parameter for given event source mapping type."
    return Refusal(f"{text} {hint}" if hint else text, *(path or (name,)))


def missing(name: str, *path: str | int) -> Refusal:
    """A setting the kind of source needs."""
    return Refusal(f"Required '{lower(name)}' parameter is missing.", *(path or (name,)))


def not_here(what: str, *path: str | int) -> Refusal:
    """Something Lambda has and this router has not yet. `what` ends with `is` or `are`."""
    return Refusal(f"{what} not supported by this version of Event Router yet.", *path)


def lower(name: str) -> str:
    """A name as AWS's texts write it: only its first letter is lowered."""
    return name[:1].lower() + name[1:]
