"""What the pages of one mapping and of one function show besides their rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from router.app.looks.sight import lane_facts
from router.control.lambda_service.mapping_shown import Status, shown_mapping
from router.mapping.view import MappingView
from router.model.errors import RouterError
from router.model.resources import Function
from router.ops.facts import FunctionDetail, MappingDetail
from router.store.catalog import Catalog
from router.telemetry import recent

LANES_MAX: Final = 50
SHARDS_MAX: Final = 100
USERS_MAX: Final = 50
VERSIONS_MAX: Final = 50
"""What is listed on a page of one thing; of more the number alone is told."""

REPEATED: Final = frozenset({"UUID", "State", "LastProcessingResult", "EventSourceMappingArn"})
"""What stands elsewhere on the page."""


class Mappings(Protocol):
    """The manager of mappings."""

    def view(self, uuid: str) -> MappingView:
        """One at work."""

    def status(self, uuid: str) -> Status:
        """Its state."""


class Shards(Protocol):
    """Knows how far mappings have come."""

    async def describe_shards(self, request: dict[str, Any]) -> dict[str, Any]:
        """As `router mappings describe` asks it. Raises `RouterError`."""


class Details:
    """Looks at one thing."""

    def __init__(
        self, catalog: Catalog, mappings: Mappings, shards: Shards, *, region: str, account: str
    ) -> None:
        self._catalog = catalog
        self._mappings = mappings
        self._shards = shards
        self._region = region
        self._account = account

    async def mapping(self, id_: str) -> MappingDetail | None:
        """More of one mapping; None when there is none."""
        mapping = self._catalog.mappings.get(id_)
        if mapping is None:
            return None
        view = self._mappings.view(id_)
        shown = shown_mapping(mapping, self._mappings.status(id_), self._region, self._account)
        lanes = [lane_facts(lane) for lane in view.lanes[:LANES_MAX]]
        return MappingDetail(
            settings=[(name, shown[name]) for name in sorted(shown) if name not in REPEATED],
            lanes=lanes,
            lanes_count=len(view.lanes),
            shards=await self._shards_of(id_),
            recent=recent.BATCHES.known(id_),
        )

    async def _shards_of(self, id_: str) -> Sequence[tuple[str, str, int, int | None]]:
        try:
            rows = (await self._shards.describe_shards({"UUID": id_}))["Shards"]
        except RouterError:
            return ()
        return [
            (row["ShardId"], _state(row), row["Position"], row["Lag"]) for row in rows[:SHARDS_MAX]
        ]

    async def function(self, name: str) -> FunctionDetail | None:
        """More of one function; None when there is none."""
        catalog = self._catalog
        function = catalog.functions.get(name)
        if function is None:
            return None
        users = [(it.uuid, it.name) for it in catalog.mappings.values() if it.function == name][
            :USERS_MAX
        ]
        return FunctionDetail(
            settings=function_settings(function),
            versions=self._versions(name),
            mappings=users,
            recent=recent.INVOCATIONS.known(name),
        )

    def _versions(self, name: str) -> list[tuple[str, str, str]]:
        catalog = self._catalog
        found: list[tuple[str, str, str]] = []
        for alias in catalog.aliases.values():
            if alias.function == name:
                shares = "".join(
                    f", {share:.0%} to version {version}"
                    for version, share in alias.weights.items()
                )
                found.append((alias.name, f"alias of {alias.version}{shares}", alias.description))
        found.sort()
        versions = [it for it in catalog.versions.values() if it.function.name == name]
        versions.sort(key=lambda it: -it.number)
        found += [
            (str(it.number), "published version", it.function.description)
            for it in versions[:VERSIONS_MAX]
        ]
        return found


def function_settings(function: Function) -> list[tuple[str, Any]]:
    """Name → value; of environment variables the names alone."""
    named: Mapping[str, Any] = {
        "Architectures": [function.architecture],
        "CodeFolder": function.code_path if function.is_in_place else "a snapshot",
        "CodeSize": f"{function.code_size:,} bytes" if function.code_size else "",
        "DeadLetter": function.dead_letter_arn,
        "Description": function.description,
        "EphemeralStorage": f"{function.ephemeral_mb} MB",
        "EnvironmentVariables": ", ".join(sorted(function.environment)),
        "FileSystems": ", ".join(function.file_systems),
        "Handler": function.handler,
        "Layers": ", ".join(use.arn for use in function.layers),
        "MemorySize": f"{function.memory_mb} MB",
        "RecursiveLoop": function.recursive_loop,
        "ReservedConcurrency": function.reserved_concurrency,
        "Role": function.role,
        "Runtime": function.runtime or "an image",
        "Timeout": f"{function.timeout_s} s",
    }
    return [(name, value) for name, value in named.items() if value is not None and value != ""]


def _state(row: Mapping[str, Any]) -> str:
    waits = row.get("WaitsFor")
    return f"{row['State']}, waits for {', '.join(waits)}" if waits else str(row["State"])
