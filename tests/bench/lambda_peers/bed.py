"""What the benches of invocations share: the contenders, as processes, and one load for all.

Each contender serves the same two functions over HTTP, found by name. A closed loop of the compiled
generator drives one at a time; memory is the proportional set of its whole tree of processes, CPU
the tree's too. A contender that is not installed is `Unavailable`, by name.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from router.auth.sigv4 import Claim, signature
from tests.bench.pipeline import bed
from tests.bench.sources.bed import tree_cpu_s

HERE = Path(__file__).parent
FUNCTIONS = HERE / "functions"
ENVIRONMENT = bed.ROOT / ".venv-peers-lambda"
"""Where `make peers` puts the others."""

ANSWER = {"statusCode": 200, "body": "ok"}
INVOCATIONS = "/2015-03-31/functions/{}/invocations"
BODY_BYTES = 1_024
START_S = 120.0
ANSWER_S = 60.0
POLL_S = 0.01
WARM_S = 0.7
PAUSE_S = 0.2


def payload() -> bytes:
    """An event of 1 KB."""
    items = [{"sku": f"s-{number}", "qty": number} for number in range(10)]
    event = {"type": "order.created", "items": items, "text": ""}
    event["text"] = "x" * (BODY_BYTES - len(json.dumps(event)))
    return json.dumps(event).encode()


@dataclass
class Contender:
    """A process that answers invocations."""

    name: str
    pid: int
    address: str
    """HOST:PORT."""
    paths: dict[str, str] = field(default_factory=dict)
    """Where a function is invoked."""

    def path(self, function: str) -> str:
        return self.paths.get(function) or INVOCATIONS.format(function)

    def request(self, function: str, body: bytes) -> bytes:
        """One invocation as it goes over the wire, signed as any client signs it."""
        headers = signed("POST", self.address, self.path(function), body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.path(function)} HTTP/1.1\r\n{lines}\r\n".encode() + body

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of an answer, over a connection of its own."""
        link = http.client.HTTPConnection(self.address, timeout=ANSWER_S)
        with contextlib.closing(link):
            link.request(method, path, body, signed(method, self.address, path, body))
            answer = link.getresponse()
            return answer.status, answer.read()

    def invoke(self, function: str, body: bytes) -> float:
        """Seconds to the answer. Raises `Dishonest` when it is not the function's."""
        began = time.perf_counter()
        status, answer = self.ask("POST", self.path(function), body)
        took_s = time.perf_counter() - began
        if status != 200 or json.loads(answer) != ANSWER:
            raise bed.Dishonest(f"{self.name} answered {status} {answer[:200]!r}")
        return took_s


def signed(method: str, address: str, path: str, body: bytes) -> dict[str, str]:
    """Headers with a Signature Version 4 of the key `test`."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"Host": address, "X-Amz-Date": stamp}
    names = ("host", "x-amz-date")
    claim = Claim("test", stamp[:8], "us-east-1", "lambda", names, "", stamp)
    sealed = signature(
        claim, "test", method=method, path=path, query="",
        headers={"host": address, "x-amz-date": stamp}, digest=sha256(body).hexdigest(),
    )  # fmt: skip
    scope = f"test/{stamp[:8]}/us-east-1/lambda/aws4_request"
    return headers | {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={sealed}",
    }


@contextlib.contextmanager
def process(
    name: str,
    command: list[str],
    folder: Path,
    is_up: Callable[[], bool],
    **environment: str,
) -> Iterator[int]:
    """A service's process id, once it is up; the service and all below it end with the block."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_S
            while not is_up():
                if started.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    text = log.read()[-1000:].decode(errors="replace")
                    raise bed.Unavailable(f"{name} did not start: {text}")
                time.sleep(POLL_S)
            yield started.pid
        finally:
            below = tree(started.pid)
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(5)
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            started.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += tree(int(child))
    return found


def memory_mb(pid: int) -> float:
    """Proportional set size of a whole tree of processes."""
    kib = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


