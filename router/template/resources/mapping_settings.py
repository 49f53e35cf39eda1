"""The settings of a mapping as a template writes them, read into the API's form.

Types and bounds are the API's (`mapping.rules.fields`); a few names differ.
"""

import re
from typing import Any, Final

from router.mapping.rules.fields import FIELDS, Block, Field, Flag, Integer, ListOf, Text
from router.mapping.rules.filters import InvalidFilter
from router.mapping.rules.refusal import Refusal, Settings
from router.mapping.rules.source import UNRECOGNIZED
from router.template.problems import Path
from router.template.properties import Properties

WRITTEN: Final = {
    "KMSKeyArn": "KmsKeyArn",
    "KAFKA_BOOTSTRAP_SERVERS": "KafkaBootstrapServers",
}
"""Members whose name in templates is another one than the API's."""

_EXTRA: Final = {"OnFailure": ("Type",)}
"""What SAM writes beside the API's members, and has settled by itself."""

_WRONG: Final = -(10**12)
"""Of a number that was a problem."""

SOURCE_HINT: Final = (
    "use !GetAtt of a Router::Webhook or an AWS::SQS::Queue, such as !GetAtt Jobs.Arn"
)


def written(name: str) -> str:
    """A member's name in templates."""
    return WRITTEN.get(name, name)


def read_settings(properties: Properties) -> Settings:
    """What the template sets, with problems noted where they are; those members are left out."""
    return _read(properties, FIELDS)


def note(properties: Properties, problem: Refusal) -> None:
    """Say a refusal at its place in the template."""
    path: Path = tuple(written(part) if isinstance(part, str) else part for part in problem.path)
    text, hint = problem.message, ""
    if isinstance(problem, InvalidFilter):
        text = f"is not a filter pattern: {problem.reason}"
    elif text == UNRECOGNIZED:
        text, hint = "is not an event source", SOURCE_HINT
        if "EventSourceArn" not in properties and "SelfManagedEventSource" not in properties:
            text = "is required"
    properties.problem_at(path, text, hint)


def _read(properties: Properties, fields: dict[str, Field]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if properties.raw(written(name)) is not None:
            value = _value(properties, written(name), field)
            if value is not None:
                values[name] = value
    return values


def _value(properties: Properties, name: str, field: Field) -> Any:
    """One value; None after a problem."""
    match field:
        case Flag():
            return properties.boolean(name)
        case Integer(least, most):
            number = properties.integer(name, least, most, _WRONG)
            return None if number == _WRONG else number
        case Text():
            return _text(properties, name, field)
        case ListOf():
            return _list(properties, name, field)
        case Block():
            section = properties.section(name)
            return None if section is None else _block(section, field, name)


def _block(section: Properties, block: Block, name: str) -> dict[str, Any]:
    known = [written(member) for member in block.members]
    section.check_known((*known, *_EXTRA.get(name, ())), name)
    section.require(*block.required)
    return _read(section, block.members)


def _text(properties: Properties, name: str, field: Text) -> str | None:
    if name == "Pattern" and isinstance(properties.raw(name), dict):
        hint = "write the pattern as JSON in a text: Pattern: '{\"body\": {…}}'"
        properties.problem(name, "must be text", hint)
        return None
    text = properties.text(
        name, length_max=field.length_max, pattern=field.pattern, choices=field.choices
    )
    return text or None


def _list(properties: Properties, name: str, field: ListOf) -> list[Any]:
    items: list[Any]
    if isinstance(field.item, Block):
        items = [_block(section, field.item, name) for section in properties.sections(name)]
    else:
        items = list(properties.texts(name, choices=field.item.choices))
        for text in items:
            _check_item(properties, name, text, field.item)
    if len(items) > field.items_max:
        least = "item" if field.items_max == 1 else "items"
        properties.problem(name, f"takes at most {field.items_max} {least}")
    return items


def _check_item(properties: Properties, name: str, text: str, field: Text) -> None:
    if len(text) > field.length_max:
        properties.problem(name, f"is longer than {field.length_max} characters")
    elif field.pattern is not None and re.fullmatch(field.pattern, text) is None:
        properties.problem(name, f"{text!r} does not match {field.pattern}")
