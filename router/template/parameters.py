"""Template parameters: what is declared, what is given, what each value may be."""

import math
import re
from collections.abc import Mapping
from typing import Any

from router.model.errors import TemplateError
from router.model.nearest import did_you_mean
from router.template.dynamic import check_references
from router.template.problems import Path, Problems

PARAMETERS_MAX = 200
"""Parameters of one template (CloudFormation quota)."""

VALUE_BYTES_MAX = 4096
"""Largest value of a parameter (CloudFormation quota)."""

TYPES = ("String", "Number", "List<Number>", "List<String>", "CommaDelimitedList")

_MEMBERS = frozenset(
    {
        "Type",
        "Default",
        "AllowedValues",
        "AllowedPattern",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "NoEcho",
        "Description",
        "ConstraintDescription",
    }
)


def parse_assignments(given: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` options as a mapping. Raises `TemplateError`."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise TemplateError(f"--parameter {text!r}: KEY=VALUE is expected")
        if name in values:
            raise TemplateError(f"--parameter {name} is given twice")
        values[name] = value
    return values


def resolve_parameters(
    declared: Any, given: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Every declared parameter's value: text, number or list. Problems are collected."""
    root: Path = ("Parameters",)
    if not isinstance(declared, dict):
        problems.add(root, "must be a mapping of parameters")
        return {}
    if len(declared) > PARAMETERS_MAX:
        problems.add(root, f"more than {PARAMETERS_MAX} parameters")
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            hint = did_you_mean(name, declared) or f"declared: {known}"
            problems.add(root, f"parameter {name} is given but not declared", hint)
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value = _Parameter(name, declaration, problems).value(given.get(name))
        if value is not None:
            values[name] = value
    return values


class _Parameter:
    def __init__(self, name: str, declaration: Any, problems: Problems) -> None:
        self._path: Path = ("Parameters", name)
        self._name = name
        self._problems = problems
        self._declaration: dict[str, Any] = declaration if isinstance(declaration, dict) else {}
        self._is_usable = isinstance(declaration, dict)
        if not self._is_usable:
            problems.add(self._path, "must be a mapping with a Type")

    def value(self, given: str | None) -> Any:
        """The value, or None after a problem."""
        if not self._is_usable or not self._check_declaration():
            return None
        text = given
        if text is None:
            if "Default" not in self._declaration:
                option = f"give it with --parameter {self._name}=VALUE, or declare a Default"
                self._problems.add(self._path, "has no value", option)
                return None
            default = self._declaration["Default"]
            if isinstance(default, dict | list):
                self._problems.add((*self._path, "Default"), "must be text or a number")
                return None
            text = as_text(default)
        if len(text.encode()) > VALUE_BYTES_MAX:
            self._problems.add(self._path, f"value is larger than {VALUE_BYTES_MAX} bytes")
            return None
        check_references(text, self._path, self._problems)
        return self._typed(text)

    def _check_declaration(self) -> bool:
        for member in self._declaration:
            if member not in _MEMBERS:
                hint = did_you_mean(member, _MEMBERS)
                self._problems.add((*self._path, member), "unknown member of a parameter", hint)
        kind = self._declaration.get("Type")
        if kind in TYPES:
            return True
        supported = f"supported: {', '.join(TYPES)}"
        if kind is None:
            self._problems.add(self._path, "has no Type", supported)
        elif str(kind).startswith("AWS::"):
            text = f"type {kind} is looked up in an AWS account, which a router has not"
            self._problems.add((*self._path, "Type"), text, supported)
        else:
            self._problems.add((*self._path, "Type"), f"unknown type {kind}", supported)
        return False

    def _typed(self, text: str) -> Any:
        match self._declaration["Type"]:
            case "String":
                return text if self._accepts(text) else None
            case "Number":
                number = _number(text)
                if number is None:
                    self._refuse(text, "is not a number")
                    return None
                return number if self._accepts(text) and self._accepts_number(number) else None
            case kind:
                items = [item.strip() for item in text.split(",")]
                if not all([self._accepts(item) for item in items]):  # noqa: C419 - report all
                    return None
                if kind != "List<Number>":
                    return items
                numbers = [_number(item) for item in items]
                if None in numbers:
                    self._refuse(text, "is not a list of numbers")
                    return None
                return numbers

    def _accepts(self, text: str) -> bool:
        allowed = self._declaration.get("AllowedValues")
        if isinstance(allowed, list) and text not in [as_text(value) for value in allowed]:
            choices = ", ".join(as_text(value) for value in allowed)
            return self._refuse(text, f"is not one of the allowed values {choices}")
        pattern = self._declaration.get("AllowedPattern")
        if pattern is not None:
            try:
                fits = re.fullmatch(as_text(pattern), text) is not None
            except re.error as error:
                here = (*self._path, "AllowedPattern")
                self._problems.add(here, f"is not a regular expression: {error}")
                return False
            if not fits:
                return self._refuse(text, f"does not match {pattern}")
        shortest, longest = self._bound("MinLength"), self._bound("MaxLength")
        if shortest is not None and len(text) < shortest:
            return self._refuse(text, f"is shorter than {shortest:g} characters")
        if longest is not None and len(text) > longest:
            return self._refuse(text, f"is longer than {longest:g} characters")
        return True

    def _accepts_number(self, number: float) -> bool:
        least, most = self._bound("MinValue"), self._bound("MaxValue")
        if least is not None and number < least:
            return self._refuse(as_text(number), f"is less than {least:g}")
        if most is not None and number > most:
            return self._refuse(as_text(number), f"is more than {most:g}")
        return True

    def _bound(self, member: str) -> float | None:
        if member not in self._declaration:
            return None
        bound = _number(as_text(self._declaration[member]))
        if bound is None:
            self._problems.add((*self._path, member), "must be a number")
        return bound

    def _refuse(self, text: str, why: str) -> bool:
        is_hidden = as_text(self._declaration.get("NoEcho", False)) == "true"
        shown = "****" if is_hidden else repr(text)
        hint = as_text(self._declaration.get("ConstraintDescription", ""))
        self._problems.add(self._path, f"value {shown} {why}", hint)
        return False


def as_text(value: object) -> str:
    """A scalar as CloudFormation writes it into text: `true`, `5`, `a`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(text: str) -> int | float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(text) if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text) else number
