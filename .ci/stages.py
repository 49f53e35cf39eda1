"""Runs the project's checks in stages and prints how long each took.

    python .ci/stages.py check     format, lint, types, architecture, the quick unit tests, a short
                                   simulation
    python .ci/stages.py test      every unit test, longer simulations, real routers, crashes,
                                   attacks, fuzzing, demos, benches' smoke

Some stages run side by side. Ends with status 1 when a stage failed; the others still
run, so that one run tells all.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent
PYTEST = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


class Stage(NamedTuple):
    """One check."""

    name: str
    command: list[object]
    is_patient: bool = False
    """It only computes, in whatever time the others' processors are idle: beside it they take as
    long as they take alone."""


class Result(NamedTuple):
    """How it went."""

    name: str
    status: int
    seconds: float
    cpu_s: float
    """Of all its processes, but those that nobody waited for."""


def processes(number: int) -> list[object]:
    """Tests of one command run in so many processes."""
    return ["-n", number, "--dist", "worksteal"]


def by_server(number: int) -> list[object]:
    """The same, those that need a server of their own kind together: it is started once."""
    return ["-n", number, "--dist", "loadgroup", "--maxschedchunk", 1]


FORMAT = Stage("format", [BIN / "ruff", "format", "--check", "."])
LINT = Stage("lint", [BIN / "ruff", "check", "."])
TYPES = Stage("types", [BIN / "mypy"])
SIMULATION = Stage(
    "simulation, short", [PYTHON, "-m", "tests.simulation", "--seeds", "20", "--minutes", "5"]
)
UNIT = Stage(
    "unit",
    [*PYTEST, *processes(3), "tests/tidy", "tests/unit", "tests/fuzz", "tests/model",
     "tests/simulation/test_traces.py"],
)  # fmt: skip
QUICK = Stage("unit, less the slow", [*UNIT.command, "-m", "not slow"])
CHECK = [[FORMAT, LINT, TYPES, SIMULATION], [QUICK]]
"""Lanes that run side by side."""

FIRST = [[FORMAT, LINT, TYPES], [UNIT]]
"""The same where longer simulations follow."""

ROUTERS = Stage(
    "real routers",
    [*PYTEST, *by_server(5), "--durations=30", "--durations-min=5",
     "tests/servers", "tests/integration", "tests/drain", "tests/crash", "tests/contract",
     "tests/browser"],
)  # fmt: skip
"""They mostly wait: five at a time leave neither core without work."""

DEPLOY = Stage("deploy", [*PYTEST, *by_server(2), "tests/deploy"])
"""What `make check-deploy` runs."""

DEMO = ["make", "--no-print-directory", "demo"]
BAD_FUNCTIONS = "tests/security/test_bad_functions.py"
BESIDE = [
    [
        Stage("bad functions", [*PYTEST, BAD_FUNCTIONS]),
    ],
    [
        Stage("simulation, 50 seeds", [*PYTEST, "tests/simulation"]),
        Stage("models", ["env", "MODEL_EXAMPLES=500", *PYTEST, "--timeout=600", "tests/model"]),
        Stage("mutants", [PYTHON, "-m", "tests.simulation.trials", "--check"]),
        Stage("demo with kafka", [PYTHON, "-m", "examples.orders.demo", "--optional"]),
    ],
    [
        Stage("security", [*PYTEST, "tests/security", f"--ignore={BAD_FUNCTIONS}"]),
        Stage("demo", DEMO),
        Stage("demo with kill -9", [*DEMO, "CHAOS=1"]),
        Stage("demo with windows", [*DEMO, "WINDOWS=1"]),
        # Without Rust: it compiles for minutes.
        Stage(
            "demo in four languages",
            [PYTHON, "-m", "examples.polyglot.demo", "--only", "python,node,go,java,shell"],
        ),
        DEPLOY,
    ],
]
"""Functions that do their worst wait for their timeouts; the others compute, or show work."""

PATIENT = Stage("simulation, 400 hours", [PYTHON, "-m", "tests.simulation"], is_patient=True)
"""Its time is virtual: beside `BESIDE` and `ATTACKS`, which mostly wait."""

ATTACKS = [
    [Stage("attack, listener", [*PYTEST, "tests/attack/test_listener.py"])],
    [Stage("attack, machine", [*PYTEST, "tests/attack", "--ignore=tests/attack/test_listener.py"])],
]
"""Each waits for deadlines or for faults to end: together in the time of one."""

FUZZ = Stage(
    "fuzz", [PYTHON, "-m", "tests.fuzz", "--seconds", "20", "--seed", "1"], is_patient=True
)
LAST = [[FUZZ], [Stage("bench smoke", [*PYTEST, *by_server(3), "tests/bench"])]]
"""What is fuzzed takes as long whoever runs beside it, and tries a few inputs less: the first of a
sequence that is always the same. `make fuzz` draws others."""

printing = threading.Lock()


def run(stage: Stage) -> Result:
    """Run a stage; its output comes in one piece when it has ended."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(part) for part in stage.command],
            cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if stage.is_patient:  # all processes it begins have it of it
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        _pid, ended, used = os.wait4(process.pid, 0)
        process.returncode = status = os.waitstatus_to_exitcode(ended)
        seconds = time.monotonic() - started
        output.seek(0)
        with printing:
            print(f"── {stage.name} ({seconds:.1f} s)", flush=True)
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    return Result(stage.name, status, seconds, used.ru_utime + used.ru_stime)


def run_side_by_side(lanes: list[list[Stage]]) -> list[Result]:
    """Each lane one after the other, lanes together."""
    results: list[Result] = []

    def run_lane(lane: list[Stage]) -> None:
        results.extend(run(stage) for stage in lane)

    threads = [threading.Thread(target=run_lane, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main() -> int:
    """Run the named suite; 0 when every stage passed."""
    started = time.monotonic()
    if sys.argv[1] == "check":
        results = run_side_by_side(CHECK)
    else:
        results = run_side_by_side(FIRST)
        results.append(run(ROUTERS))
        with ThreadPoolExecutor() as beside:
            patient = beside.submit(run, PATIENT)
            results += run_side_by_side(BESIDE)
            results += run_side_by_side(ATTACKS)
            results.append(patient.result())
        results += run_side_by_side(LAST)
    print("\nstage                 seconds    cpu s  result")
    for name, status, seconds, cpu_s in results:
        result = "ok" if status == 0 else f"FAILED ({status})"
        print(f"{name:<20} {seconds:>8.1f} {cpu_s:>8.1f}  {result}")
    print(f"{'all, wall clock':<20} {time.monotonic() - started:>8.1f}")
    failed = sum(1 for result in results if result.status != 0)
    print(f"\n{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
