"""The source: shards that records flow into, that split, merge, forget and fail."""

import asyncio
import random
from collections.abc import Callable

from router.mapping.budget import Aside
from router.model.errors import RouterError
from router.model.record import Fetched, Record
from tests.simulation.loop import VirtualLoop
from tests.simulation.options import MIB, Options


class Unreachable(RouterError):
    """A fetch that failed."""

    code = "unreachable"


EDGE_SHARE = 0.1
"""Records that arrive on a full second, where tumbling windows begin and end."""


class FakeShard:
    """One shard: positions grow, some are never used, old records go."""

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
        if rng.random() < EDGE_SHARE:
            wall_ms -= wall_ms % 1_000
        # The router's own wire form of a record, as far as the function looks at it.
        data = b'"partitionKey":"%b","body":"{\\"n\\":%d}","isBase64Encoded":false}'
        data %= (key.encode(), self.last % 10)
        record = Record(self.last, key, wall_ms, _size_bytes(options, rng), data)
        self.records.append(record)
        return record

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
        return rng.choice((6 * MIB - 13, 6 * MIB, 7 * MIB, 10 * MIB))
    if chance < options.oversize_percent + options.big_percent:
        return rng.choice((MIB, 2 * MIB, 3 * MIB - 7, 5 * MIB, 6 * MIB - 14))
    return rng.choice((200, 700, 5_000))


class FakeStream:
    """All shards. Outlives every router; `shell.Source` for the one that lives."""

    def __init__(
        self,
        options: Options,
        rng: random.Random,
        loop: VirtualLoop,
        wall_ms: Callable[[], int],
        appended: Callable[[str, Record], None],
    ) -> None:
        self.shards: dict[str, FakeShard] = {}
        self.is_calm = False
        self._options = options
        self._rng = rng
        self._loop = loop
        self._wall_ms = wall_ms
        self._appended = appended
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @property
    def open_shards(self) -> list[str]:
        """Shards that still take records."""
        return [name for name, shard in self.shards.items() if not shard.is_closed]

    def add(self, name: str, parents: tuple[str, ...]) -> FakeShard:
        """One more shard."""
        shard = self.shards[name] = FakeShard(name, parents)
        return shard

    # Records come

    def arrive(self) -> None:
        """Records come in bursts; most of the time there is a lull."""
        if self.is_calm:
            return
        options, rng = self._options, self._rng
        count = rng.randint(1, options.burst_max)
        names = self.open_shards
        for _ in range(count):
            self.append(rng.choice(names))
        lull_ms = int(rng.expovariate(options.records_per_s / count) * 1_000)
        self._loop.later(lull_ms + 1, self.arrive, is_of_life=False)

    def append(self, name: str) -> None:
        """One more record in a shard."""
        record = self.shards[name].append(self._options, self._rng, self._wall_ms())
        self._appended(name, record)
        self.wake(name)

    def wake(self, name: str) -> None:
        """Somebody may wait for what just happened to a shard."""
        waiting = self._waiting.pop(name, None)
        if waiting is not None:
            delay_ms = self._rng.randint(0, 2)
            self._loop.later(delay_ms, lambda: waiting.done() or waiting.set_result(None))

    def forget_readers(self) -> None:
        """Whoever waited is dead."""
        self._waiting.clear()

    # Records are read

    async def fetch(
        self, shard: str, after: int, records_max: int, bytes_max: int, wait_ms: int, aside: Aside
    ) -> Fetched:
        """See `shell.Source.fetch`: slow, short, failing, empty."""
        options, rng = self._options, self._rng
        await self._loop.pause(rng.randint(0, 1 if self.is_calm else options.fetch_ms_max))
        if self._chance(options.fetch_error_percent):
            raise Unreachable("the source does not answer")
        if self._chance(options.fetch_empty_percent):
            return Fetched((), after)
        found = self._read(shard, after, records_max, aside.take(bytes_max))
        if not found.records and found.read_to == after and not found.is_end:
            aside.give_back()
            await self._wait(shard, wait_ms)
            found = self._read(shard, after, records_max, aside.take(bytes_max))
        return found

    def _read(self, shard: str, after: int, records_max: int, bytes_max: int) -> Fetched:
        if self._chance(self._options.fetch_short_percent):
            records_max = self._rng.randint(1, min(3, records_max))
        source = self.shards[shard]
        records, read_to = source.read(after, records_max, bytes_max)
        return Fetched(records, read_to, source.is_closed and read_to >= source.last)

    async def _wait(self, shard: str, wait_ms: int) -> None:
        arrived = self._loop.create_future()
        self._waiting[shard] = arrived
        self._loop.later(wait_ms, lambda: arrived.done() or arrived.set_result(None))
        try:
            await arrived
        finally:
            if self._waiting.get(shard) is arrived:
                del self._waiting[shard]

    def _chance(self, percent: int) -> bool:
        return not self.is_calm and percent > 0 and self._rng.random() * 100 < percent
