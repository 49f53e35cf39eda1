"""The parts of a crash trial: a router process, a collector, a sender, a judge."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from router.mapping.lanes import lane_of
from tests.patience import PATIENCE_S
from tests.ports import lasting_port

HERE = Path(__file__).parent
SECRET = "crash-secret"
Id = tuple[str, int]


class RouterProcess:
    """`router run` on one data folder, started and killed any number of times."""

    def __init__(self, folder: Path, template: Path, parameters: dict[str, str]) -> None:
        self.folder, self.template, self.parameters = folder, template, parameters
        self.data = folder / "data"
        self.log = folder / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}
        self.start_s = 0.0

    def start(self, environment: dict[str, str] | None = None, *, waits: bool = True) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        listen = {
            name: (self.addresses.get(name) or f"http://127.0.0.1:{lasting_port()}").split("//")[1]
            for name in ("api", "ingress", "ops")
        }
        command = [
            Path(sys.executable).parent / "router", "run", self.template,
            "--data", self.data, "--ready-file", ready,
            *(part for name, where in listen.items() for part in (f"--{name}", where)),
            *(f"--parameter={name}={text}" for name, text in self.parameters.items()),
        ]  # fmt: skip
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={
                    **os.environ, "ROUTER_SECRET_CRASH": SECRET, "ROUTER_LOG_FORMAT": "json",
                    "ROUTER_BACKOFF_MS_MAX": "1000", **(environment or {}),
                },
            )  # fmt: skip
        while waits and not ready.exists():
            if self.process.poll() is not None:
                if environment:
                    return
                raise AssertionError(f"the router ended: {self.tail()}")
            if time.monotonic() - began > PATIENCE_S:
                raise AssertionError(f"the router is not ready after {PATIENCE_S} s: {self.tail()}")
            time.sleep(0.005)
        if waits:
            self.start_s = time.monotonic() - began
            self.addresses = json.loads(ready.read_text())

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]

    def children(self) -> list[int]:
        """Processes that live because of this router: found by their data folder or parent."""
        assert self.process is not None
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    kids = [int(text) for text in task.read_text().split()]
                    found += kids
                    todo += kids
        return found


@dataclass
class Call:
    """One invocation as the function told it."""

    records: list[dict]
    began: float
    pid: int
    ended: float | None = None
    seen: list[Id] = field(default_factory=list)


class Collector:
    """Hears of every record before the handler goes on; may tell a handler to die."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.sights: list[tuple[float, Id, str]] = []
        self.orders: list[bytes] = []
        """What to answer to coming `record` reports instead of `ok`."""
        self.pids: set[int] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=64 * 1024 * 1024
        )
        port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                facts = json.loads(line)
                writer.write(self._note(facts))
                await writer.drain()
        writer.close()

    def _note(self, facts: dict) -> bytes:
        now, call = time.monotonic(), facts["call"]
        self.pids.add(facts["pid"])
        if facts["what"] == "begin":
            self.calls[call] = Call(facts["records"], now, facts["pid"])
        elif facts["what"] == "record":
            it = (facts["key"], facts["n"])
            self.calls[call].seen.append(it)
            self.sights.append((now, it, call))
            if self.orders:
                return self.orders.pop()
        else:
            self.calls[call].ended = now
        return b"ok\n"


