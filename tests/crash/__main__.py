"""`make crash TRIALS=n`: K1 again and again, each with its own seed; ends at the first failure."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.crash import trials


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=1_000)
    options = parser.parse_args()
    for seed in range(options.first_seed, options.first_seed + options.trials):
        with tempfile.TemporaryDirectory() as folder:
            report = asyncio.run(trials.killed_router(Path(folder), seed))
        print(f"seed {seed}: {report.line()}", flush=True)
        if not report.verdict.is_good:
            print(report.verdict)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
