"""Intrinsic functions.

A template is resolved twice. Before the SAM translation what needs no resource is replaced:
parameters, mappings, conditions, pseudo parameters. `!Ref` and `!GetAtt` of resources and all that
holds them stay (the *open* part). After it everything is.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from router.model.nearest import did_you_mean
from router.template.parameters import as_text
from router.template.problems import Path, Problems

TEXT_CHARACTERS_MAX = 1_048_576
"""Longest text an intrinsic function may make: the template's own bound."""

DEPTH_MAX = 200
"""Deepest nesting while resolving."""

CONDITION_FUNCTIONS = ("Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or", "Condition")

_REFUSED = {
    "Fn::Cidr": "there are no networks to divide here",
    "Fn::GetAZs": "a router has no availability zones",
    "Fn::ImportValue": "there are no exports of other stacks here; use a parameter",
    "Fn::Transform": "macros are not run here",
    "Fn::ForEach": "language extensions are not supported; write the resources out",
    "Fn::Length": "language extensions are not supported",
    "Fn::ToJsonString": "language extensions are not supported; use !Sub",
}

_VARIABLE = re.compile(r"\$\{(!?)([^{}$]*)\}")

_SUPPORTED = (
    "supported: Ref, Fn::GetAtt, Fn::Sub, Fn::Join, Fn::If, Fn::Select, Fn::Split, Fn::FindInMap, "
    "Fn::Base64, and in Conditions Fn::Equals, Fn::And, Fn::Or, Fn::Not"
)


class _NoValue:
    """What `!Ref AWS::NoValue` gives: the member that holds it goes away."""


NO_VALUE: Final = _NoValue()


class Resources(Protocol):
    """What `Ref` and `GetAtt` ask of the resources of a template."""

    def ref(self, logical_id: str, path: Path) -> str | None:
        """The physical id; None after a problem was noted."""

    def attribute(self, logical_id: str, name: str, path: Path) -> Any:
        """An attribute; None after a problem was noted."""