@dataclass
class Plan:
    """What is sent: per key its records, some of them poison."""

    keys: int
    posts: int
    poison: set[Id]

    @classmethod
    def draw(cls, rng: random.Random, keys: int, posts: int, poison: int) -> "Plan":
        everything = [(f"k{number % keys:03d}", number // keys) for number in range(posts)]
        return cls(keys, posts, set(rng.sample(everything, poison)))

    def of(self, key: int) -> list[Id]:
        return [(f"k{key:03d}", n) for n in range(-(-(self.posts - key) // self.keys))]


class Sender:
    """One stream a key: each record after the answer to the one before; retried until 202."""

    def __init__(self, router: RouterProcess, plan: Plan, pause_s: float = 0.0) -> None:
        self.router, self.plan, self.pause_s = router, plan, pause_s
        self.accepted: set[Id] = set()
        self.odd: Counter[int] = Counter()

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=self.plan.keys)
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._stream(session, k) for k in range(self.plan.keys)))

    async def _stream(self, session: aiohttp.ClientSession, key: int) -> None:
        for it in self.plan.of(key):
            await self._post(session, it)
            if self.pause_s:
                await asyncio.sleep(self.pause_s)

    async def _post(self, session: aiohttp.ClientSession, it: Id) -> None:
        body = json.dumps({"key": it[0], "n": it[1], "poison": it in self.plan.poison}).encode()
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-GitHub-Delivery": f"{it[0]}-{it[1]}",
        }
        while True:
            try:
                url = self.router.addresses["ingress"] + "/in"
                async with session.post(url, data=body, headers=headers) as reply:
                    await reply.read()
                    if reply.status == 202:
                        self.accepted.add(it)
                        return
                    self.odd[reply.status] += 1
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.02)


async def failures(router: RouterProcess) -> list[dict]:
    """Every on-failure record that waits in the failure queue, looked at without receiving."""
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    async with aiohttp.ClientSession() as session:

        async def call(target: str, **members: object) -> dict:
            async with session.post(
                router.addresses["api"],
                data=json.dumps(members),
                headers=headers | {"X-Amz-Target": f"Router.{target}"},
            ) as reply:
                answer = await reply.json(content_type=None)
                assert reply.status == 200, answer
                return answer

        queues = (await call("ListQueues"))["Queues"]
        messages = await call("PeekQueue", QueueName=queues[0]["Name"], MaxMessages=1000)
    return [json.loads(message["Body"]) for message in messages["Messages"]]


@dataclass
class Snapshot:
    """The moment of a kill: what was handed to handlers and what the store knew of it."""

    at: float
    in_flight: set[Id]
    running_calls: int


def last_calls(collector: Collector, pids: list[int]) -> Snapshot:
    """What environments had in hand when they were killed: at most the last call of each.

    A call may have said that it ended and have died before its reply was out.
    """
    in_flight: set[Id] = set()
    running = 0
    for pid in pids:
        mine = [call for call in collector.calls.values() if call.pid == pid]
        if mine:
            last = max(mine, key=lambda call: call.began)
            running += last.ended is None
            in_flight |= {(record["key"], record["n"]) for record in last.records}
    return Snapshot(time.monotonic(), in_flight, running)


def snapshot(router: RouterProcess, collector: Collector) -> Snapshot:
    """Read the dead router's store: in flight is handed over and not in the durable checkpoint."""
    progress = read_progress(router.data / "router.db")
    in_flight: set[Id] = set()
    for call in collector.calls.values():
        for record in call.records:
            shard = progress.get(record["shard"])
            if shard is None or not shard.covers(record["key"], int(record["seq"])):
                in_flight.add((record["key"], record["n"]))
    running = sum(1 for call in collector.calls.values() if call.ended is None)
    return Snapshot(time.monotonic(), in_flight, running)


@dataclass
class StoredShard:
    position: int
    factor: int
    lanes: dict[int, int]

    def covers(self, key: str, position: int) -> bool:
        lane = lane_of(key, self.factor)
        return position <= max(self.position, self.lanes.get(lane, 0))


def read_progress(database: Path) -> dict[str, StoredShard]:
    """Stored progress of the only mapping, by shard; read from a copy of the files."""
    copies = database.parent / "snapshot"
    copies.mkdir(exist_ok=True)
    for name in (database.name, database.name + "-wal"):
        source = database.parent / name
        if source.exists():
            (copies / name).write_bytes(source.read_bytes())
    with contextlib.closing(sqlite3.connect(copies / database.name)) as db:
        shards = {
            shard: StoredShard(position, factor, {})
            for shard, position, factor in db.execute(
                "SELECT shard, position, factor FROM progress"
            )
        }
        for shard, lane, position in db.execute("SELECT shard, lane, position FROM lanes"):
            if shard in shards:
                shards[shard].lanes[lane] = position
    return shards


