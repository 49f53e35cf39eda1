"""The private `router` service: what the CLI asks that AWS has no operation for."""

import secrets
from collections.abc import Awaitable, Callable
from collections.abc import Mapping as Table
from typing import Any

import orjson

from router.mapping.journal import NOTHING_YET
from router.mapping.manager import MappingManager
from router.mapping.view import MappingView, ShardPlace
from router.model.errors import NotFound, RouterError
from router.model.resources import Mapping
from router.model.source_kind import QUEUES, SourceKind
from router.store.base import Store
from router.store.catalog import Catalog

PEEK_MAX = 1_000

TRACE_S_MAX = 300
"""Longest trace, in seconds."""

LANES_MAX = 1_000
"""Lanes of one mapping that are told of: those with the oldest records."""

WELL = frozenset({"OK", NOTHING_YET})
"""Results of mappings that are not in trouble."""

Facts = Callable[[], Table[str, Any]]
Operation = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class BadRequest(RouterError):
    """A member of a request is missing or wrong."""

    code = "bad_request"


class Admin:
    """Operations on a running router; JSON objects in and out."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        mappings: MappingManager,
        facts: Facts,
        wall_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._mappings = mappings
        self._facts = facts
        self._wall_ms = wall_ms

    def operations(self) -> dict[str, Operation]:
        """Name → handler, for the control server."""
        return {
            "ListMappings": self.list_mappings,
            "DescribeMapping": self.describe_mapping,
            "DescribeShards": self.describe_shards,
            "ListQueues": self.list_queues,
            "PeekQueue": self.peek_queue,
            "Describe": self.describe,
            "TraceMapping": self.trace_mapping,
        }

    async def list_mappings(self, _request: dict[str, Any]) -> dict[str, Any]:
        """All mappings; those in trouble first, then by name. A lag nobody knows is null."""
        await self._mappings.measure()
        rows = []
        for mapping in self._catalog.mappings.values():
            status = self._mappings.status(mapping.uuid)
            lag, in_flight = self._mappings.load(mapping.uuid)
            rows.append(
                {
                    "UUID": mapping.uuid,
                    "Name": mapping.name,
                    "FunctionName": mapping.function
                    + (f":{mapping.qualifier}" if mapping.qualifier else ""),
                    "EventSourceArn": mapping.event_source_arn,
                    "Source": mapping.source_name,
                    "State": status.state,
                    "LastProcessingResult": status.last_processing_result,
                    "Lag": lag,
                    "InFlight": in_flight,
                }
            )
        rows.sort(key=lambda row: (row["LastProcessingResult"] in WELL, row["Name"]))
        return {"Mappings": rows}

    async def describe_mapping(self, request: dict[str, Any]) -> dict[str, Any]:
        """A mapping at work: how far behind, what runs, what went wrong, its busy lanes."""
        mapping = self._catalog.mappings.get(str(request.get("UUID")))
        if mapping is None:
            raise NotFound(f"mapping {request.get('UUID')} does not exist")
        await self._mappings.measure()
        view, wall_ms = self._mappings.view(mapping.uuid), self._wall_ms()
        error = view.last_error
        return {
            "Lag": view.lag,
            "InFlight": view.in_flight,
            "Held": view.held_records,
            "OldestRecordAgeSeconds": _age_s(await self.oldest_ms(mapping, view), wall_ms),
            "LastError": None
            if error is None
            else {"Text": error.text, "AgoSeconds": _age_s(error.wall_ms, wall_ms)},
            "BusyLanes": len(view.lanes),
            "Lanes": [
                {
                    "Shard": lane.shard,
                    "Lane": lane.lane,
                    "State": lane.state,
                    "Records": lane.records,
                    "FailedAttempts": lane.attempts,
                    "RestSeconds": lane.rest_ms / 1000,
                    "Position": lane.position,
                    "OldestRecordAgeSeconds": _age_s(lane.oldest_arrival_ms, wall_ms),
                }
                for lane in view.lanes[:LANES_MAX]
            ],
        }

    async def oldest_ms(self, mapping: Mapping, view: MappingView) -> int | None:
        """When the oldest record came that is not finished; None for none, and if nobody knows.

        Of queues and streams kept here also what was not read yet. Wall clock.
        """
        arn, known = mapping.event_source_arn, [view.oldest_arrival_ms]
        if mapping.kind in QUEUES:
            queue = self._catalog.queues.get(arn.rpartition(":")[2])
            if queue is not None and queue.arn == arn:
                messages = await self._store.queues.peek(queue.name, 1)
                known += [message.sent_ms for message in messages]
        elif mapping.kind is SourceKind.WEBHOOK:
            shards = self._mappings.streams.shard_names(arn)
            positions = await self._mappings.streams.positions(mapping.uuid, shards)
            for shard, position in positions.items():
                found = await self._store.streams.read(arn, shard, position, 1, 1)
                known += [record.arrival_ms for record in found.records]
        return min((it for it in known if it is not None), default=None)

    async def describe_shards(self, request: dict[str, Any]) -> dict[str, Any]:
        """How far a mapping has come in each shard of its stream, and what a shard waits for."""
        mapping = self._catalog.mappings.get(str(request.get("UUID")))
        if mapping is None:
            raise NotFound(f"mapping {request.get('UUID')} does not exist")
        arn = mapping.event_source_arn
        last = {it.shard: it.last_position for it in await self._store.streams.stats(arn)}
        shards = [
            shard
            for webhook in self._catalog.webhooks.values()
            if webhook.spec.arn == arn
            for shard in webhook.spec.stream_shards
        ]
        names = [shard.name for shard in shards]
        positions = await self._mappings.streams.positions(mapping.uuid, names)
        lag = {name: max(0, last.get(name, 0) - positions[name]) for name in names}
        rows: list[dict[str, Any]] = [
            {
                "ShardId": shard.name,
                "State": "closed" if shard.is_closed else "open",
                "Position": positions[shard.name],
                "Lag": lag[shard.name],
                "WaitsFor": [name for name in shard.parents if lag[name]],
            }
            for shard in shards
        ]
        rows += [
            {
                "ShardId": place.shard,
                "State": "assigned",
                "Position": place.position,
                "Lag": place.lag,
                "WaitsFor": [],
            }
            for place in sorted(self._mappings.places(mapping.uuid), key=_number)
        ]
        return {"Shards": rows}

    async def list_queues(self, _request: dict[str, Any]) -> dict[str, Any]:
        """All embedded queues with their counts."""
        rows = []
        for name in sorted(self._catalog.queues):
            counts = await self._store.queues.counts(name, self._wall_ms())
            rows.append(
                {
                    "Name": name,
                    "Visible": counts.visible,
                    "InFlight": counts.in_flight,
                    "Delayed": counts.delayed,
                }
            )
        return {"Queues": rows}

    async def peek_queue(self, request: dict[str, Any]) -> dict[str, Any]:
        """The oldest messages of a queue, received by nobody. Raises `NotFound`."""
        name, messages_max = request.get("QueueName"), request.get("MaxMessages", 10)
        if not isinstance(name, str) or not isinstance(messages_max, int):
            raise BadRequest("QueueName must be text and MaxMessages a number")
        if name not in self._catalog.queues:
            known = ", ".join(sorted(self._catalog.queues)) or "none"
            raise NotFound(f"queue {name} does not exist; there are: {known}")
        messages = await self._store.queues.peek(name, min(max(1, messages_max), PEEK_MAX))
        return {
            "Messages": [
                {
                    "MessageId": message.message_id,
                    "Body": message.body,
                    "SentTimestamp": message.sent_ms,
                    "ReceiveCount": message.receive_count,
                    **_group(message.system),
                }
                for message in messages
            ]
        }

    async def trace_mapping(self, request: dict[str, Any]) -> dict[str, Any]:
        """Record what a mapping's engine hears and decides. Raises `NotFound`, `Conflict`."""
        uuid, seconds = request.get("UUID"), request.get("Seconds", 10)
        if not isinstance(uuid, str) or not isinstance(seconds, int):
            raise BadRequest("UUID must be text and Seconds a number")
        if not 1 <= seconds <= TRACE_S_MAX:
            raise BadRequest(f"Seconds must be from 1 to {TRACE_S_MAX}")
        if uuid not in self._catalog.mappings:
            raise NotFound(f"mapping {uuid} does not exist")
        tape = await self._mappings.trace(uuid, seconds, secrets.token_bytes(16))
        return {"Lines": [line.decode() for line in tape.lines], "IsCut": tape.is_cut}

    async def describe(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Facts for `router doctor`."""
        return dict(self._facts())


def _age_s(then_ms: int | None, wall_ms: int) -> float | None:
    """Seconds since; never below 0, for clocks are set."""
    return None if then_ms is None else max(0, wall_ms - then_ms) / 1000


def _group(system: bytes) -> dict[str, str]:
    """The group of a message, where it has one."""
    group = orjson.loads(system).get("MessageGroupId") if system else None
    return {} if group is None else {"MessageGroupId": group}


def _number(place: ShardPlace) -> tuple[str, int]:
    """Orders `topic-2` before `topic-10`."""
    topic, _, number = place.shard.rpartition("-")
    return topic, int(number)
