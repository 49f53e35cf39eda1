"""One simulated run from its seed to its result."""

import random
from collections.abc import Callable

import msgspec

from router.mapping.stream_engine import StreamEngine
from tests.simulation.options import Options, draw
from tests.simulation.world import MakeEngine, World


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went."""

    options: Options
    error: Exception | None
    steps: int
    last_steps: tuple[str, ...]
    records: int
    duplicates: int
    seen: frozenset[str]


def simulate(
    options: Options, rng: random.Random, make_engine: MakeEngine = StreamEngine
) -> Result:
    """Run one world to its end; whatever goes wrong is in the result."""
    world = World(options, rng, make_engine)
    error: Exception | None = None
    try:
        world.run()
    except Exception as problem:
        error = problem
    return Result(
        options=options,
        error=error,
        steps=world.steps,
        last_steps=tuple(f"{now:>9} {shorten(what)}" for now, what in world.trace),
        records=sum(len(book.records) for book in world.checker.books.values()),
        duplicates=world.checker.duplicates,
        seen=frozenset(world.checker.seen),
    )


def simulate_seed(
    seed: int,
    minutes: int = 10,
    make_engine: MakeEngine = StreamEngine,
    change: Callable[[Options], Options] | None = None,
) -> Result:
    """Draw a seed's options, change them if wanted, and run."""
    rng = random.Random(seed)
    options = draw(seed, rng, minutes)
    return simulate(change(options) if change else options, rng, make_engine)


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
