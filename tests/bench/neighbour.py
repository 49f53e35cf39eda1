"""NEIGHBOUR: the p99 of an innocent function beside hostile ones (`reliability.md` 5).

One router with everything on, run as `router run` runs (uvloop, isolation, logs, metrics). One
caller invokes an innocent function through the Lambda API at an even pace, while another has a
hostile one run over and over. Each hostile phase is between two quiet ones, so what the machine
does comes to both; p99 are of all phases of a kind together. How far two halves of the quiet phases
are apart says what the numbers are worth.

A function that is run over and over keeps a processor busy whatever it does, and the machine has
few. So there is a kind that is not the router's doing at all: a process that spins beside it. What
that does to the innocent function is the machine's, and what the others are compared with, unless
quiet is worse by chance; by quiet alone they are shown.

NEIGHBOUR: the worst of those ratios. NEIGHBOUR_stall: the longest that the event loop stood still
in any hostile phase, as a share of 50 ms; when it does so in quiet phases as well, the run says
nothing and is repeated.

Run it: `python -m tests.bench.neighbour`; about four minutes.
"""

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.g15_stalls import BYSTANDER_MS_MAX, GOAL_MS, Watch
from tests.bench.pipeline import bed
from tests.unit.workers.bad_functions import BOMB, PRELUDE

GOAL = 1.1
ROUNDS = 3
PHASE_S = 2.5
EVERY_S = 0.005
ANSWER_S = 60.0
HOSTILE_TIMEOUT_S = 3

HOSTILE = {
    "spins": "while True: pass",
    "floods its log": "for _ in range(100_000): print('x' * 999)",
    "takes 2 GiB": "x = bytearray(b'x') * (2 << 30)",
    "forks": BOMB.format(then="pass"),
    "threads": (
        "threading.stack_size(65536)\n    for _ in range(2_000):\n"
        "        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()"
    ),
    "dies": "os._exit(1)",
    "sends garbage": "os.write(frames_fd(), b'garbage, not a frame'); time.sleep(9)",
    "returns 7 MB": "return 'x' * 7_000_000",
    "leaks descriptors": "kept = [os.open('/dev/null', 0) for _ in range(2_000)]",
}
"""What it does → its body."""

MACHINE = "a process beside the router"

TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Collector: {Type: String}
Resources:
"""

FUNCTION = """\
  {name}:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: {name}
      Role: arn:aws:iam::000000000000:role/worker
      Code: ./{name}
      Handler: app.handler
      Runtime: python3.11
      MemorySize: 512
      Timeout: {timeout_s}
