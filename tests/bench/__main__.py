"""Each goal of the contract beside its own baseline, all in one run.

    python -m tests.bench [--only G1,G4] [--strict] [--quick]

Ends with one JSON line: {"G1": {"ratio": …, "goal": …, "ok": …, …}, …}. Each bench runs in a
process of its own. A run whose baseline moved more than twofold says more about the machine than
about us: it is repeated, `ATTEMPTS` times at most. The status is 0 also when goals are missed;
1 when a bench failed, or with --strict when a goal is missed by median and best alike.
"""

import argparse
import importlib
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from tests.bench.pipeline import bed

ROOT = Path(__file__).parents[2]
ATTEMPTS = 3
BENCH_S = 600
"""Longest time of one bench."""

MODULES = {
    "G0": "g0_pipeline",
    "G1": "g1_invoke",
    "G2": "g1_invoke",
    "G3": "g3_runtime_api",
    "G4": "g4_cold_start",
    "G5": "g5_memory",
    "G7": "g7_group_commit",
    "G8": "g8_kafka",
    "G9": "g8_kafka",
    "G10": "g10_queue_mapping",
    "G11": "g11_http",
    "G12": "g12_patterns",
    "G13": "g13_queue",
    "G14": "g14_telemetry",
    "G15": "g15_stalls",
    "SCRAPE": "scrape",
    "L4": "promises",
    "K3": "promises",
    "C1": "promises",
    "NEIGHBOUR": "neighbour",
    "PEER": "peer_kafka",
    "INVOKE": "peer_invoke",
    "COLD": "peer_invoke",
    "IDLE": "idle_mappings",
    "SLEEPER": "sleeper",
    "READY": "ready",
    "GROW-HOOKS": "grow_hooks",
    "GROW-MAPPINGS": "grow_mappings",
    "GROW-FILTERS": "grow_filters",
    "GROW-KEYS": "grow_keys",
    "GROW-WAITING": "grow_waiting",
    "GROW-BYTES": "grow_bytes",
}
"""L4, K3 and C1 are promises of a time, NEIGHBOUR of a p99. GROW-… are about cost as work grows;
their ratio is a factor, and 1 is flat. G8, G9, G10, PEER, IDLE and SLEEPER run on real servers,
which they start."""

PACKAGES = ("uvloop", "httptools", "orjson", "msgspec", "prometheus-client", "structlog")


def main() -> int:
    arguments = parse()
    if arguments.child:
        if arguments.quick:  # nothing is measured: no need for the disk to come to rest
            bed.IDLE_PAUSE_S = 0.05
        module = importlib.import_module(f"tests.bench.{arguments.child}")
        print(json.dumps(module.run(is_quick=arguments.quick)))
        return 0
    goals = arguments.only or list(MODULES)
    show(f"{versions()}; load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    results: dict[str, dict] = {}
    is_broken = False
    for module in dict.fromkeys(MODULES[goal] for goal in goals):
        found = measure(module, is_quick=arguments.quick)
        is_broken |= found is None
        if found is None:
            names = [goal for goal in goals if MODULES[goal] == module]
            found = {name: {"error": f"{module} failed"} for name in names}
        results |= {name: one for name, one in found.items() if name.split("_")[0] in goals}
    show("", table(results))
    print(json.dumps(results))
    return 1 if is_broken or (arguments.strict and any(map(is_missed, results.values()))) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", type=goals_in, help="such as G1,G4")
    parser.add_argument("--strict", action="store_true", help="status 1 when a goal is missed")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that benches work")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def goals_in(text: str) -> list[str]:
    goals = [name.strip().upper() for name in text.split(",") if name.strip()]
    unknown = [name for name in goals if name not in MODULES]
    if unknown or not goals:
        raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(MODULES)}")
    return goals


def measure(module: str, *, is_quick: bool) -> dict[str, dict] | None:
    """Run a bench until its baseline held still; None when it failed."""
    load_before = os.getloadavg()[0]
    for attempt in range(1, (1 if is_quick else ATTEMPTS) + 1):
        show("", f"{module}" + (f", attempt {attempt}" if attempt > 1 else ""))
        began = time.monotonic()
        found = child(module, is_quick=is_quick)
        if found is None:
            return None
        steady = all(one.get("is_steady", True) for one in found.values())
        for one in found.values():
            one["attempt"] = attempt
            one["seconds"] = round(time.monotonic() - began, 1)
            one["load"] = [round(load_before, 2), round(os.getloadavg()[0], 2)]
            one["cores"] = os.cpu_count()
        if steady:
            break
        show("  the baseline moved more than twofold")
    return found


def child(module: str, *, is_quick: bool) -> dict[str, dict] | None:
    command = [sys.executable, "-m", "tests.bench", "--child", module]
    try:
        done = subprocess.run(
            [*command, "--quick"] if is_quick else command,
            cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=BENCH_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        show(f"  {module} took longer than {BENCH_S} s")
        return None
    if done.returncode:
        return None
    found: dict[str, dict] = json.loads(done.stdout.splitlines()[-1])
    return found


def is_missed(one: dict) -> bool:
    """By the median and by the best."""
    return not one.get("ok", True) and not one.get("ok_best", False)


def table(results: dict[str, dict]) -> str:
    rows = [f"{'goal':<14} {'measured':>9} {'goal':>6}  ok"]
    for name, one in results.items():
        if "error" in one:
            rows.append(f"{name:<14} {one['error']}")
        else:
            rows.append(
                f"{name:<14} {one['ratio']:>9.3f} {one['goal']:>6}  {'yes' if one['ok'] else 'NO'}"
                + ("" if one.get("is_steady", True) else "  (the baseline did not hold still)")
            )
    return "\n".join(rows)


def versions() -> str:
    found = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    python = f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{python}, {', '.join(found)}, Linux {platform.release()}"


def show(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
