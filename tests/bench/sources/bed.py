"""What the benches of Kafka and SQS share: servers, a router, other consumers, and counting.

Every side drains what waits, tells a collector outside how many records it handled, and is judged
from the first tenth to the last record: joining a group and starting processes are not counted.
Fewer records told than there were, or more, fail the bench on either side.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.pipeline import bed, growth
from tests.bench.pipeline.bed import Dishonest, Unavailable
from tests.cputime import cpu_s
from tests.servers.base import launch
from tests.servers.elasticmq import ElasticMq
from tests.servers.jars import Missing
from tests.servers.kafka import KafkaServer

HERE = Path(__file__).parent
PEERS = bed.ROOT / ".venv-peers" / "bin" / "python"
"""confluent-kafka and FastStream, in an environment of their own."""

GIVEN = "BENCH_"
"""BENCH_KAFKA and BENCH_ELASTICMQ name a server that is there already."""

ESM = "/2015-03-31/event-source-mappings/"
PARTITIONS = 4
COUNTED_FROM = 0.1
"""Share of the records after which a side is warm."""

DRAIN_S_MAX = 120.0
GONE_S_MAX = 60.0
PAUSE_S = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


# Servers


@contextlib.contextmanager
def kafka() -> Iterator[str]:
    """HOST:PORT of a broker. Raises `Unavailable`."""
    if not PEERS.exists():
        raise Unavailable("the other consumers are not installed: make peers")
    with _server(KafkaServer) as server:
        yield server if isinstance(server, str) else server.bootstrap


@contextlib.contextmanager
def sqs() -> Iterator[str]:
    """Address of an SQS. Raises `Unavailable`."""
    with _server(ElasticMq) as server:
        yield server if isinstance(server, str) else server.url


@contextlib.contextmanager
def _server(make: type[Any]) -> Iterator[Any]:
    if given := os.environ.get(GIVEN + make.name.upper()):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        server = make(Path(folder))
        try:
            launch(server)
        except Missing as error:
            raise Unavailable(str(error)) from None
        try:
            yield server
        finally:
            server.stop()


def topic(bootstrap: str, records: int, partitions: int = PARTITIONS, keys: int = 64) -> str:
    """A new topic with so many records of 1 KB."""
    name = f"t-{uuid4().hex[:12]}"
    numbers = (str(one) for one in (partitions, records, keys))
    subprocess.run([PEERS, HERE / "produce.py", bootstrap, name, *numbers], check=True)
    return name


def empty_topics(bootstrap: str, count: int, partitions: int = PARTITIONS) -> list[str]:
    """New topics, without the others' client."""

    async def make() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            names = [f"t-{uuid4().hex[:12]}" for _ in range(count)]
            await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
            return names
        finally:
            await admin.close()
            await asyncio.sleep(0.05)  # its transports close in later turns of the loop

    return asyncio.run(make())


# The router


def function(handler: str, *, timeout_s: int = 30, pause_s: float = 0) -> dict[str, Any]:
    variables = {"COLLECTOR": {"Ref": "Collector"}, "PAUSE_S": str(pause_s)}
    properties = {
        "CodeUri": str(HERE),
        "Handler": f"work.{handler}",
        "Runtime": "python3.11",
        "Timeout": timeout_s,
        "Environment": {"Variables": variables},
    }
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


@contextlib.contextmanager
def router(
    folder: Path, functions: growth.Resources, name: str = "router", **environment: str
) -> Iterator[bed.Server]:
    """A router with functions, and no mapping yet."""
    made = growth.template(folder / "template", functions)
    with bed.router(folder / name, name, template=made, **environment) as server:
        yield server


def kafka_settings(bootstrap: str, name: str, **more: Any) -> dict[str, Any]:
    """Of a mapping on a topic, in a group of its own."""
    return {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [bootstrap]}},
        "SourceAccessConfigurations": [{"Type": "VPC_SUBNET", "URI": "subnet:subnet-0a1b2c3d"}],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"g-{uuid4().hex[:12]}"},
        "Topics": [name],
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        **more,
    }


@contextlib.contextmanager
def mapped(server: bed.Server, worker: str, settings: dict[str, Any]) -> Iterator[None]:
    """A mapping for as long as the block lasts."""
    made = ask(server, "POST", ESM, {"FunctionName": named(server, worker), **settings})
    assert made is not None
    path = f"{ESM}{made['UUID']}"
    try:
        yield
    finally:
        ask(server, "DELETE", path)
        until(lambda: ask(server, "GET", path) is None, "a mapping that is gone", GONE_S_MAX)


def named(server: bed.Server, worker: str) -> str:
    """The full name of a function of the template."""
    listed = ask(server, "GET", "/2015-03-31/functions/")
    assert listed is not None
    (name,) = (
        it["FunctionName"] for it in listed["Functions"] if f"-{worker}-" in it["FunctionName"]
    )
    return str(name)