"""


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Both results."""
    rounds, phase_s = (1, 0.2) if is_quick else (ROUNDS, PHASE_S)
    kinds = ["dies"] if is_quick else list(HOSTILE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with bed.router(folder / "router", template=write(folder)) as server:
            found = measure(server, kinds, rounds, phase_s)
    return results(found)


def write(folder: Path) -> Path:
    """A template of the innocent function and of one for each kind."""
    names = {"Innocent": "return event", **{name_of(kind): body for kind, body in HOSTILE.items()}}
    text = TEMPLATE
    for name, body in names.items():
        (folder / name).mkdir()
        (folder / name / "app.py").write_text(PRELUDE + f"    {body}\n")
        text += FUNCTION.format(name=name, timeout_s=HOSTILE_TIMEOUT_S)
    template = folder / "template.yaml"
    template.write_text(text)
    return template


def name_of(kind: str) -> str:
    """The function of a kind."""
    return "".join(word.title() for word in kind.split())


class Phase:
    """What one phase showed."""

    def __init__(self, took_ms: list[float], stall_ms: float, hostile: int = 0) -> None:
        self.took_ms = took_ms
        self.stall_ms = stall_ms
        self.hostile = hostile
        """Hostile invocations that ended."""


Phases = dict[str, list[Phase]]


def measure(server: bed.Server, kinds: list[str], rounds: int, phase_s: float) -> Phases:
    """All phases by kind; those of `quiet` are between the others."""
    found: Phases = {"quiet": []}
    invoke(server, "Innocent")
    phase(server, 0.5)  # warm
    for number in range(rounds):
        for kind in (MACHINE, *kinds):
            found["quiet"].append(phase(server, phase_s))
            beside = spinning() if kind == MACHINE else Hostile(server, name_of(kind))
            with beside as counted:
                found.setdefault(kind, []).append(phase(server, phase_s))
            found[kind][-1].hostile = counted() if callable(counted) else 0
            settle(server)
        print(f"  round {number + 1} of {rounds}: {summary(found)}", file=sys.stderr)
    return found


def phase(server: bed.Server, phase_s: float) -> Phase:
    """Invoke the innocent function at an even pace."""
    took_ms: list[float] = []
    end = time.monotonic() + phase_s
    with Watch(server) as watch, contextlib.closing(connect(server)) as link:
        while not took_ms or time.monotonic() < end:
            took_ms.append(ask(link, "Innocent"))
            time.sleep(EVERY_S)
    return Phase(took_ms, max(watch.stalls_ms))


def settle(server: bed.Server) -> None:
    """What a hostile function has left is ended and swept, and the innocent one answers."""
    time.sleep(bed.IDLE_PAUSE_S)
    invoke(server, "Innocent")


class Hostile:
    """Has a hostile function run over and over, as long as the block lasts."""

    def __init__(self, server: bed.Server, name: str) -> None:
        self._server = server
        self._name = name
        self._is_over = threading.Event()
        self._count = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Any:
        self._thread.start()
        return lambda: self._count

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(connect(self._server)) as link:
            while not self._is_over.is_set():
                ask(link, self._name, is_hostile=True)
                self._count += 1


@contextlib.contextmanager
def spinning() -> Iterator[None]:
    """One process that keeps a processor busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def connect(server: bed.Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(
        server.addresses["api"].removeprefix("http://"), timeout=ANSWER_S
    )


def ask(link: http.client.HTTPConnection, name: str, *, is_hostile: bool = False) -> float:
    """Milliseconds to the answer. Raises `Dishonest` when it is not the function's."""
    body = b'"bad"' if is_hostile else b'{"n": 1}'
    began = time.perf_counter()
    link.request("POST", f"/2015-03-31/functions/{name}/invocations", body)
    answer = link.getresponse()
    content = answer.read()
    took_ms = (time.perf_counter() - began) * 1_000
    is_right = answer.status == 200 and (is_hostile or json.loads(content) == {"n": 1})
    if not is_right:
        raise bed.Dishonest(f"{name}: {answer.status} {content[:200]!r}")
    return took_ms


def invoke(server: bed.Server, name: str) -> float:
    """One invocation on a connection of its own."""
    with contextlib.closing(connect(server)) as link:
        return ask(link, name)


def p99(phases: list[Phase]) -> float:
    """Of all together."""
    took_ms = sorted(one for phase in phases for one in phase.took_ms)
    return took_ms[int(0.99 * (len(took_ms) - 1))]


def p50(phases: list[Phase]) -> float:
    """Of all together."""
    return statistics.median(one for phase in phases for one in phase.took_ms)


def results(found: Phases) -> dict[str, Any]:
    """Ratios of p99, and the longest stall."""
    quiet = found["quiet"]
    halves = [p99(quiet[::2]), p99(quiet[1::2] or quiet)]
    ratios = ratios_of(found)
    quiet_stall = max(one.stall_ms for one in quiet)
    best = min(max(ratios_of(one).values()) for one in by_round(found))
    stalls = {kind: max(one.stall_ms for one in phases) for kind, phases in found.items()}
    worst = max(ratios.values())
    stall = max(stalls[kind] for kind in ratios)
    return {
        "NEIGHBOUR": {
            "ratio": round(worst, 3),
            "goal": GOAL,
            "ok": worst <= GOAL,
            "ratio_best": round(best, 3),
            "ok_best": best <= GOAL,
            "is_steady": max(halves) <= 2 * min(halves),
            "kinds": {kind: round(ratio, 2) for kind, ratio in ratios.items()},
            "by_quiet": {kind: round(p99(found[kind]) / p99(quiet), 2) for kind in ratios},
            "quiet_halves_p99_ms": [round(half, 2) for half in halves],
            "seen": summary(found),
        },
        "NEIGHBOUR_stall": {
            "ratio": round(stall / GOAL_MS, 3),
            "goal": 1.0,
            "ok": stall <= GOAL_MS,
            "is_steady": quiet_stall <= BYSTANDER_MS_MAX,
            "stalls_ms": {kind: round(value, 1) for kind, value in stalls.items()},
        },
    }


def ratios_of(found: Phases) -> dict[str, float]:
    """p99 beside each hostile kind, by that beside nothing but a busy processor."""
    base_ms = max(p99(found["quiet"]), p99(found[MACHINE]))
    return {kind: p99(phases) / base_ms for kind, phases in found.items() if kind in HOSTILE}


def by_round(found: Phases) -> list[Phases]:
    """The phases of each round by themselves."""
    rounds = len(found[MACHINE])
    return [
        {
            kind: phases[len(phases) // rounds * n : len(phases) // rounds * (n + 1)]
            for kind, phases in found.items()
        }
        for n in range(rounds)
    ]


def summary(found: Phases) -> dict[str, dict[str, float]]:
    """For people."""
    return {
        kind: {
            "p50_ms": round(p50(phases), 2),
            "p99_ms": round(p99(phases), 2),
            "stall_ms": round(max(one.stall_ms for one in phases), 1),
            "calls": sum(len(one.took_ms) for one in phases),
            "hostile": sum(one.hostile for one in phases),
        }
        for kind, phases in found.items()
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
