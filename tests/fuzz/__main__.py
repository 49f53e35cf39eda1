"""Fuzzes every target, two at a time, and says what it found; see the package."""

import argparse
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from tests.fuzz.bounds import check

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
WORK = ROOT / ".fuzz"
"""Kept between runs, so that each goes on where the one before ended."""

TARGETS = sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))
SLOW_TO_START = ("requests", "http")
"""Begun first, so that nobody waits for them in the end."""

LENGTH_MAX = 16_384
"""Longest input tried: long enough to see what grows faster than it."""

GRACE_S = 600
"""A target that does not end this long after its time hangs."""

HANG_S = 500
"""So does an input. By the clock: in `make test` a target has the processor when nobody else wants
it. What an input costs of the processor is bounded by itself, see `child`."""

MISSING = """
!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!
!!  atheris is not installed here (there are wheels for Linux on x86-64, Python 3.11 to 3.13):
!!  NOTHING IS FUZZED, only the kept corpus is replayed.
!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!
"""

printing = threading.Lock()


def replay(name, inputs):
    """Run inputs through a target as it is; how many went wrong."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    wrong = 0
    for path in inputs:
        try:
            check(target, path.read_bytes())
        except Exception:
            wrong += 1
            print(f"{name}: {path}\n{traceback.format_exc()}", flush=True)
    return wrong


def kept(name):
    """The corpus of a target."""
    return sorted((CORPUS / name).iterdir())


def fuzz(name, seconds, seed):
    """One target for some time in a process of its own; whether it found nothing.

    With a `seed` the inputs are the same each time, as many of them as the time allows; without one
    (0) they are others each time, and what they reached is where the next run begins.
    """
    found = WORK / "findings" / name
    found.mkdir(parents=True, exist_ok=True)
    if seed:
        with tempfile.TemporaryDirectory() as work:
            return fuzz_in(Path(work), found, name, seconds, seed)
    work = WORK / name
    work.mkdir(parents=True, exist_ok=True)
    return fuzz_in(work, found, name, seconds, seed)


def fuzz_in(work, found, name, seconds, seed):
    command = [
        sys.executable, "-m", "tests.fuzz.child", name, f"-seed={seed}",
        f"-max_total_time={seconds}", f"-max_len={LENGTH_MAX}", f"-timeout={HANG_S}",
        "-rss_limit_mb=1024", "-print_final_stats=1",
        f"-artifact_prefix={found}/", str(work), str(CORPUS / name),
    ]  # fmt: skip
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False, timeout=seconds + GRACE_S,
        )  # fmt: skip
        output, status = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode("utf-8", "replace"), -1
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    coverage = re.findall(r" cov: (\d+) ", output)
    with printing:
        text = "nothing found" if status == 0 else f"FOUND SOMETHING ({status})"
        print(
            f"{name:<16} {int(runs[1]) if runs else 0:>9,} inputs, "
            f"{coverage[-1] if coverage else '?':>6} edges, "
            f"{time.monotonic() - started:5.1f} s: {text}",
            flush=True,
        )
        if status:
            print(output[-6_000:])
            print(f"keep it: copy {found}/… into {CORPUS.relative_to(ROOT) / name}/, then mend it")
    return status == 0


def fuzz_all(names, seconds, seed):
    """Targets side by side, one for each core up to two; whether none found anything."""
    waiting, results = sorted(names, key=lambda name: name not in SLOW_TO_START), []

    def work():
        while waiting:
            with printing:
                name = waiting.pop(0) if waiting else None
            if name:
                results.append(fuzz(name, seconds, seed))

    threads = [threading.Thread(target=work) for _ in range(min(2, os.cpu_count() or 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all(results) and len(results) == len(names)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the same inputs each time; 0: others")
    parser.add_argument("--replay", action="store_true", help="only run what is kept")
    parser.add_argument("--input", type=Path, help="with --replay and --target: this file alone")
    options = parser.parse_args()
    names = [options.target] if options.target else TARGETS
    is_missing = importlib.util.find_spec("atheris") is None
    if is_missing and not options.replay:
        print(MISSING, flush=True)
    if options.replay or is_missing:
        files = {name: [options.input] if options.input else kept(name) for name in names}
        wrong = sum(replay(name, inputs) for name, inputs in files.items())
        print(f"{sum(map(len, files.values()))} inputs replayed, {wrong} of them wrong")
        return 1 if wrong else 0
    return 0 if fuzz_all(names, options.seconds, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
