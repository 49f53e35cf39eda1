"""The ways to name a function (`functions-and-invocation.md` 3.2)."""

import re

import msgspec

from router.template.names import Surroundings
from router.template.properties import Properties

_FORM = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


class FunctionRef(msgspec.Struct, frozen=True):
    """A function by its bare name, and the qualifier when one was given."""

    name: str
    qualifier: str | None


def parse_function_ref(
    properties: Properties, name: str, around: Surroundings
) -> FunctionRef | None:
    """The function a property names; None after a problem."""
    text = properties.text(name, length_max=256)
    found = _FORM.fullmatch(text)
    if found is None:
        if text:
            properties.problem(name, f"{text!r} is not the name or ARN of a function")
        return None
    region, account = found["region"] or around.region, found["account"] or around.account
    if (region, account) != (around.region, around.account):
        here = f"{around.region} and {around.account}"
        properties.problem(name, f"{text!r} is not of this region and account", f"use {here}")
        return None
    return FunctionRef(found["name"], found["qualifier"])
