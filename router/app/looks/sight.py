"""Everything the ops page shows of the router as it is now (`ops.desk.Sight`).

A look at thousands of mappings is cut into slices, between which others have their turn.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import orjson

from router.app.looks.asked import Asked
from router.destinations.lane import Trouble
from router.mapping.manager import MappingManager
from router.mapping.view import LaneView
from router.model.destination import kind_of
from router.model.resources import Mapping, Queue
from router.model.source_kind import PEOPLE_SAY
from router.ops.facts import (
    DestinationFacts,
    FunctionFacts,
    LaneFacts,
    MappingFacts,
    RouterFacts,
    Snapshot,
    WebhookFacts,
)
from router.store.base import Address, OutboxDepth
from router.store.catalog import Catalog
from router.telemetry import metrics, reading
from router.telemetry.metrics.mappings import CONDITIONS
from router.telemetry.slices import Slices

TAKEN: Final = frozenset({"accepted", "duplicate"})
"""Results of requests to webhooks that were taken."""


class Courier(Protocol):
    """Who delivers on-failure records."""

    @property
    def depths(self) -> Sequence[OutboxDepth]:
        """What waits, by destination."""

    def trouble(self, address: Address) -> Trouble | None:
        """What the last attempt said."""


class Gatherer:
    """Takes snapshots."""

    def __init__(
        self,
        catalog: Catalog,
        mappings: MappingManager,
        courier: Courier,
        asked: Asked,
        *,
        router: Callable[[], RouterFacts],
        problems: Callable[[], dict[str, str]],
        waiting: Callable[[], dict[str, int]],
        now_ms: Callable[[], int],
        wall_ms: Callable[[], int],
    ) -> None:
        """`problems`: by function, why its last invocation failed; `waiting`: its events."""
        self._catalog = catalog
        self._mappings = mappings
        self._courier = courier
        self._asked = asked
        self._router = router
        self._problems = problems
        self._waiting = waiting
        self._now_ms = now_ms
        self._wall_ms = wall_ms

    async def snapshot(self, *, is_shown: bool) -> Snapshot:
        """Everything now; for the past alone without what only pages show."""
        routes = self._routes() if is_shown else {}
        arns = {queue.arn: queue.name for queue in self._catalog.queues.values()}
        names = [arns[address] for address in routes if address in arns]
        await self._asked.look(names, is_shown=is_shown)
        slices = Slices()
        wall_ms, now_ms = self._wall_ms(), self._now_ms()
        mappings = []
        for mapping in list(self._catalog.mappings.values()):
            mappings.append(self.mapping_facts(mapping))
            await _breathe(slices)
        return Snapshot(
            wall_ms=wall_ms,
            now_ms=now_ms,
            router=self._router(),
            mappings=mappings,
            functions=await self._functions(slices),
            webhooks=await self._webhooks(slices),
            destinations=self._destinations(routes, arns),
            bounds_s=tuple(map(float, metrics.DURATION_BUCKETS_S)),
        )

    # Mappings

    def mapping_facts(self, mapping: Mapping) -> MappingFacts:
        """One mapping as it is now."""
        uuid, name = mapping.uuid, mapping.name
        status, view = self._mappings.status(uuid), self._mappings.view(uuid)
        stuck = [lane for lane in view.lanes if lane.attempts]
        worst = max(stuck, key=lambda lane: lane.attempts, default=None)
        error = view.last_error
        oldest_ms = view.oldest_arrival_ms
        qualifier = f":{mapping.qualifier}" if mapping.qualifier else ""
        return MappingFacts(
            id=uuid,
            name=name,
            function=mapping.function + qualifier,
            source=mapping.source_name,
            kind=PEOPLE_SAY[mapping.kind],
            state=status.state,
            is_enabled=mapping.is_enabled,
            result=status.last_processing_result,
            trouble=self._mappings.trouble(uuid),
            is_orphan=mapping.function not in self._catalog.functions,
            lag=view.lag,
            in_flight=view.in_flight,
            held=view.held_records,
            oldest_ms=self._asked.oldest.get(uuid) if oldest_ms is None else oldest_ms,
            stuck=None if worst is None else lane_facts(worst),
            stuck_lanes=len(stuck),
            last_error="" if error is None else error.text,
            last_error_ms=0 if error is None else error.wall_ms,
            invoked=reading.total(metrics.RECORDS_INVOKED, name),
            failed=reading.total(metrics.RECORDS_FAILED, name),
            discarded=sum(
                reading.total(metrics.RECORDS_DISCARDED, name, condition)
                for condition in CONDITIONS
            ),
            dropped=reading.total(metrics.RECORDS_DROPPED, name),
            not_run=reading.total(metrics.BATCHES, name, "not_run"),
        )

    # Functions

    async def _functions(self, slices: Slices) -> list[FunctionFacts]:
        catalog = self._catalog
        versions: dict[str, int] = defaultdict(int)
        aliases: dict[str, list[str]] = defaultdict(list)
        for version in catalog.versions.values():
            versions[version.function.name] += 1
        for alias in catalog.aliases.values():
            aliases[alias.function].append(alias.name)
        provisioned: dict[str, int] = defaultdict(int)
        for one in catalog.provisioned.values():
            provisioned[one.function] += one.requested
        problems, waiting = self._problems(), self._waiting()
        dropped: dict[str, float] = defaultdict(float)
        for labels, value in reading.totals(metrics.ASYNC_DROPPED):
            dropped[labels[0]] += value
        found = []
        for function in list(catalog.functions.values()):
            name = function.name
            found.append(
                FunctionFacts(
                    name=name,
                    runtime=function.runtime or "image",
                    versions=versions.get(name, 0),
                    aliases=tuple(sorted(aliases.get(name, ()))),
                    reserved=function.reserved_concurrency,
                    busy=round(reading.level(metrics.ENVIRONMENTS, name, "busy")),
                    idle=round(reading.level(metrics.ENVIRONMENTS, name, "idle")),
                    provisioned=provisioned.get(name, 0),
                    waiting=waiting.get(name, 0),
                    problem=problems.get(name, ""),
                    ok=reading.total(metrics.INVOCATIONS, name, "ok"),
                    errors=reading.total(metrics.INVOCATIONS, name, "error"),
                    timeouts=reading.total(metrics.INVOCATIONS, name, "timeout"),
                    crashes=reading.total(metrics.INVOCATIONS, name, "crash"),
                    throttles=reading.total(metrics.THROTTLES, name),
                    dropped=dropped.get(name, 0.0),
                    cold_starts=reading.total(metrics.COLD_STARTS, name),
                    durations=metrics.FUNCTION_DURATION.counts(name),
                )
            )
            await _breathe(slices)
        return found

    # Webhooks

    async def _webhooks(self, slices: Slices) -> list[WebhookFacts]:
        results: dict[str, dict[str, float]] = defaultdict(dict)
        for (name, result), value in reading.totals(metrics.WEBHOOK_REQUESTS):
            if value:
                results[name][result] = value
            await _breathe(slices)
        found = []
        for webhook in list(self._catalog.webhooks.values()):
            spec = webhook.spec
            counted = results.get(spec.name, {})
            found.append(
                WebhookFacts(
                    name=spec.name,
                    path=spec.path,
                    scheme=spec.signature.scheme,
                    shards=spec.shards,
                    problem=self._asked.webhook_problems.get(spec.name, ""),
                    accepted=counted.get("accepted", 0.0),
                    duplicates=counted.get("duplicate", 0.0),
                    refused={why: n for why, n in counted.items() if why not in TAKEN},
                    expired=reading.total(metrics.RECORDS_EXPIRED, spec.name),
                    durations=metrics.WEBHOOK_DURATION.counts(spec.name),
                )
            )
            await _breathe(slices)
        return found

    # Destinations

    def _routes(self) -> dict[str, "_Route"]:
        """Address → who sends what there."""
        catalog = self._catalog
        found: dict[str, _Route] = defaultdict(_Route)
        for mapping in catalog.mappings.values():
            if mapping.destination_arn:
                found[mapping.destination_arn].add(mapping.name)
        for function in catalog.functions.values():
            if function.dead_letter_arn:
                found[function.dead_letter_arn].add(function.name)
        for config in catalog.event_invokes.values():
            if config.on_failure:
                found[config.on_failure].add(config.function)
            if config.on_success:
                found[config.on_success].add(config.function, is_failure=False)
        for queue in catalog.queues.values():
            if target := _redrive_target(queue):
                found[target].add(queue.name)
        for depth in self._courier.depths:
            found[depth.address.destination]  # it is there from now on
        return found

    def _destinations(
        self, routes: dict[str, "_Route"], arns: dict[str, str]
    ) -> list[DestinationFacts]:
        depths: dict[str, list[OutboxDepth]] = defaultdict(list)
        for depth in self._courier.depths:
            depths[depth.address.destination].append(depth)
        sources = {mapping.event_source_arn for mapping in self._catalog.mappings.values()}
        found = []
        for address, route in routes.items():
            waiting = depths.get(address, [])
            troubles = [self._courier.trouble(depth.address) for depth in waiting]
            trouble = next((it for it in troubles if it is not None), None)
            kept = self._asked.queues.get(arns.get(address, ""))
            found.append(
                DestinationFacts(
                    address=address,
                    kind=kind_of(address) or "unknown",
                    users=tuple(sorted(route.users)),
                    waiting=sum(depth.rows for depth in waiting),
                    oldest_ms=min((depth.oldest_ms for depth in waiting), default=None),
                    trouble="" if trouble is None else f"{trouble.reason}: {trouble.text}",
                    since_ms=0 if trouble is None else trouble.since_ms,
                    kept=None if kept is None else kept.count,
                    kept_oldest_ms=None if kept is None else kept.oldest_ms,
                    is_read=address in sources or not route.is_failure,
                )
            )
        return found


class _Route:
    """Who sends something to a destination."""

    def __init__(self) -> None:
        self.users: set[str] = set()
        self.is_failure = False
        """It gets what failed."""

    def add(self, user: str, *, is_failure: bool = True) -> None:
        self.users.add(user)
        self.is_failure |= is_failure


async def _breathe(slices: Slices) -> None:
    if slices.is_due:
        await slices.breathe()


def lane_facts(lane: LaneView) -> LaneFacts:
    """A lane for the page."""
    place = f"{lane.shard}:{lane.lane}" if lane.shard else lane.lane
    return LaneFacts(
        place, lane.state, lane.records, lane.attempts, lane.rest_ms, lane.oldest_arrival_ms
    )


def _redrive_target(queue: Queue) -> str:
    """The ARN of the queue that gets what was received in vain too often; empty for none."""
    policy = queue.attributes.get("RedrivePolicy")
    if not policy:
        return ""
    try:
        found = orjson.loads(policy).get("deadLetterTargetArn")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""
