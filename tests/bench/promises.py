"""L4, K3, C1: promises of `docs/contracts/reliability.md` that carry a time, beside their numbers.

Tests hold them as well, with bounds of a busy machine: they say that nobody waits for ever. Here
the number itself is looked at, as a share of what is promised:

- L4: a mapping whose handler sleeps moves the p99 pickup of another one by at most 50 ms. A phase
  with the sleeper is beside the quiet one before it, so what the machine does comes to both.
- K3: a pool whose environment was killed runs the next invocation within 1 s.
- C1: a router that was killed handles records again within 10 s of its start.

Run it: `python -m tests.bench.promises`.
"""

import asyncio
import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import workers_bed
from tests.bench.pipeline import bed

L4_MS = 50.0
K3_MS = 1_000.0
C1_S = 10.0

PHASES = 5
PHASE_S = 5.0
EVERY_S = 0.02
SLEEP_S = 2.0
SLEEPING = 40
"""Records that sleep in a phase: more than there are slots for a mapping."""

KILLS = 30
STARTS = 5
WAITING = 2_000
"""Records that wait while the router is down."""

WAIT_S = 60.0

HANDLERS = f"""\
import json, os, socket, time

host, port = os.environ["COLLECTOR"].rsplit(":", 1)
link = socket.create_connection((host, int(port)))
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def quick(event, context):
    for record in event["Records"]:
        late_us = time.time_ns() // 1_000 - json.loads(record["body"])["sent_us"]
        link.sendall(b"%d\\n" % late_us)


def sleep(event, context):
    time.sleep({SLEEP_S})
"""

TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Collector: {Type: String}
Resources:
"""

RESOURCES = """\
  {name}Hook:
    Type: Router::Webhook
    Properties:
      Path: /{handler}
      Signature: {{Scheme: github, Secret: "{{{{resolve:secretsmanager:bench}}}}"}}
      PartitionKey: $.key
      Shards: 4
  {name}:
    Type: AWS::Lambda::Function
    Properties:
      Role: arn:aws:iam::000000000000:role/worker
      Code: .
      Handler: app.{handler}
      Runtime: python3.11
      Timeout: 60
      Environment: {{Variables: {{COLLECTOR: !Ref Collector}}}}
  {name}Feed:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt {name}Hook.Arn
      FunctionName: !Ref {name}
      BatchSize: 1
      ParallelizationFactor: 4
