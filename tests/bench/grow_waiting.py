"""GROW-WAITING: a store in which 20,000 records wait, and one in which a million do.

The records are put into the store before the router starts. Looked at, in this order: how long a
start takes and how much memory the idle router has; what a new post costs while they wait; what
an event costs that is drained, until none waits any more and the function has counted every one;
what removing them all costs a record, and how long a commit waits behind it. The goal is judged
on the worst of the three costs.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from router.sources import webhook_event
from router.store.base import NewRecord
from router.store.sqlite import SqliteStore
from tests.bench.pipeline import bed, growth

GOAL = "GROW-WAITING"
ROUNDS = 3
FEW, MANY = 20_000, 1_000_000
BODY = b'{"repository":{"full_name":"bench/repository"},"text":"%b"}' % (b"x" * 450)
FILL_GROUP = 2_000
SHARDS = 4
DRAIN_S = 300.0


def resources(*, is_mapped: bool) -> growth.Resources:
    found: growth.Resources = {"Hook": growth.webhook("/in", shards=SHARDS)}
    if is_mapped:
        found["Worker"] = growth.function()
        found["Feed"] = growth.mapping({"Fn::GetAtt": ["Hook", "Arn"]}, "Worker")
    return found


async def fill(data: Path, stream: str, count: int) -> None:
    """Put records into a store no router runs on."""
    origin = webhook_event.origin_members(stream)
    headers = {"host": "localhost", "content-type": "application/json"}
    store = SqliteStore(data)
    await store.open()
    number = 0
    while number < count:
        waiting = []
        arrival_ms = int(time.time() * 1000)
        for _ in range(min(FILL_GROUP, count - number)):
            key = f"bench/repository-{number % 200:03d}"
            fragment = webhook_event.build_fragment(
                origin, key=key, arrival_ms=arrival_ms, body=BODY, text=BODY.decode(),
                headers=headers, query={}, method="POST", path="/in", source_ip="127.0.0.1",
            )  # fmt: skip
            record = NewRecord(
                stream=stream,
                shard=f"shardId-{number % SHARDS:012d}",
                event_id=f"{number:036d}",
                key=key,
                arrival_ms=arrival_ms,
                data=fragment,
                size_bytes=webhook_event.record_size_bytes(fragment),
            )
            waiting.append(store.streams.append_nowait(record))
            number += 1
        await asyncio.gather(*waiting)
    await store.close()


class End:
    """One end: a data folder, and what was seen of it."""

    def __init__(self, name: str, folder: Path, waiting: int) -> None:
        self.name = name
        self.folder = folder / name
        self.waiting = waiting
        self.shown: dict[str, float] = {}

    @contextlib.contextmanager
    def router(self, *, is_mapped: bool) -> Iterator[bed.Server]:
        where = self.folder / ("mapped" if is_mapped else "alone")
        path = growth.template(where / "bench", resources(is_mapped=is_mapped))
        with bed.router(where, self.name, template=path, data=self.folder / "data") as server:
            yield server

    def look_idle(self, server: bed.Server) -> None:
        self.shown["start_s"] = round(server.start_s, 2)
        self.shown["idle_mb"] = round(server.memory_mb(), 1)

    def drain(self) -> None:
        """Let the mapping handle all that waits."""
        with self.router(is_mapped=True) as server:
            collector, deadline = server.collector, time.monotonic() + DRAIN_S
            while collector.records < self.waiting and time.monotonic() < deadline:
                time.sleep(0.005)
            cpu_s = server.cpu_s()
            time.sleep(bed.QUIET_S)
            if collector.records != self.waiting:
                raise bed.Dishonest(f"{self.name}: {collector.records} of {self.waiting} handled")
            self.shown["drain_cpu_us"] = round((cpu_s - server.ready_cpu_s) / self.waiting * 1e6, 1)
            self.shown["drain_mean_batch"] = round(self.waiting / collector.batches, 1)
            self.shown["drain_peak_mb"] = round(server.memory_mb("VmHWM"), 1)

    async def trim(self) -> None:
        """Remove all, with appends going on beside it."""
        store = SqliteStore(self.folder / "data")
        await store.open()
        waits: list[float] = []
        probe = asyncio.ensure_future(_append_on_and_on(store, waits))
        stream = stream_arn()
        cpu_s, before_ms = time.process_time(), int(time.time() * 1000) + 1
        removed, _ = await store.streams.trim(stream, before_ms, {})
        cpu_s = time.process_time() - cpu_s
        probe.cancel()
        await asyncio.wait([probe])
        await store.close()
        if removed < self.waiting:
            raise bed.Dishonest(f"{self.name}: {removed} of {self.waiting} removed")
        self.shown["trim_cpu_us"] = round(cpu_s / removed * 1e6, 2)
        self.shown["trim_append_wait_ms_max"] = round(max(waits, default=0.0) * 1000, 1)


async def _append_on_and_on(store: SqliteStore, waits: list[float]) -> None:
    number = 0
    while True:
        began = time.perf_counter()
        await store.streams.append(
            NewRecord(
                stream="other", shard="shardId-000000000000", event_id=str(number), key="k",
                arrival_ms=1, data=BODY, size_bytes=len(BODY),
            )
        )  # fmt: skip
        waits.append(time.perf_counter() - began)
        number += 1
        await asyncio.sleep(0.005)


def stream_arn() -> str:
    return "arn:aws:router:us-east-1:000000000000:webhook/bench-Hook"


def run(*, is_quick: bool = False) -> dict:
    """Per event, at both ends."""
    if missing := growth.unavailable(GOAL):
        return missing
    rounds, size = (1, (400, 32)) if is_quick else (ROUNDS, (20_000, 256))
    with tempfile.TemporaryDirectory() as name:
        ends = [
            End("small", Path(name), 100 if is_quick else FEW),
            End("large", Path(name), 2_000 if is_quick else MANY),
        ]
        small, large = ends
        for end in ends:
            asyncio.run(fill(end.folder / "data", stream_arn(), end.waiting))
        with small.router(is_mapped=False) as one, large.router(is_mapped=False) as other:
            small.look_idle(one)
            large.look_idle(other)
            load = bed.Load(*size, deliveries=0)
            found = bed.compare_loads([(one, load), (other, load)], rounds)
        for end in ends:
            end.waiting += size[0] * (rounds + 1)
            end.drain()
            asyncio.run(end.trim())
    ingest = growth.factor(found["small"], found["large"])
    factors = {
        "ingest": float(str(ingest["ratio"])),
        "drain": round(large.shown["drain_cpu_us"] / small.shown["drain_cpu_us"], 2),
        "trim": round(large.shown["trim_cpu_us"] / small.shown["trim_cpu_us"], 2),
    }
    ratio = max(factors.values())
    return {
        GOAL: {
            **ingest,
            "ratio": ratio,
            "ok": ratio <= growth.FLAT,
            "ok_best": False,
            "factors": factors,
            "waiting": {"small": small.shown, "large": large.shown},
        }
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
