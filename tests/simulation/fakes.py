"""What surrounds an engine: a stream, a store and a function, all without time of their own."""

import json
import random

import msgspec

from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.model.record import Record
from router.outcomes.interpret import interpret
from tests.simulation.heads import Kind, Verdict
from tests.simulation.options import MIB, Options


class FakeShard:
    """One shard of a stream: positions grow, some are not for us, old ones go."""

    def __init__(self, name: str, parents: tuple[str, ...] = ()) -> None:
        self.name = name
        self.parents = parents
        self.records: list[Record] = []
        self.last = 0
        self.trimmed_to = 0
        self.is_closed = False
        self._first = 0
        """Index of the first record that is still there."""

    def append(self, options: Options, rng: random.Random, wall_ms: int) -> Record:
        """One more record."""
        self.last += 1
        while options.gap_percent and rng.random() * 100 < options.gap_percent:
            self.last += 1
        key = f"k{min(rng.randrange(options.keys), rng.randrange(options.keys))}"
        record = Record(self.last, key, wall_ms, _size_bytes(options, rng), b"")
        self.records.append(record)
        return record

    def pass_over(self) -> None:
        """A position that a filter hides."""
        self.last += 1

    def trim(self, before_ms: int) -> None:
        """Forget records that arrived before a wall time."""
        while self._first < len(self.records):
            record = self.records[self._first]
            if record.arrival_ms >= before_ms:
                return
            self.trimmed_to = record.position
            self._first += 1

    def read(self, after: int, records_max: int, bytes_max: int) -> tuple[tuple[Record, ...], int]:
        """Records after a position and how far was read."""
        low, high = self._first, len(self.records)
        while low < high:
            middle = (low + high) // 2
            if self.records[middle].position <= after:
                low = middle + 1
            else:
                high = middle
        found: list[Record] = []
        room_bytes = bytes_max
        for index in range(low, min(len(self.records), low + records_max)):
            record = self.records[index]
            room_bytes -= record.size_bytes
            if found and room_bytes < 0:
                break
            found.append(record)
        is_all = low + len(found) == len(self.records)
        return tuple(found), max(after, self.last if is_all else found[-1].position)


def _size_bytes(options: Options, rng: random.Random) -> int:
    chance = rng.random() * 100
    if chance < options.oversize_percent:
        return rng.choice((6 * MIB - 13, 6 * MIB, 7 * MIB))
    if chance < options.oversize_percent + options.big_percent:
        return rng.choice((MIB, 2 * MIB, 3 * MIB - 7, 5 * MIB, 6 * MIB - 14))
    return rng.choice((200, 700, 5_000))


class FakeStore:
    """What is durable of a mapping's progress. Writes of one shard may come in any order."""

    def __init__(self) -> None:
        self.progress: dict[str, ShardProgress] = {}

    def apply(self, update: ProgressUpdate) -> ShardProgress:
        """Store one step: the shard's position never goes back, a new lane map replaces all."""
        found = self.progress[update.shard]
        lanes: dict[int, LaneProgress] = {}
        if found.factor == update.factor:
            lanes = {lane.lane: lane for lane in found.lanes}
        else:  # but the last tumbling window outlives its lane map
            last = next((lane for lane in found.lanes if lane.window is not None), None)
            if last is not None:
                lanes[0] = LaneProgress(0, last.position, window=last.window)
        lanes[update.lane.lane] = update.lane
        stored = ShardProgress(
            position=max(found.position, update.position),
            factor=update.factor,
            lanes=tuple(lanes[index] for index in sorted(lanes)),
        )
        self.progress[update.shard] = stored
        return stored


