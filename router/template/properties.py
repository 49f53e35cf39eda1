"""Typed reading of a resource's resolved properties: each misfit is a problem with its line.

As CloudFormation does, numbers and booleans may come as text and texts as numbers.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from router.model.nearest import did_you_mean
from router.template.parameters import as_text
from router.template.problems import Path, Problems

TAGS_MAX = 50
"""Tags of one resource (Lambda and SQS quota)."""


class Properties:
    """One mapping of properties. Getters return the default after a problem."""

    def __init__(self, values: Any, path: Path, problems: Problems) -> None:
        """`path` is where `values` is written."""
        self.path = path
        self._problems = problems
        self._values: dict[str, Any] = values if isinstance(values, dict) else {}
        if not isinstance(values, dict):
            problems.add(path, "must be a mapping")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def raw(self, name: str) -> Any:
        """The value as resolved, or None."""
        return self._values.get(name)

    def problem(self, name: str, text: str, hint: str = "") -> None:
        """Note a problem of one property."""
        self._problems.add((*self.path, name), text, hint)

    def problem_at(self, path: Path, text: str, hint: str = "") -> None:
        """Note a problem of something below."""
        self._problems.add((*self.path, *path), text, hint)

    def has_problem(self, name: str) -> bool:
        """Whether something was noted about a property, or about what is below it."""
        return self._problems.has_any((*self.path, name))

    def check_known(
        self, known: Iterable[str], owner: str, refused: Mapping[str, str] | None = None
    ) -> None:
        """Refuse names that are unknown, and known ones that are not honoured, saying why."""
        refused = refused or {}
        supported = tuple(known)
        for name in self._values:
            if name in refused:
                self.problem(name, f"is not supported: {refused[name]}")
            elif name not in supported:
                hint = did_you_mean(name, supported) or f"supported: {', '.join(supported)}"
                self.problem(name, f"unknown property of {owner}", hint)

    def require(self, *names: str) -> bool:
        """Whether all are given; a problem for each that is not."""
        missing = [name for name in names if name not in self._values]
        for name in missing:
            self.problem(name, "is required")
        return not missing

    def text(
        self,
        name: str,
        default: str = "",
        *,
        pattern: str | None = None,
        length_max: int | None = None,
        choices: tuple[str, ...] = (),
    ) -> str:
        """A text, checked whole against `pattern`."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, dict | list):
            self.problem(name, "must be text")
            return default
        text = as_text(value)
        if choices and text not in choices:
            hint = did_you_mean(text, choices)
            self.problem(name, f"{text!r} is not one of {', '.join(choices)}", hint)
        elif length_max is not None and len(text) > length_max:
            self.problem(name, f"is longer than {length_max} characters")
        elif pattern is not None and re.fullmatch(pattern, text) is None:
            self.problem(name, f"{text!r} does not match {pattern}")
        else:
            return text
        return default

    def integer(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number within bounds."""
        value = self._values.get(name)
        if value is None:
            return default
        text = "" if isinstance(value, bool | dict | list) else as_text(value)
        if re.fullmatch(r"-?\d{1,12}", text) is None:
            self.problem(name, "must be a whole number")
            return default
        number = int(text)
        if not least <= number <= most:
            self.problem(name, f"{number} is not between {least} and {most}")
            return default
        return number

    def fraction(self, name: str) -> float:
        """A number from 0 to 1."""
        value = self._values.get(name)
        text = "" if isinstance(value, bool | dict | list | None) else as_text(value)
        if re.fullmatch(r"0|1|[01]?\.\d{1,15}", text) is None or float(text) > 1:
            self.problem(name, "must be a number from 0 to 1")
            return 0.0
        return float(text)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """A boolean, also as the text `true` or `false`."""
        value = self._values.get(name)
        if value is None:
            return default
        text = "" if isinstance(value, dict | list) else as_text(value).lower()
        if text not in ("true", "false"):
            self.problem(name, "must be true or false")
            return default
        return text == "true"

    def section(self, name: str) -> "Properties | None":
        """A mapping below; None when it is not given."""
        if name not in self._values:
            return None
        return Properties(self._values[name], (*self.path, name), self._problems)

    def sections(self, name: str) -> "tuple[Properties, ...]":
        """A list of mappings."""
        return tuple(
            Properties(item, (*self.path, name, index), self._problems)
            for index, item in enumerate(self.items(name))
        )

    def items(self, name: str) -> list[Any]:
        """A list; empty when it is not given."""
        value = self._values.get(name, [])
        if isinstance(value, list):
            return value
        self.problem(name, "must be a list")
        return []

    def texts(self, name: str, *, choices: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts."""
        values: list[str] = []
        for index, item in enumerate(self.items(name)):
            text = None if isinstance(item, dict | list) else as_text(item)
            if text is None:
                self._problems.add((*self.path, name, index), "must be text")
            elif choices and text not in choices:
                wrong = f"{text!r} is not one of {', '.join(choices)}"
                self._problems.add((*self.path, name, index), wrong, did_you_mean(text, choices))
            else:
                values.append(text)
        return tuple(values)

    def text_map(self, name: str, *, owner: str) -> dict[str, str]:
        """A mapping of texts by name; `owner` says what it belongs to."""
        section = self.section(name)
        if section is None:
            return {}
        values: dict[str, str] = {}
        for key, value in section._values.items():  # noqa: SLF001 - of the same class
            if isinstance(value, dict | list):
                section.problem(key, f"must be text: {owner}")
            else:
                values[key] = as_text(value)
        return values

    def tags(self) -> dict[str, str]:
        """`Tags`: a list of Key and Value."""
        tags: dict[str, str] = {}
        for index, item in enumerate(self.items("Tags")):
            here = (*self.path, "Tags", index)
            if not isinstance(item, dict) or not {"Key", "Value"} >= set(item) >= {"Key"}:
                self._problems.add(here, "must have a Key and a Value")
                continue
            key, value = as_text(item["Key"]), as_text(item.get("Value", ""))
            if not 1 <= len(key) <= 128 or len(value) > 256:
                self._problems.add(here, "Key has 1 to 128 characters, Value at most 256")
            tags[key] = value
        if len(tags) > TAGS_MAX:
            self.problem("Tags", f"more than {TAGS_MAX} tags")
        return tags