@dataclass
class Verdict:
    """What a trial showed."""

    accepted: int
    lost: set[Id]
    out_of_order: list[str]
    discarded: set[Id]
    wrongly_discarded: set[Id]
    poison_not_discarded: set[Id]
    discarded_twice: set[Id]
    duplicates: set[Id]
    unexplained: set[Id]

    @property
    def is_good(self) -> bool:
        return not (
            self.lost or self.out_of_order or self.wrongly_discarded or self.poison_not_discarded
            or self.discarded_twice or self.unexplained
        )  # fmt: skip


def judge(
    plan: Plan,
    accepted: set[Id],
    collector: Collector,
    failed: list[dict],
    kills: list[Snapshot],
    positions: dict[tuple[str, int], Id],
) -> Verdict:
    """Compare sets: sent, handled, discarded, seen again."""
    handled: dict[Id, list[float]] = defaultdict(list)
    for call in collector.calls.values():
        if call.ended is not None:
            for it in call.seen:
                handled[it].append(call.ended)
    discards: Counter[Id] = Counter()
    for document in failed:
        info = document["RouterWebhookBatchInfo"]
        first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
        assert info["batchSize"] == 1 or first < last
        for position in {first, last}:
            discards[positions[(info["shardId"], position)]] += 1
    allowed = set().union(*(kill.in_flight for kill in kills)) if kills else set()
    duplicates = {it for it, ends in handled.items() if len(ends) > 1}
    return Verdict(
        accepted=len(accepted),
        lost=accepted - handled.keys() - discards.keys(),
        out_of_order=_disorder(collector, handled, discards),
        discarded=set(discards),
        wrongly_discarded=discards.keys() - plan.poison,
        poison_not_discarded=(accepted & plan.poison) - discards.keys(),
        discarded_twice={it for it, count in discards.items() if count > 1},
        duplicates=duplicates,
        unexplained=duplicates - allowed,
    )


def _disorder(
    collector: Collector, handled: dict[Id, list[float]], discards: Counter[Id]
) -> list[str]:
    """First sights of n before every earlier record of its key had succeeded or been given up.

    A discarded record has no moment of its own here: it is enough that it was seen before.
    """
    first_sight: dict[Id, tuple[float, str]] = {}
    for at, it, call in collector.sights:
        first_sight.setdefault(it, (at, call))
    wrong = []
    for (key, n), (at, call) in first_sight.items():
        if n == 0:
            continue
        before = (key, n - 1)
        if before not in first_sight or first_sight[before][0] > at:
            wrong.append(f"{key}: {n} seen before {n - 1}")
            continue
        seen_here = collector.calls[call].seen
        stands_before = before in seen_here[: seen_here.index((key, n))]
        if stands_before or before in discards:
            continue
        if min(handled.get(before, [float("inf")])) > at:
            wrong.append(f"{key}: {n} seen before {n - 1} had succeeded")
    return wrong


def positions_of(collector: Collector) -> dict[tuple[str, int], Id]:
    """(shard, sequence number) → id, from the events themselves."""
    return {
        (record["shard"], int(record["seq"])): (record["key"], record["n"])
        for call in collector.calls.values()
        for record in call.records
    }


async def settled(
    router: RouterProcess, plan: Plan, accepted: set[Id], collector: Collector, wait_s: float
) -> list[dict]:
    """Wait until every accepted record was handled or discarded; the failure records."""
    deadline = time.monotonic() + wait_s
    while True:
        failed = await failures(router)
        handled = {it for call in collector.calls.values() if call.ended for it in call.seen}
        done = accepted - plan.poison <= handled and len(failed) >= len(accepted & plan.poison)
        if done or time.monotonic() > deadline:
            # One quiet moment more, so that an illegal extra delivery would show.
            await asyncio.sleep(0.3)
            return await failures(router)
        await asyncio.sleep(0.05)
