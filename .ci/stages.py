"""Runs the project's checks in stages and prints how long each took.

    python .ci/stages.py check     format, lint, types, architecture, unit, short simulation
    python .ci/stages.py test      all of it, then contract, security, crash and the demo

Ends with status 1 when a stage failed; the later ones still run, so that one run tells all.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent

CHECK = [
    ("format", [BIN / "ruff", "format", "--check", "."]),
    ("lint", [BIN / "ruff", "check", "."]),
    ("types", [BIN / "mypy"]),
    ("unit", [PYTHON, "-m", "pytest", "-q", "tests/tidy", "tests/unit"]),
    ("simulation", [PYTHON, "-m", "pytest", "-q", "tests/simulation"]),
]
TEST = [
    *CHECK,
    ("contract", [PYTHON, "-m", "pytest", "-q", "tests/contract"]),
    ("security", [PYTHON, "-m", "pytest", "-q", "tests/security"]),
    ("integration", [PYTHON, "-m", "pytest", "-q", "tests/integration"]),
    ("crash", [PYTHON, "-m", "pytest", "-q", "tests/crash"]),
    ("bench smoke", [PYTHON, "-m", "pytest", "-q", "tests/bench"]),
    ("demo", ["make", "--no-print-directory", "demo"]),
    ("demo with kill -9", ["make", "--no-print-directory", "demo", "CHAOS=1"]),
]
SUITES = {"check": CHECK, "test": TEST}


def main() -> int:
    """Run the named suite; 0 when every stage passed."""
    rows = []
    for name, command in SUITES[sys.argv[1]]:
        print(f"── {name}", flush=True)
        started = time.monotonic()
        status = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
        rows.append((name, status, time.monotonic() - started))
    print("\nstage                 seconds  result")
    for name, status, seconds in rows:
        print(f"{name:<20} {seconds:>8.1f}  {'ok' if status == 0 else f'FAILED ({status})'}")
    print(f"{'total':<20} {sum(row[2] for row in rows):>8.1f}")
    failed = sum(1 for row in rows if row[1] != 0)
    print(f"\nstages: {len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