def ask(server: bed.Server, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
    """An answer of the API; None where nothing is there."""
    request = urllib.request.Request(
        server.addresses["api"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=GONE_S_MAX) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise RuntimeError(f"{method} {path}: {error.read().decode()}") from None


# Others


@contextlib.contextmanager
def beside(
    python: Path | str, script: str, kind: str, **environment: str
) -> Iterator[tuple[bed.Collector, int]]:
    """Another consumer with its collector, and its process id."""
    collector = bed.Collector()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, HERE / script, kind],
            env={**os.environ, "COLLECTOR": collector.address, **environment},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - one system call
        )  # fmt: skip
        try:
            yield collector, process.pid
        except Dishonest as error:
            log.seek(0)
            raise Dishonest(f"{error}; {log.read()[-2000:].decode()}") from None
        finally:
            process.kill()
            process.wait()
            collector.close()


# Counting


def until(is_true: Callable[[], bool], what: str, wait_s: float = DRAIN_S_MAX) -> None:
    deadline = time.monotonic() + wait_s
    while not is_true():
        if time.monotonic() > deadline:
            raise Dishonest(f"{what}: not within {wait_s} s")
        time.sleep(0.002)


def tree_cpu_s(pid: int) -> float:
    """Of a process and all below it, ended ones included."""
    fields = _stat(pid)
    total = sum(int(fields[index]) for index in (11, 12, 13, 14)) / TICKS
    children: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has just ended
            children += thread.read_text().split()
    for child in children:
        with contextlib.suppress(OSError):
            total += tree_cpu_s(int(child))
    return total


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@dataclass
class Drain:
    """What one drain showed, from the first tenth on."""

    per_s: float
    cpu_us: float
    """CPU of the process itself, per record."""
    tree_us: float
    """With all processes below it."""
    mean_batch: float


def drain(collector: bed.Collector, pid: int, records: int, name: str) -> Drain:
    """Wait until all records are handled. Raises `Dishonest`."""
    counted_from = max(1, int(records * COUNTED_FROM))
    until(lambda: collector.records >= counted_from, f"{name}: the first of {records} records")
    before, batches, began_ns = collector.records, collector.batches, time.time_ns()
    own_s, tree_s = cpu_s(pid), tree_cpu_s(pid)
    until(lambda: collector.records >= records, f"{name}: {records} records")
    # The kernel counts in ticks: less than one is taken for one.
    own_s, tree_s = (
        max(1 / TICKS, after_s) for after_s in (cpu_s(pid) - own_s, tree_cpu_s(pid) - tree_s)
    )
    time.sleep(bed.QUIET_S)
    if collector.records != records:
        raise Dishonest(f"{name}: {collector.records} of {records} records")
    count = max(1, records - before)
    return Drain(
        per_s=count / max(1, collector.last_ns - began_ns) * 1e9,
        cpu_us=own_s / count * 1e6,
        tree_us=tree_s / count * 1e6,
        mean_batch=count / max(1, collector.batches - batches),
    )


Side = Callable[[], Drain]
"""One drain of one side."""


def in_turn(sides: dict[str, Side], rounds: int) -> dict[str, list[Drain]]:
    """Each side in turn, `rounds` times after one to warm up."""
    found: dict[str, list[Drain]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            shown = side()
            print(
                f"  {name:<16} {shown.per_s:>8.0f}/s {shown.cpu_us:>7.1f} CPU µs, with all its "
                f"processes {shown.tree_us:>7.1f}, batches of {shown.mean_batch:.1f}",
                file=sys.stderr,
            )
            time.sleep(PAUSE_S)
            if number:
                found[name].append(shown)
    return found


def compared(
    ours: list[Drain], theirs: list[Drain], member: str, goal: float, *, is_most: bool, **more: Any
) -> dict[str, Any]:
    """A result: ours by theirs, as the median and as the best. `is_most`: the goal is a ceiling."""
    own, other = ([getattr(one, member) for one in side] for side in (ours, theirs))
    ratio = statistics.median(own) / statistics.median(other)
    best = min(own) / min(other) if is_most else max(own) / max(other)
    return {
        "ratio": round(ratio, 3),
        "goal": goal,
        "ok": ratio <= goal if is_most else ratio >= goal,
        "ratio_best": round(best, 3),
        "ok_best": best <= goal if is_most else best >= goal,
        "is_steady": max(other) <= 2 * min(other),
        "ours": [round(one, 1) for one in own],
        "theirs": [round(one, 1) for one in other],
        "mean_batch": round(statistics.median(one.mean_batch for one in ours), 1),
        **more,
    }
