"""YAML and JSON text to plain values that know their lines.

Reads what CloudFormation reads: one document, text keys, no nulls, no merge keys, short tags such
as `!Ref`. Bounded in bytes, depth and nodes (aliases count as often as they are used), and no tag
ever makes an object.
"""

import re
from pathlib import Path as FilePath
from typing import Any

import msgspec
import yaml

from router.template.problems import Mark, Path, Places, Problem, TemplateRefused, split_path

TEMPLATE_BYTES_MAX = 1_048_576
"""Largest template (CloudFormation quota: 1 MB)."""

DEPTH_MAX = 64
"""Deepest nesting of a template."""

NODES_MAX = 200_000
"""Most values of a template, aliases counted as often as they are used."""

NUMBER_CHARACTERS_MAX = 18
"""Digits beyond this are text: they would not survive as a number."""

SHORT_TAGS = {
    "Ref": "Ref",
    "Condition": "Condition",
    **{
        name: f"Fn::{name}"
        for name in (
            "And",
            "Base64",
            "Cidr",
            "Equals",
            "FindInMap",
            "GetAZs",
            "GetAtt",
            "If",
            "ImportValue",
            "Join",
            "Length",
            "Not",
            "Or",
            "Select",
            "Split",
            "Sub",
            "ToJsonString",
            "Transform",
        )
    },
}
"""Short tag without its `!` → long form."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TRUE = frozenset({"true", "yes", "on"})

_TAG_TEXT = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)


class Document(msgspec.Struct, frozen=True):
    """A template as written: plain values, and where each of them stands."""

    value: dict[str, Any]
    places: Places


class _Broken(Exception):
    """Ends reading; never leaves this module."""

    def __init__(self, mark: Mark, text: str, hint: str = "", path: Path = ()) -> None:
        super().__init__(text)
        self.mark = mark
        self.text = text
        self.hint = hint
        self.path = path


def read_file(path: FilePath) -> Document:
    """Read a template. Raises `TemplateRefused`."""
    try:
        with path.open("rb") as file:
            data = file.read(TEMPLATE_BYTES_MAX + 1)
    except OSError as error:
        raise _refused(str(path), Mark(1, 1), f"cannot be read: {error.strerror}") from None
    return read_text(data, str(path))


def read_text(data: bytes, file: str) -> Document:
    """Read a template's bytes; `file` is its name in problems. Raises `TemplateRefused`."""
    if len(data) > TEMPLATE_BYTES_MAX:
        raise _refused(file, Mark(1, 1), f"is larger than {TEMPLATE_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(file, Mark(line, 1), "is not UTF-8 text") from None
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    try:
        value, marks = _Reader(text).read()
    except _Broken as broken:
        raise _refused(file, broken.mark, broken.text, broken.hint, broken.path) from None
    except yaml.MarkedYAMLError as error:
        raise _refused(file, *_syntax(error)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(file, Mark(1, 1), f"is not YAML: {error}") from None
    return Document(value, Places(file, marks))


def _refused(file: str, mark: Mark, text: str, hint: str = "", path: Path = ()) -> TemplateRefused:
    section, resource, below = split_path(path)
    problem = Problem(
        file=file,
        line=mark.line,
        column=mark.column,
        section=section,
        resource=resource,
        property=below,
        text=text,
        hint=hint,
    )
    return TemplateRefused([problem])


def _syntax(error: yaml.MarkedYAMLError) -> tuple[Mark, str]:
    found = error.problem_mark or error.context_mark
    mark = Mark(found.line + 1, found.column + 1) if found else Mark(1, 1)
    said = [part for part in (error.context, error.problem) if part]
    return mark, f"is not YAML: {', '.join(said) or 'syntax error'}"


class _Reader:
    """Builds values from the parser's events, so that depth and size are bounded on the way."""

    def __init__(self, text: str) -> None:
        self._loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self._marks: dict[Path, Mark] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def read(self) -> tuple[dict[str, Any], dict[Path, Mark]]:
        try:
            self._next()  # the stream's start
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                raise _Broken(Mark(1, 1), "is empty")
            value = self._value(self._next(), (), 0)
            self._next()  # the document's end
            event = self._next()
            if not isinstance(event, yaml.StreamEndEvent):
                raise _Broken(_mark(event), "holds more than one document")
        finally:
            self._loader.dispose()
        if not isinstance(value, dict):
            raise _Broken(Mark(1, 1), "is not a template: a mapping with Resources is expected")
        return value, self._marks

    def _next(self) -> Any:
        return self._loader.get_event()

    def _value(self, event: Any, path: Path, depth: int) -> Any:
        self._marks.setdefault(path, _mark(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(1, event)
        if depth > DEPTH_MAX:
            raise _Broken(_mark(event), f"is nested deeper than {DEPTH_MAX} levels")
        before = self._nodes
        function = self._function(event, path)
        inner = (*path, function) if function else path
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path, is_tagged=function is not None)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(inner, depth)
        else:
            value = self._mapping(inner, depth)
        if function:
            if function == "Fn::GetAtt" and isinstance(value, str):
                value = value.split(".", 1)
            value = {function: value}
        if event.anchor:
            self._anchors[event.anchor] = value, self._nodes - before + 1
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _Broken(_mark(event), f"alias *{event.anchor} has no finished anchor before it")
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, event)
        return value

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise _Broken(_mark(event), f"holds more than {NODES_MAX} values")

    def _function(self, event: Any, path: Path) -> str | None:
        tag = event.tag
        if tag is None or tag == "!" or tag in _PLAIN_TAGS:
            return None
        name = tag.removeprefix("!")
        if name not in SHORT_TAGS:
            known = ", ".join(f"!{known}" for known in sorted(SHORT_TAGS))
            raise _Broken(_mark(event), f"unknown tag {tag}", f"known: {known}", path)
        return SHORT_TAGS[name]

    def _scalar(self, event: Any, path: Path, *, is_tagged: bool) -> Any:
        text: str = event.value
        if _SURROGATE.search(text):
            raise _Broken(_mark(event), "is not text: half of a surrogate pair", "", path)
        if event.tag in ("!", _TAG_TEXT) or is_tagged or not event.implicit[0]:
            return text
        kind = event.tag or self._loader.resolve(yaml.ScalarNode, text, event.implicit)
        match kind.rpartition(":")[2]:
            case "null":
                raise _Broken(
                    _mark(event), "has no value", "null is not allowed in templates", path
                )
            case "bool":
                return text.lower() in _TRUE
            case "merge":
                raise _Broken(_mark(event), "merge keys (<<) are not part of templates", "", path)
        if len(text) > NUMBER_CHARACTERS_MAX:
            return text
        if _INTEGER.fullmatch(text):
            return int(text)
        # Other forms (dates, octal, 12:30, account ids with leading zeros) stay as written.
        return float(text) if _NUMBER.fullmatch(text) else text

    def _list(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _Broken(_mark(event), "a member's name must be text")
            name = event.value
            if name == "<<" and event.implicit[0]:
                raise _Broken(_mark(event), "merge keys (<<) are not part of templates", "", path)
            below = (*path, name)
            if name in members:
                first = self._marks[below]
                hint = f"first in line {first.line}"
                raise _Broken(_mark(event), f"{name} is given twice", hint, below)
            self._marks[below] = _mark(event)
            members[name] = self._value(self._next(), below, depth + 1)
        return members


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
