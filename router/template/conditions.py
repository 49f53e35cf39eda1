"""The Conditions section of a template."""

from typing import Any

from router.model.nearest import did_you_mean
from router.template.intrinsics import Resolver, is_open
from router.template.parameters import as_text
from router.template.problems import Path, Problems


class Conditions:
    """The Conditions section: each worked out once, circles reported."""

    def __init__(self, declared: Any, resolver: Resolver, problems: Problems) -> None:
        """`resolver` resolves parameters and mappings."""
        self._declared: dict[str, Any] = declared if isinstance(declared, dict) else {}
        self._resolver = resolver
        self._problems = problems
        self._known: dict[str, bool] = {}
        self._open: list[str] = []
        if not isinstance(declared, dict):
            problems.add(("Conditions",), "must be a mapping of conditions")

    def all(self) -> dict[str, bool]:
        """Every condition's value."""
        for name in self._declared:
            self._value(name, ("Conditions", name))
        return self._known

    def _value(self, name: str, path: Path) -> bool:
        if name in self._known:
            return self._known[name]
        if name not in self._declared:
            self._problems.add(
                path, f"unknown condition {name}", did_you_mean(name, self._declared)
            )
            return False
        if name in self._open:
            circle = " → ".join([*self._open[self._open.index(name) :], name])
            self._problems.add(path, f"conditions depend on each other: {circle}")
            return False
        self._open.append(name)
        value = self._evaluate(self._declared[name], ("Conditions", name))
        self._open.pop()
        self._known[name] = value
        return value

    def _evaluate(self, value: Any, path: Path) -> bool:
        name, argument = next(iter(value.items())) if _is_single(value) else ("", None)
        here = (*path, name) if name else path
        items = argument if isinstance(argument, list) else []
        match name:
            case "Condition" if isinstance(argument, str):
                return self._value(argument, here)
            case "Fn::Equals" if len(items) == 2:
                left, right = (self._operand(item, here) for item in items)
                return bool(left == right)
            case "Fn::Not" if len(items) == 1:
                return not self._evaluate(items[0], here)
            case "Fn::And" if 2 <= len(items) <= 10:
                return all([self._evaluate(item, here) for item in items])  # noqa: C419 - check all
            case "Fn::Or" if 2 <= len(items) <= 10:
                return any([self._evaluate(item, here) for item in items])  # noqa: C419 - check all
        self._problems.add(
            path,
            "is not a condition",
            "use Fn::Equals (2 values), Fn::And or Fn::Or (2 to 10 conditions), Fn::Not (1), "
            "or Condition",
        )
        return False

    def _operand(self, item: Any, path: Path) -> Any:
        value = self._resolver.resolve(item, path)
        if is_open(value):
            self._problems.add(path, "conditions cannot depend on resources")
            return None
        return as_text(value) if isinstance(value, bool | int | float) else value


def _is_single(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1