"""


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """All three; about two minutes."""
    phases, phase_s, kills, starts = (1, 0.3, 2, 1) if is_quick else (
        PHASES, PHASE_S, KILLS, STARTS
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template = folder / "template.yaml"
        both = (("Quick", "quick"), ("Sleeper", "sleep"))
        made = (RESOURCES.format(name=name, handler=handler) for name, handler in both)
        template.write_text(TEMPLATE + "".join(made))
        (folder / "app.py").write_text(HANDLERS)
        moved = neighbours(folder, template, phases, phase_s)
        starts_s = [restart(folder / f"start-{n}", template) for n in range(starts)]
    killed_ms = asyncio.run(kill_environments(kills))
    return {
        "L4": share([pair[1] - pair[0] for pair in moved], L4_MS, p99_ms=moved),
        "K3": share(killed_ms, K3_MS, kills=kills),
        "C1": share(starts_s, C1_S, waiting=WAITING),
    }


def share(values: list[float], promised: float, **more: Any) -> dict[str, Any]:
    """Median and best as shares of what is promised."""
    middle, best = statistics.median(values), min(values)
    return {
        "ratio": round(middle / promised, 4),
        "goal": 1.0,
        "ok": middle <= promised,
        "ratio_best": round(best / promised, 4),
        "ok_best": best <= promised,
        "ratio_worst": round(max(values) / promised, 4),
        **more,
    }


class Sender:
    """Posts signed records on one connection."""

    def __init__(self, server: bed.Server) -> None:
        address = server.addresses["ingress"].removeprefix("http://")
        self._link = http.client.HTTPConnection(address, timeout=bed.HANDLED_S)
        self._keys = itertools.count()

    def post(self, path: str) -> None:
        """Raises `Dishonest` unless it is accepted."""
        key = f"k{next(self._keys) % 64}"
        body = json.dumps({"key": key, "sent_us": time.time_ns() // 1_000}).encode()
        digest = hmac.new(bed.SECRET.encode(), body, hashlib.sha256).hexdigest()
        self._link.request("POST", path, body, {"X-Hub-Signature-256": f"sha256={digest}"})
        reply = self._link.getresponse()
        text = reply.read()
        if reply.status != 202:
            raise bed.Dishonest(f"{path}: {reply.status} {text!r}")

    def close(self) -> None:
        self._link.close()


def neighbours(
    folder: Path, template: Path, phases: int, phase_s: float
) -> list[tuple[float, float]]:
    """p99 pickup in milliseconds of each quiet phase, and of the one beside a sleeper."""
    found = []
    with bed.router(folder / "beside", template=template) as server:
        sender = Sender(server)
        sender.post("/sleep")
        pickups_ms(server, sender, 0.5)  # starts the functions
        for _ in range(phases):
            time.sleep(min(phase_s, SLEEP_S + 1))  # whoever sleeps wakes up
            quiet_ms = pickups_ms(server, sender, phase_s)
            for _ in range(SLEEPING):
                sender.post("/sleep")
            found.append((quiet_ms, pickups_ms(server, sender, phase_s)))
            print(f"  p99 quiet, beside a sleeper: {found[-1]} ms", file=sys.stderr)
        sender.close()
        server.process.kill()  # nobody waits for the sleepers
    return found


def pickups_ms(server: bed.Server, sender: Sender, phase_s: float) -> float:
    """p99 of how long after it was sent a record is in its handler's hands."""
    late_us = server.collector.numbers = []
    until_s, sent = time.monotonic() + phase_s, 0
    while not sent or time.monotonic() < until_s:
        sender.post("/quick")
        sent += 1
        time.sleep(EVERY_S)
    heard(late_us, sent)
    return round(sorted(late_us)[int(sent * 0.99)] / 1_000, 2)


def heard(numbers: list[int], count: int) -> None:
    """Wait until a function has told of so many. Raises `Dishonest`."""
    deadline = time.monotonic() + WAIT_S
    while len(numbers) < count:
        if time.monotonic() > deadline:
            raise bed.Dishonest(f"{len(numbers)} of {count} records were handled")
        time.sleep(0.002)


def restart(folder: Path, template: Path) -> float:
    """Seconds from the start of a router that was killed until it handles what waits."""
    folder.mkdir()
    data = folder / "data"
    with bed.router(folder / "first", template=template, data=data) as server:
        sender = Sender(server)
        for _ in range(WAITING):
            sender.post("/sleep")
        sender.post("/quick")
        sender.close()
        server.process.kill()
    began = time.monotonic()
    with bed.router(folder / "again", template=template, data=data) as server:
        numbers = server.collector.numbers = []
        sender = Sender(server)
        sender.post("/quick")
        heard(numbers, 1)
        taken_s = time.monotonic() - began
        sender.close()
        server.process.kill()
    print(f"  handled {taken_s:.2f} s after the start", file=sys.stderr)
    return round(taken_s, 3)


PID = """\
import os

def handler(event, context):
    return os.getpid()
"""


async def kill_environments(kills: int) -> list[float]:
    """Milliseconds from the death of a pool's environment to the next result."""
    taken_ms = []
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "pid")
        code.mkdir()
        (code / "app.py").write_text(PID)
        pool, _runtime, _isolation = await workers_bed.open_pool(Path(folder), boto3=False)
        version = workers_bed.function(code, "app.handler")
        try:
            for _ in range(kills):
                reply = await pool.invoke(workers_bed.request(version))
                os.kill(int(reply.payload), signal.SIGKILL)
                began = time.perf_counter()
                while (await pool.invoke(workers_bed.request(version))).error_type is not None:
                    pass
                taken_ms.append((time.perf_counter() - began) * 1_000)
        finally:
            await pool.close(0)
    return taken_ms


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv)))
