"""One simulated run from its seed to its result."""

import logging
import random
from collections.abc import Callable

import msgspec
import structlog

from router.sources import sieve
from tests.simulation.options import Options, draw, storm
from tests.simulation.parts import Parts
from tests.simulation.world import World

SILENT = logging.CRITICAL
"""No line of the router's log: thousands of virtual hours would write millions."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went."""

    options: Options
    error: Exception | None
    steps: int
    last_steps: tuple[str, ...]
    records: int
    duplicates: int
    seen: frozenset[str]


STORM_SEEDS = range(1_001, 1_013)
"""Seeds whose runs have nearly every trouble at once."""

REAL = Parts()


def simulate(options: Options, rng: random.Random, parts: Parts = REAL) -> Result:
    """Run one world to its end; whatever goes wrong is in the result."""
    world = World(options, rng, parts)
    error: Exception | None = None
    log_settings = structlog.get_config()
    slice_ns, sieve.SLICE_NS = sieve.SLICE_NS, 1 << 62  # by the machine's clock: not in here
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENT))
    try:
        world.run()
    except Exception as problem:
        error = problem
    finally:
        structlog.configure(**log_settings)
        sieve.SLICE_NS = slice_ns
    return Result(
        options=options,
        error=error,
        steps=world.loop.steps,
        last_steps=tuple(f"{now:>9} {shorten(what)}" for now, what in world.trace),
        records=sum(len(book.records) for book in world.checker.books.values()),
        duplicates=world.checker.duplicates,
        seen=frozenset(world.seen),
    )


def simulate_seed(
    seed: int,
    minutes: int = 10,
    parts: Parts = REAL,
    change: Callable[[Options], Options] | None = None,
) -> Result:
    """Draw a seed's options, change them if wanted, and run."""
    rng = random.Random(seed)
    options = draw(seed, rng, minutes)
    if seed in STORM_SEEDS:
        options = storm(options)
    return simulate(change(options) if change else options, rng, parts)


def shorten(step: object) -> str:
    """One step on one line: records as their positions."""
    records = getattr(step, "records", None)
    if records is None:
        return str(step)
    fields = {name: getattr(step, name) for name in step.__struct_fields__ if name != "records"}  # type: ignore[attr-defined]
    places = [f"{record.position}:{record.key}" for record in records]
    shown = places if len(places) < 20 else [*places[:9], "…", *places[-9:]]
    values = ", ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(step).__name__}({values}, {len(places)} records [{' '.join(shown)}])"
