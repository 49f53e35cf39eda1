"""`AWS::Lambda::EventInvokeConfig`: how a version or alias is invoked when nobody waits."""

import re
from collections.abc import Callable
from typing import Any

from router.model.destination import is_invocation_destination, parse_destination
from router.model.event_invoke import (
    EVENT_AGE_S_MAX,
    EVENT_AGE_S_MIN,
    RETRIES_MAX,
    EventInvoke,
)
from router.store.catalog import own_name
from router.template.properties import Properties
from router.template.resources.alias import ALIAS_PATTERN
from router.template.resources.base import At, Draft, version_token
from router.template.resources.function_ref import parse_function_ref

QUALIFIER = re.compile(rf"\$LATEST|[0-9]+|{ALIAS_PATTERN}|{version_token('[a-zA-Z0-9]+')}")
"""An alias, a version as templates name it, or what stands for its number."""


class EventInvokeConfig:
    """One config."""

    name = "AWS::Lambda::EventInvokeConfig"
    effect = ""

    _PROPERTIES = (
        "FunctionName",
        "Qualifier",
        "MaximumRetryAttempts",
        "MaximumEventAgeInSeconds",
        "DestinationConfig",
    )

    def ref(self, at: At) -> str:
        """A name of its own, as CloudFormation makes one."""
        return f"{at.given_text('FunctionName')}|{at.given_text('Qualifier')}"

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:  # noqa: ARG002  it has none
        """None."""
        return {}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the config."""
        properties.check_known(self._PROPERTIES, self.name)
        if not properties.require("FunctionName", "Qualifier"):
            return
        qualifier = properties.text("Qualifier", pattern=QUALIFIER.pattern, length_max=128)
        found = parse_function_ref(properties, "FunctionName", at.surroundings)
        destinations = _destinations(properties, found.name if found else "")
        has_retries = "MaximumRetryAttempts" in properties
        has_age = "MaximumEventAgeInSeconds" in properties
        retries = properties.integer("MaximumRetryAttempts", 0, RETRIES_MAX, RETRIES_MAX)
        age_s = properties.integer(
            "MaximumEventAgeInSeconds", EVENT_AGE_S_MIN, EVENT_AGE_S_MAX, EVENT_AGE_S_MAX
        )
        if found is None or not qualifier:
            return
        name = own_name(found.name, qualifier)
        if name in draft.event_invokes:
            properties.problem("Qualifier", f"{found.name} has two configs for {qualifier}")
        draft.event_invokes[name] = EventInvoke(
            function=found.name,
            qualifier=qualifier,
            retries_max=retries if has_retries else None,
            age_s_max=age_s if has_age else None,
            on_success=destinations.get("OnSuccess"),
            on_failure=destinations.get("OnFailure"),
            last_modified_ms=0,
            owner=at.owner,
        )


def _destinations(properties: Properties, function: str) -> dict[str, str]:
    """By member, what is given and can be one."""
    section = properties.section("DestinationConfig")
    if section is None:
        return {}
    section.check_known(("OnSuccess", "OnFailure"), "DestinationConfig")
    found = {}
    for member in ("OnSuccess", "OnFailure"):
        inner = section.section(member)
        if inner is None:
            continue
        inner.check_known(("Destination",), member)
        text = inner.text("Destination", length_max=350)
        if not text:
            continue
        if not is_invocation_destination(text, is_failure=member == "OnFailure"):
            inner.problem(
                "Destination",
                f"{text} is no standard queue or topic, function or event bus"
                + (", nor a bucket" if member == "OnFailure" else ""),
            )
        elif (it := parse_destination(text)).kind == "function" and it.name == function:
            inner.problem("Destination", "a function cannot be a destination for itself")
        else:
            found[member] = text
    return found
