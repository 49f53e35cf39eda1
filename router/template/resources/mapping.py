"""`AWS::Lambda::EventSourceMapping`: the API's rules, said at the template's lines.

What a mapping may be is `mapping.rules`; here are names, lines and what a template writes in its
own way (`event-source-mappings.md` 1.2, 1.3).
"""

import math
from collections.abc import Callable
from typing import Any

from router.mapping.rules import check, neighbours
from router.mapping.rules.destination import is_of_router
from router.mapping.rules.fields import FIELDS
from router.mapping.rules.refusal import Refusal, Settings
from router.mapping.rules.settings import with_settings
from router.mapping.rules.source import source_kind
from router.model.arn import ArnError, mapping_arn, parse_arn
from router.model.resources import Mapping
from router.model.source_kind import SourceKind
from router.template.names import mapping_uuid
from router.template.parameters import as_text
from router.template.properties import Properties
from router.template.resources.base import At, Draft
from router.template.resources.function_ref import FunctionRef, parse_function_ref
from router.template.resources.mapping_settings import note, read_settings, written

_TIMESTAMP = "StartingPositionTimestamp"

_PROPERTIES = (
    "FunctionName",
    "Enabled",
    "Tags",
    _TIMESTAMP,
    *(written(name) for name in FIELDS),
)

_NO_TIME_IS_LATER = math.inf
"""When a template is read nobody knows when it is applied; `planning` asks then."""


class EventSourceMapping:
    """A mapping."""

    name = "AWS::Lambda::EventSourceMapping"
    effect = ""

    def ref(self, at: At) -> str:
        """The mapping's UUID."""
        return mapping_uuid(at.surroundings.stack, at.logical_id)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Id, EventSourceMappingArn."""
        around = at.surroundings
        return {
            "Id": lambda: self.ref(at),
            "EventSourceMappingArn": lambda: mapping_arn(
                around.region, around.account, self.ref(at)
            ),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the mapping."""
        properties.check_known(_PROPERTIES, self.name)
        properties.require("FunctionName")
        function = FunctionRef("", None)
        if "FunctionName" in properties:
            found = parse_function_ref(properties, "FunctionName", at.surroundings)
            function = found or function
        settings = read_settings(properties)
        _read_timestamp(properties, settings)
        mapping = Mapping(
            uuid=self.ref(at),
            name=at.logical_id,
            function=function.name,
            qualifier=function.qualifier,
            is_enabled=properties.boolean("Enabled", default=True),
            last_modified_ms=0,
            tags=properties.tags(),
            owner=at.owner,
        )
        kind = _check(properties, settings)
        if kind is None:
            return
        if kind is SourceKind.WEBHOOK:
            _check_here(at, properties, settings["EventSourceArn"], "EventSourceArn")
        mapping = with_settings(mapping, kind, settings)
        _check_destination_here(at, properties, mapping)
        if other := neighbours.find_duplicate(mapping, draft.mappings.values()):
            text = f"{other.name} maps the same source to the same function"
            properties.problem("EventSourceArn" if mapping.event_source_arn else "Topics", text)
        if "Enabled" not in properties:
            draft.enabled_unset.append(mapping.uuid)
        draft.mappings[mapping.uuid] = mapping


def _check(properties: Properties, settings: Settings) -> SourceKind | None:
    """The kind of source, with all that the rules have against it said; None when there is none.

    What reading has said something about already is not spoken of again; what is sound and not
    here yet is said when nothing else is wrong.
    """
    said = {name for name in settings.keys() | FIELDS if properties.has_problem(written(name))}
    try:
        kind = source_kind(settings)
    except Refusal:
        kind = None
    problems = [*check.problems(settings, _NO_TIME_IS_LATER)]
    if kind is not None and not problems and not said:
        problems = [*check.later(kind, settings)]
    for problem in problems:
        if not problem.path or problem.path[0] not in said:
            note(properties, problem)
    return kind


def _check_here(at: At, properties: Properties, text: str, *path: str) -> None:
    around = at.surroundings
    try:
        arn = parse_arn(text)
    except ArnError:
        hint = "use !GetAtt of an AWS::SQS::Queue, such as !GetAtt Failed.Arn"
        properties.problem_at(path, f"{text!r} is not an ARN", hint)
        return
    if (arn.region, arn.account) != (around.region, around.account):
        here = f"use {around.region} and {around.account}"
        properties.problem_at(path, f"{arn} is not of this region and account", here)


def _check_destination_here(at: At, properties: Properties, mapping: Mapping) -> None:
    """A queue or function of this router; what is none was refused before."""
    destination = mapping.destination_arn
    if destination and is_of_router(destination, has_queues=at.surroundings.has_queues):
        path = ("DestinationConfig", "OnFailure", "Destination")
        _check_here(at, properties, destination, *path)


def _read_timestamp(properties: Properties, settings: Settings) -> None:
    """Unix time in seconds, as a number or as text."""
    given = properties.raw(_TIMESTAMP)
    if given is None:
        return
    try:
        timestamp_s = float(as_text(given))
    except ValueError:
        timestamp_s = math.nan
    if not abs(timestamp_s) < 1e12:
        properties.problem(_TIMESTAMP, "must be Unix time in seconds")
        return
    settings[_TIMESTAMP] = timestamp_s
