"""Function names as callers write them: bare, partial or whole ARNs, with or without qualifier.

`functions-and-invocation.md` 3.2.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.model.arn import function_arn

REMEMBERED_CHARACTERS_MAX: Final = 256
"""Longest reference that may be one: an ARN with a name of 64 has half of it."""

NAME_LENGTH_MAX: Final = 64
"""Longest bare function name (Lambda quota)."""

_REFERENCE: Final = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?"
    r"(?:(?P<region>[a-z]{2}[a-z-]*-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)


class FunctionRef(msgspec.Struct, frozen=True):
    """A function somebody named."""

    name: str
    qualifier: str | None
    region: str
    account: str

    def arn(self, qualifier: str | None = None) -> str:
        """The ARN as asked for, or with a qualifier put in."""
        return function_arn(self.region, self.account, self.name, qualifier or self.qualifier)

    @property
    def unqualified_arn(self) -> str:
        """The ARN of the function itself."""
        return function_arn(self.region, self.account, self.name)


def parse_ref(context: Context, text: str, qualifier: str | None = None) -> FunctionRef:
    """What a FunctionName and a Qualifier mean together. Raises `ApiError`."""
    parts = _parts(text) if len(text) <= REMEMBERED_CHARACTERS_MAX else None
    if parts is None:
        raise invalid(f"Invalid function name: {text[:256]}")
    region, account, name, inside = parts
    if region is not None and region != context.region:
        raise not_found(
            f"Functions from '{region}' are not reachable in this region ('{context.region}')"
        )
    if account is not None and account != context.account:
        text = f"Functions of account '{account}' are not reachable in '{context.account}'"
        raise ApiError("AccessDeniedException", text, status=403, kind=None)
    if inside is not None and qualifier is not None and inside != qualifier:
        raise invalid(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return FunctionRef(name, qualifier or inside, context.region, context.account)


def is_bare(text: str) -> bool:
    """Whether it is a function's name and nothing more."""
    return len(text) <= NAME_LENGTH_MAX and _parts(text) == (None, None, text, None)


@lru_cache(maxsize=2_048)
def _parts(text: str) -> tuple[str | None, str | None, str, str | None] | None:
    """Region, account, name and qualifier; the same few are asked for again and again."""
    match = _REFERENCE.fullmatch(text)
    return match and (match["region"], match["account"], match["name"], match["qualifier"])


def invalid(message: str) -> ApiError:
    """400 InvalidParameterValueException."""
    return ApiError("InvalidParameterValueException", message)


def not_found(message: str) -> ApiError:
    """404 ResourceNotFoundException."""
    return ApiError("ResourceNotFoundException", message)


def conflict(message: str) -> ApiError:
    """409 ResourceConflictException."""
    return ApiError("ResourceConflictException", message)


def not_yet(what: str) -> ApiError:
    """400: something Lambda has and this router has not yet."""
    return invalid(f"{what} not supported by this version of Event Router yet.")
