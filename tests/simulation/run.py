"""One simulated run from its seed to its result."""

import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from router.sources import sieve
from tests.simulation.kinds import KINDS, kind_of, kind_of_options
from tests.simulation.parts import Parts

SILENT = logging.CRITICAL
"""No line of the router's log: thousands of virtual hours would write millions."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went."""

    kind: str
    options: Any
    error: Exception | None
    steps: int
    last_steps: tuple[str, ...]
    records: int
    duplicates: int
    seen: frozenset[str]


REAL = Parts()


def simulate(options: Any, rng: random.Random, parts: Parts = REAL) -> Result:
    """Run one world to its end; whatever goes wrong is in the result."""
    kind = kind_of_options(options)
    world = kind.world(options, rng, parts)
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
        kind=kind.name,
        options=options,
        error=error,
        steps=world.loop.steps,
        last_steps=tuple(f"{now:>9} {shorten(what)}" for now, what in world.trace),
        records=world.records,
        duplicates=world.duplicates,
        seen=frozenset(world.seen),
    )


def simulate_seed(
    seed: int,
    minutes: int = 10,
    parts: Parts = REAL,
    change: Callable[[Any], Any] | None = None,
    kind: str = "",
) -> Result:
    """Draw a seed's options, change them if wanted, and run. `kind`: not the seed's own."""
    rng = random.Random(seed)
    chosen = KINDS[kind] if kind else kind_of(seed)
    options = chosen.draw(seed, rng, minutes)
    if seed in chosen.storm_seeds:
        options = chosen.storm(options)
    return simulate(change(options) if change else options, rng, parts)


def shorten(step: object) -> str:
    """One step on one line: records as their positions."""
    of = next((name for name in ("records", "messages") if hasattr(step, name)), None)
    if of is None:
        return str(step)
    records = getattr(step, of)
    fields = {name: getattr(step, name) for name in step.__struct_fields__ if name != of}  # type: ignore[attr-defined]
    places = [f"{getattr(it, 'receipt', '') or it.position}:{it.key}" for it in records]
    shown = places if len(places) < 20 else [*places[:9], "…", *places[-9:]]
    values = ", ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(step).__name__}({values}, {len(places)} {of} [{' '.join(shown)}])"
