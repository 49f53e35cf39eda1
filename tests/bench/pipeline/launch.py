"""`router …` with parts of its telemetry switched off, or under a profiler: for benches only.

`BENCH_OFF` is a list of `metrics` and `logs`. START, END and REPORT of a function stay on: they
are the product, not its telemetry. `BENCH_PROFILE` is a file for cProfile's statistics of the
event loop's thread.
"""

import cProfile
import logging
import os

from router import cli
from router.telemetry import logs
from router.telemetry.cells import Cells, Count, Level

ABOVE_ALL = logging.CRITICAL
"""A level no line of the router has."""


def ignore(*_arguments: object, **_named: object) -> None:
    """Instead of counting."""


def switch_off(names: str) -> None:
    if "metrics" in names:
        for kind, methods in (
            (Count, ("inc",)),
            (Level, ("inc", "dec", "set")),
            (Cells, ("observe",)),
        ):
            for method in methods:
                setattr(kind, method, ignore)
    if "logs" in names:
        logs.LEVELS = dict.fromkeys(logs.LEVELS, ABOVE_ALL)


def main() -> None:
    switch_off(os.environ.get("BENCH_OFF", ""))
    profile = os.environ.get("BENCH_PROFILE")
    if not profile:
        cli.main()
        return
    profiler = cProfile.Profile()
    try:
        profiler.runcall(cli.main)
    finally:
        profiler.dump_stats(profile)


if __name__ == "__main__":
    main()