class Reply(msgspec.Struct, frozen=True):
    """What the function will do with one invocation."""

    after_ms: int
    payload: bytes = b"null"
    error_type: str | None = None
    reported: int | None = None
    """Lowest index it reports as failed."""
    is_refused: bool = False
    """The reply breaks the rules of partial responses."""

    def verdict(self, spec: MappingSpec) -> Verdict:
        """What that means under these settings, told without reading the payload (D2, D9)."""
        if self.error_type is not None:
            return Verdict(Kind.FAILED)
        if not spec.is_reporting_failures:
            return Verdict(Kind.FINISHED)
        if self.is_refused:
            return Verdict(Kind.INVALID)
        if self.reported is not None:
            return Verdict(Kind.PARTLY, self.reported)
        return Verdict(Kind.FINISHED)

    def outcome(self, spec: MappingSpec, records: tuple[Record, ...]) -> Outcome:
        """What the router makes of it."""
        return interpret(self.payload, self.error_type, spec, records)


class FakeFunction:
    """Succeeds, fails, hangs, dies or answers nonsense, as the options say."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._options = options
        self._rng = rng
        self.poison: set[tuple[str, int]] = set()
        self.is_calm = False

    def is_throttled(self) -> bool:
        """The dispatcher refuses at once."""
        return not self.is_calm and self._rng.random() * 100 < self._options.throttle_percent

    def reply(self, shard: str, records: tuple[Record, ...]) -> Reply:
        """What it does with this batch."""
        rng, options = self._rng, self._options
        if self.is_calm:
            return Reply(1)
        after_ms = rng.randint(0, options.latency_ms_max)
        if self.poison:
            for index, record in enumerate(records):
                if (shard, record.position) in self.poison:
                    if record.position % 2:
                        return Reply(after_ms, _report([record.position]), reported=index)
                    return Reply(after_ms, error_type="ValueError")
        chance = rng.random() * 100
        for percent, make in (
            (options.error_percent, self._error),
            (options.timeout_percent, self._timeout),
            (options.malformed_percent, self._malformed),
            (options.partial_percent, self._partial),
            (options.invalid_partial_percent, self._invalid),
        ):
            if chance < percent:
                return make(after_ms, records)
            chance -= percent
        return Reply(after_ms, rng.choice(_FINE))

    def _error(self, after_ms: int, _: tuple[Record, ...]) -> Reply:
        kind = self._rng.choice(("ValueError", "Runtime.ExitError", "Runtime.OutOfMemory"))
        return Reply(after_ms, error_type=kind)

    def _timeout(self, _: int, __: tuple[Record, ...]) -> Reply:
        return Reply(self._rng.choice((3_000, 15_000)), error_type="Sandbox.Timedout")

    def _malformed(self, after_ms: int, _: tuple[Record, ...]) -> Reply:
        return Reply(after_ms, self._rng.choice(_MALFORMED), is_refused=True)

    def _partial(self, after_ms: int, records: tuple[Record, ...]) -> Reply:
        count = self._rng.randint(1, len(records))
        failed = self._rng.sample(range(len(records)), count if self._rng.random() < 0.3 else 1)
        payload = _report([records[index].position for index in failed])
        return Reply(after_ms, payload, reported=min(failed))

    def _invalid(self, after_ms: int, records: tuple[Record, ...]) -> Reply:
        good = str(self._rng.choice(records).position)
        wrong = self._rng.choice(
            (
                {"itemIdentifier": ""},
                {"itemIdentifier": None},
                {"itemIdentifier": records[0].position},
                {"itemIdentifier": str(records[-1].position + 1)},
                {"foo": 1},
            )
        )
        entries = [wrong] if self._rng.random() < 0.5 else [{"itemIdentifier": good}, wrong]
        return Reply(after_ms, _json({"batchItemFailures": entries}), is_refused=True)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _report(positions: list[int]) -> bytes:
    return _json({"batchItemFailures": [{"itemIdentifier": str(p)} for p in positions]})


_FINE = (
    b"null",
    b'""',
    b"[]",
    b"{}",
    b'{"batchItemFailures": []}',
    b'{"batchItemFailures": null}',
    b'{"statusCode": 200}',
)
_MALFORMED = (b"not json", b'"done"', b"17", b"[1]", b"true", b'{"batchItemFailures": "all"}')
