"""The resources of a template by what they refer to: references resolved, order found."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from router.model.nearest import did_you_mean
from router.template.intrinsics import NO_VALUE, Resolver
from router.template.names import Surroundings
from router.template.problems import Path, Problems
from router.template.resources import TYPES
from router.template.resources.base import At


class Graph:
    """Answers `Ref` and `GetAtt`, working out only the properties a name is made of."""

    def __init__(
        self, resources: dict[str, Any], surroundings: Surroundings, problems: Problems
    ) -> None:
        """`resources` are of known types; `resolver` is set before the first question."""
        self._resources = resources
        self._surroundings = surroundings
        self._problems = problems
        self._needs: dict[str, set[str]] = {name: set() for name in resources}
        self._reading: list[str] = []
        self._asking: list[tuple[str, str]] = []
        self.resolver: Resolver | None = None

    def at(self, logical_id: str) -> At:
        """One resource, before it is built."""
        return At(logical_id, self._surroundings, lambda name: self._given(logical_id, name))

    def properties(self, logical_id: str) -> Any:
        """All properties of a resource, resolved."""
        path = ("Resources", logical_id, "Properties")
        with self._read(logical_id):
            return self._resolve(self._resources[logical_id].get("Properties", {}), path)

    @contextmanager
    def _read(self, logical_id: str) -> Iterator[None]:
        self._reading.append(logical_id)
        try:
            yield
        finally:
            self._reading.pop()

    def _resolve(self, value: Any, path: Path) -> Any:
        if self.resolver is None:
            raise RuntimeError("a graph is asked before it has a resolver")
        return self.resolver.resolve(value, path)

    def _given(self, logical_id: str, name: str) -> Any:
        written = self._resources[logical_id].get("Properties", {})
        if not isinstance(written, dict) or name not in written:
            return None
        path = ("Resources", logical_id, "Properties", name)
        if (logical_id, name) in self._asking:
            self._problems.add(path, "depends on itself")
            return None
        self._asking.append((logical_id, name))
        try:
            value = self._resolve(written[name], path)
        finally:
            self._asking.pop()
        return None if value is NO_VALUE else value

    def ref(self, logical_id: str, path: Path) -> str | None:
        """What `!Ref` gives."""
        if not self._knows(logical_id, path):
            return None
        return TYPES[self._resources[logical_id]["Type"]].ref(self.at(logical_id))

    def attribute(self, logical_id: str, name: str, path: Path) -> Any:
        """What `!GetAtt` gives."""
        if not self._knows(logical_id, path):
            return None
        kind = TYPES[self._resources[logical_id]["Type"]]
        attributes = kind.attributes(self.at(logical_id))
        if name not in attributes:
            hint = did_you_mean(name, attributes) or (
                f"supported: {', '.join(attributes)}" if attributes else "it has none"
            )
            self._problems.add(path, f"{kind.name} has no attribute {name}", hint)
            return None
        return attributes[name]()

    def _knows(self, logical_id: str, path: Path) -> bool:
        if logical_id not in self._resources:
            hint = did_you_mean(logical_id, self._resources)
            text = f"refers to {logical_id}, which is no resource or parameter here"
            self._problems.add(path, text, hint)
            return False
        if self._reading:
            self._needs[self._reading[-1]].add(logical_id)
        return True

    def order(self) -> list[str]:
        """Logical ids, each after what it needs. Circles are problems."""
        for logical_id, resource in self._resources.items():
            named = resource.get("DependsOn", [])
            for needed in named if isinstance(named, list) else [named]:
                path = ("Resources", logical_id, "DependsOn")
                with self._read(logical_id):
                    self._knows(str(needed), path)
        ordered: list[str] = []
        done: set[str] = set()
        for start in self._resources:
            if start not in done:
                self._visit(start, ordered, done)
        return ordered

    def _visit(self, start: str, ordered: list[str], done: set[str]) -> None:
        """Depth first with a stack of our own: chains may be as long as the template."""
        stack = [(start, iter(sorted(self._needs[start])))]
        trail = [start]
        while stack:
            logical_id, needed = stack[-1]
            following = next(needed, None)
            if following is None:
                stack.pop()
                trail.pop()
                done.add(logical_id)
                ordered.append(logical_id)
            elif following in trail:
                circle = " → ".join([*trail[trail.index(following) :], following])
                path = ("Resources", logical_id)
                self._problems.add(path, f"resources depend on each other: {circle}")
            elif following not in done:
                stack.append((following, iter(sorted(self._needs[following]))))
                trail.append(following)