@dataclass
class Round:
    """What one load showed."""

    per_s: float
    p50_ms: float
    p99_ms: float
    tree_us: float
    """CPU of all its processes by invocation."""
    memory_mb: float
    processes: int


def drive(
    side: Contender, function: str, clients: int, seconds: float, warm_s: float = WARM_S
) -> Round:
    """One client or many, one invocation in flight on each. Raises `Dishonest`."""
    with tempfile.NamedTemporaryFile() as request:
        request.write(side.request(function, payload()))
        request.flush()
        _generate(side, clients, request.name, min(warm_s, seconds))
        cpu_s = tree_cpu_s(side.pid)
        report = _generate(side, clients, request.name, seconds)
        cpu_s = tree_cpu_s(side.pid) - cpu_s
    accepted = report["accepted"]
    if report["other"] or not accepted:
        raise bed.Dishonest(f"{side.name}: {accepted} answers, others {report['other']}")
    return Round(
        per_s=accepted / (report["answered_ns"] - report["started_ns"]) * 1e9,
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
        tree_us=cpu_s / accepted * 1e6,
        memory_mb=memory_mb(side.pid),
        processes=len(tree(side.pid)),
    )


def _generate(side: Contender, clients: int, request: str, seconds: float) -> dict:
    done = subprocess.run(
        [
            bed.load_generator(), "-address", side.address, "-request", request,
            "-connections", str(clients), "-seconds", str(seconds),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{side.name}: the load generator failed: {done.stderr.strip()}")
    report: dict = json.loads(done.stdout)
    return report


Side = tuple[str, Contender, str]
"""What it is called, who, and which function."""


def in_turn(sides: list[Side], clients: int, rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Each in turn, `rounds` times after one to warm up, in the other order every other time."""
    found: dict[str, list[Round]] = {name: [] for name, _, _ in sides}
    for number in range(rounds + 1):
        for name, side, function in sides[:: -1 if number % 2 else 1]:
            shown = drive(side, function, clients, seconds)
            show(name, clients, shown)
            time.sleep(PAUSE_S)
            if number:
                found[name].append(shown)
    return found


def show(name: str, clients: int, shown: Round) -> None:
    """A line about a round."""
    print(
        f"  {name:<28} {clients:>3} clients {shown.per_s:>6.0f}/s  p50 {shown.p50_ms:.2f} "
        f"p99 {shown.p99_ms:.1f} ms, {shown.tree_us:.0f} CPU µs, {shown.processes} "
        f"processes of {shown.memory_mb:.0f} MB",
        file=sys.stderr,
    )


def compared(
    found: dict[str, list[Round]],
    ours: str,
    theirs: str,
    member: str,
    goal: float,
    *,
    is_most: bool,
) -> dict[str, object]:
    """A result: ours by theirs, as the median and as the best. `is_most`: the goal is a ceiling."""
    own, other = ([getattr(one, member) for one in found[name]] for name in (ours, theirs))
    ratio = statistics.median(own) / statistics.median(other)
    best = min(own) / min(other) if is_most else max(own) / max(other)
    return judged(ratio, best, goal, is_most=is_most) | {
        "is_steady": max(other) <= 2 * min(other),
        "ours": series(found[ours]),
        "theirs": series(found[theirs]),
    }


def judged(ratio: float, best: float, goal: float, *, is_most: bool) -> dict[str, object]:
    return {
        "ratio": round(ratio, 4),
        "goal": goal,
        "ok": ratio <= goal if is_most else ratio >= goal,
        "ratio_best": round(best, 4),
        "ok_best": best <= goal if is_most else best >= goal,
    }


def series(rounds: list[Round]) -> dict[str, object]:
    return {
        "per_s": [round(one.per_s) for one in rounds],
        "p50_ms": [round(one.p50_ms, 2) for one in rounds],
        "p99_ms": [round(one.p99_ms, 1) for one in rounds],
        "tree_us": [round(one.tree_us) for one in rounds],
        "memory_mb": round(max(one.memory_mb for one in rounds)),
        "processes": max(one.processes for one in rounds),
    }