class Resolver:
    """Replaces intrinsic functions in values of one template.

    Without `resources` only what needs none is replaced. A problem is noted once and resolving
    goes on with an empty text, so that several can be reported together.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        mappings: Any,
        conditions: Mapping[str, bool],
        problems: Problems,
        resources: Resources | None = None,
    ) -> None:
        """`values` are parameters and pseudo parameters by name."""
        self._values = values
        self._mappings = mappings if isinstance(mappings, dict) else {}
        self._conditions = conditions
        self._problems = problems
        self._resources = resources
        self._depth = 0
        self._functions: dict[str, Callable[[Any, Path], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": self._base64,
        }

    def resolve(self, value: Any, path: Path) -> Any:
        """The value with its functions replaced; `NO_VALUE` when it is to go away."""
        self._depth += 1
        try:
            if self._depth > DEPTH_MAX:
                return self._problem(path, "is nested too deep")
            if isinstance(value, dict):
                return self._resolve_mapping(value, path)
            if isinstance(value, list):
                items = [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
                return [item for item in items if item is not NO_VALUE]
            return value
        finally:
            self._depth -= 1

    def _resolve_mapping(self, value: dict[str, Any], path: Path) -> Any:
        name = function_of(value)
        if name is None:
            members: dict[str, Any] = {}
            for member, inner in value.items():
                if member.startswith("Fn::"):
                    return self._problem(path, f"{member} must stand alone")
                resolved = self.resolve(inner, (*path, member))
                if resolved is not NO_VALUE:
                    members[member] = resolved
            return members
        if name in self._functions:
            return self._functions[name](value[name], (*path, name))
        if name in _REFUSED or name.startswith("Fn::ForEach"):
            why = _REFUSED.get(name, _REFUSED["Fn::ForEach"])
            return self._problem(path, f"{name} is not supported", why)
        if name in CONDITION_FUNCTIONS:
            return self._problem(path, f"{name} is allowed in Conditions only", "use Fn::If")
        hint = did_you_mean(name, self._functions) or _SUPPORTED
        return self._problem(path, f"unknown function {name}", hint)

    def _problem(self, path: Path, text: str, hint: str = "") -> str:
        self._problems.add(path, text, hint)
        return ""

    def _ref(self, name: Any, path: Path) -> Any:
        if not isinstance(name, str):
            return self._problem(path, "Ref needs a name")
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._values:
            return self._values[name]
        if name.startswith("AWS::"):
            known = [known for known in self._values if known.startswith("AWS::")]
            hint = did_you_mean(name, known) or f"known: {', '.join(known)}, AWS::NoValue"
            return self._problem(path, f"unknown pseudo parameter {name}", hint)
        if self._resources is None:
            return {"Ref": name}
        return self._or_empty(self._resources.ref(name, path))

    @staticmethod
    def _or_empty(value: Any) -> Any:
        return "" if value is None else value

    def _get_att(self, argument: Any, path: Path) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):
            return self._problem(path, "Fn::GetAtt needs a resource and an attribute")
        attribute = self.resolve(parts[1], (*path, 1))
        if not isinstance(attribute, str) or not attribute:
            return self._problem(path, "Fn::GetAtt needs the name of an attribute")
        if self._resources is None:
            return {"Fn::GetAtt": [parts[0], attribute]}
        return self._or_empty(self._resources.attribute(parts[0], attribute, path))

    def _join(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            return self._problem(path, "Fn::Join needs a delimiter and a list")
        delimiter = argument[0]
        items = self.resolve(argument[1], (*path, 1))
        if not isinstance(delimiter, str):
            return self._problem(path, "the delimiter of Fn::Join must be text")
        if is_open(items):
            return {"Fn::Join": [delimiter, items]}
        if not isinstance(items, list) or any(isinstance(item, dict | list) for item in items):
            return self._problem(path, "Fn::Join needs a list of texts")
        return self._bounded(delimiter.join(as_text(item) for item in items), path)

    def _bounded(self, text: str, path: Path) -> str:
        if len(text) > TEXT_CHARACTERS_MAX:
            return self._problem(path, f"makes a text longer than {TEXT_CHARACTERS_MAX} characters")
        return text

    def _if(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            return self._problem(path, "Fn::If needs a condition and two values")
        name = argument[0]
        if not isinstance(name, str) or name not in self._conditions:
            hint = did_you_mean(str(name), self._conditions)
            return self._problem(path, f"unknown condition {name}", hint)
        branch = 1 if self._conditions[name] else 2
        return self.resolve(argument[branch], (*path, branch))

    def _select(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            return self._problem(path, "Fn::Select needs an index and a list")
        index = self.resolve(argument[0], (*path, 0))
        items = self.resolve(argument[1], (*path, 1))
        if is_open(index) or (isinstance(items, dict) and is_open(items)):
            return {"Fn::Select": [index, items]}
        if not isinstance(items, list):
            return self._problem(path, "Fn::Select needs a list")
        number = as_text(index)
        if not number.isdecimal() or len(number) > 9 or int(number) >= len(items):
            text = f"Fn::Select has no item {number} in a list of {len(items)}"
            return self._problem(path, text, "items count from 0")
        return items[int(number)]

    def _split(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            return self._problem(path, "Fn::Split needs a delimiter and a text")
        delimiter = argument[0]
        text = self.resolve(argument[1], (*path, 1))
        if not isinstance(delimiter, str) or not delimiter:
            return self._problem(path, "the delimiter of Fn::Split must be text, not empty")
        if is_open(text):
            return {"Fn::Split": [delimiter, text]}
        if isinstance(text, dict | list) or text is NO_VALUE:
            return self._problem(path, "Fn::Split needs a text")
        return as_text(text).split(delimiter)

    def _find_in_map(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            return self._problem(path, "Fn::FindInMap needs a map and two keys")
        found: Any = self._mappings
        trail = "Mappings"
        for part in self.resolve(argument, path):
            key = as_text(part)
            if is_open(part):
                return self._problem(path, "Fn::FindInMap cannot depend on a resource")
            if not isinstance(found, dict) or key not in found:
                hint = did_you_mean(key, found) if isinstance(found, dict) else ""
                return self._problem(path, f"Fn::FindInMap finds no {key} in {trail}", hint)
            found, trail = found[key], f"{trail}.{key}"
        return found

    def _base64(self, argument: Any, path: Path) -> Any:
        text = self.resolve(argument, path)
        if is_open(text):
            return {"Fn::Base64": text}
        if isinstance(text, dict | list) or text is NO_VALUE:
            return self._problem(path, "Fn::Base64 needs a text")
        raw = as_text(text).encode("utf-8", "surrogatepass")
        return self._bounded(base64.b64encode(raw).decode(), path)

    def _sub(self, argument: Any, path: Path) -> Any:
        text, given = argument, {}
        if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
            text = argument[0]
            given = self.resolve(argument[1], (*path, 1))
        if not isinstance(text, str) or not isinstance(given, dict):
            return self._problem(path, "Fn::Sub needs a text, or a text and its variables")
        open_variables: dict[str, Any] = {}
        pieces: list[str] = []
        is_partly_open = False
        end = 0
        for variable in _VARIABLE.finditer(text):
            pieces.append(text[end : variable.start()])
            end = variable.end()
            if variable.group(1):
                pieces.append(variable.group() if self._resources is None else _literal(variable))
                continue
            name = variable.group(2).strip()
            value = self._variable(name, given, path)
            if is_open(value):
                is_partly_open = True
                if name in given:
                    open_variables[name] = value
                pieces.append(f"${{{name}}}")
            elif isinstance(value, dict | list) or value is NO_VALUE:
                return self._problem(path, f"${{{name}}} in Fn::Sub is not a text")
            elif self._resources is None:
                pieces.append(as_text(value).replace("${", "${!"))
            else:
                pieces.append(as_text(value))
        pieces.append(text[end:])
        made = self._bounded("".join(pieces), path)
        if self._resources is not None:
            return made
        if not is_partly_open:
            return made.replace("${!", "${")
        return {"Fn::Sub": [made, open_variables] if open_variables else made}

    def _variable(self, name: str, given: dict[str, Any], path: Path) -> Any:
        if name in given:
            return given[name]
        if "." in name and not name.startswith("AWS::"):
            return self._get_att(name, path)
        if not name:
            return self._problem(path, "${} in Fn::Sub names nothing")
        return self._ref(name, path)


def _literal(variable: re.Match[str]) -> str:
    return f"${{{variable.group(2)}}}"


def function_of(value: dict[str, Any]) -> str | None:
    """The function a mapping with one member calls, or None for an ordinary mapping."""
    if len(value) != 1:
        return None
    (name,) = value
    return name if name == "Ref" or name.startswith("Fn::") else None


def is_open(value: Any) -> bool:
    """Whether a value holds a function that waits for a resource."""
    if isinstance(value, dict):
        return function_of(value) is not None or any(is_open(inner) for inner in value.values())
    if isinstance(value, list):
        return any(is_open(item) for item in value)
    return False
