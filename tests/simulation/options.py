"""What one simulated run is like: drawn from its seed before anything happens ("swarm").

Most runs switch on one to four kinds of trouble and leave the rest alone: a fault hides
another one's bug when everything always fails. About one run in eight is free of faults, and
must then show no duplicate at all (D12).
"""

import random
from collections.abc import Callable

import msgspec

from router.model import limits
from router.model.mapping_spec import MappingSpec

MIB = limits.MIB


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one run. Percentages are per occasion; times are virtual."""

    seed: int
    minutes: int
    spec: MappingSpec
    # The source
    shards: int = 1
    keys: int = 8
    records_per_s: float = 4.0
    burst_max: int = 1
    big_percent: int = 0
    oversize_percent: int = 0
    gap_percent: int = 0
    starts_with: int = 0
    splits: int = 0
    retention_ms: int = 0
    fetch_error_percent: int = 0
    fetch_empty_percent: int = 0
    fetch_short_percent: int = 0
    fetch_ms_max: int = 20
    # The function and its dispatcher
    latency_ms_max: int = 400
    error_percent: int = 0
    timeout_percent: int = 0
    malformed_percent: int = 0
    partial_percent: int = 0
    invalid_partial_percent: int = 0
    poison_per_mille: int = 0
    throttle_percent: int = 0
    concurrency_max: int = 1_000
    does_limit_wait: bool = True
    # The store
    store_ms_max: int = 10
    store_error_percent: int = 0
    # The router
    crashes: int = 0
    drains: int = 0
    pauses: int = 0
    settings_changes: int = 0
    wall_jumps: int = 0
    age_edge_percent: int = 0
    """Per tick: the wall clock moves to where a record is just too old, or just not yet."""
    tick_late_ms_max: int = 0
    run_ahead_records: int = limits.RUN_AHEAD_RECORDS_MAX
    run_ahead_bytes: int = limits.RUN_AHEAD_BYTES_MAX
    room_changes: int = 0
    """Other mappings hold more, or less again."""

    @property
    def is_fault_free(self) -> bool:
        """Nothing that happens in this run may make a record be handed over twice."""
        return all(
            getattr(self, name) == value
            for switch in FAULTS
            for name, value in SWITCHES[switch].items()
        )


OFF = MappingSpec(uuid="", name="", function_arn="", source_arn="")

SWITCHES: dict[str, dict[str, object]] = {
    "fetch_faults": {"fetch_error_percent": 0, "fetch_empty_percent": 0},
    "short_fetches": {"fetch_short_percent": 0},
    "slow_fetches": {"fetch_ms_max": 20},
    "errors": {"error_percent": 0},
    "timeouts": {"timeout_percent": 0},
    "malformed": {"malformed_percent": 0},
    "partial": {"partial_percent": 0},
    "invalid_partial": {"invalid_partial_percent": 0},
    "poison": {"poison_per_mille": 0},
    "throttles": {"throttle_percent": 0},
    "concurrency": {"concurrency_max": 1_000},
    "store_errors": {"store_error_percent": 0},
    "slow_store": {"store_ms_max": 10},
    "crashes": {"crashes": 0},
    "drains": {"drains": 0},
    "pauses": {"pauses": 0},
    "settings": {"settings_changes": 0},
    "wall_jumps": {"wall_jumps": 0},
    "age_edges": {"age_edge_percent": 0},
    "late_ticks": {"tick_late_ms_max": 0},
    "big_records": {"big_percent": 0},
    "oversize": {"oversize_percent": 0},
    "gaps": {"gap_percent": 0},
    "splits": {"splits": 0},
    "retention": {"retention_ms": 0},
    "run_ahead": {
        "run_ahead_records": limits.RUN_AHEAD_RECORDS_MAX,
        "run_ahead_bytes": limits.RUN_AHEAD_BYTES_MAX,
    },
    "room": {"room_changes": 0},
    "backlog": {"starts_with": 0},
    "bursts": {"burst_max": 1},
}
"""What can be switched off one at a time when a failing seed is made smaller."""

FAULTS = (
    "errors",
    "timeouts",
    "malformed",
    "partial",
    "invalid_partial",
    "poison",
    "crashes",
)
"""Switches that can lead to a record being handed over again."""


def without(options: Options, switch: str) -> Options:
    """The same run with one kind of trouble switched off."""
    return msgspec.structs.replace(options, **SWITCHES[switch])


def is_on(options: Options, switch: str) -> bool:
    """Whether switching it off would change anything."""
    return any(getattr(options, name) != value for name, value in SWITCHES[switch].items())


def draw(seed: int, rng: random.Random, minutes: int = 10) -> Options:
    """All options of a run, from its seed alone."""
    spec = draw_spec(rng)
    chosen: dict[str, object] = {}
    kinds = list(_TROUBLES)
    trouble = rng.choices((0, 1, 2, 3, 4, 6, 9), (2, 2, 3, 4, 4, 3, 2))[0]
    for kind in rng.sample(kinds, trouble):
        chosen.update(_TROUBLES[kind](rng))
    for shape in _SHAPES:
        if rng.random() < 0.3:
            chosen.update(shape(rng))
    if (any(map(chosen.get, _FAILURES[1:]))) and rng.random() < 0.9:
        spec = msgspec.structs.replace(spec, is_reporting_failures=True)
    if any(map(chosen.get, _FAILURES)) and rng.random() < 0.5:
        spec = msgspec.structs.replace(spec, is_bisecting=True)
    if chosen.get("poison_per_mille") and rng.random() < 0.7:
        spec = msgspec.structs.replace(
            spec, is_bisecting=rng.random() < 0.8, retries_max=rng.choice((0, 1, 2, 3))
        )
    if chosen.get("age_edge_percent"):
        spec = msgspec.structs.replace(spec, record_age_ms_max=60_000)
    return Options(
        seed=seed,
        minutes=minutes,
        spec=spec,
        shards=rng.choice((1, 1, 2, 3)),
        keys=rng.choice((1, 3, 10, 40)),
        records_per_s=rng.choice((0.3, 2.0, 5.0, 10.0)),
        latency_ms_max=rng.choice((5, 100, 600, 3_000)),
        # Of its own generator: the seeds that were there before it go on meaning what they meant.
        room_changes=random.Random(f"room {seed}").choice((0, 0, 0, 0, 3, 20)),
        **chosen,  # type: ignore[arg-type]
    )


def draw_spec(rng: random.Random) -> MappingSpec:
    """Settings of a mapping, extremes included."""
    batch_size = rng.choice((1, 2, 5, 10, 10, 50, 100, 1_000, 10_000))
    return MappingSpec(
        uuid="5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d10",
        name="simulated",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:simulated",
        source_arn="arn:aws:router:us-east-1:000000000000:webhook/simulated",
        batch_size=batch_size,
        window_ms=rng.choice((0, 0, 0, 500, 1_000, 5_000, 20_000)),
        factor=rng.choice((1, 1, 2, 3, 10)),
        retries_max=rng.choice((-1, -1, 0, 1, 2, 5, 20)),
        record_age_ms_max=rng.choice((-1, -1, -1, 60_000, 120_000, 300_000)),
        is_bisecting=rng.random() < 0.4,
        is_reporting_failures=rng.random() < 0.4,
        destination_arn=rng.choice((None, "arn:aws:sqs:us-east-1:000000000000:failures")),
    )


_FAILURES = ("error_percent", "partial_percent", "malformed_percent", "invalid_partial_percent")

_TROUBLES: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "fetch_faults": lambda rng: {
        "fetch_error_percent": rng.choice((0, 5, 30)),
        "fetch_empty_percent": rng.choice((5, 30)),
    },
    "errors": lambda rng: {"error_percent": rng.choice((2, 10, 40, 80))},
    "timeouts": lambda rng: {"timeout_percent": rng.choice((2, 10))},
    "malformed": lambda rng: {"malformed_percent": rng.choice((5, 30))},
    "partial": lambda rng: {"partial_percent": rng.choice((10, 50))},
    "invalid_partial": lambda rng: {"invalid_partial_percent": rng.choice((5, 30))},
    "poison": lambda rng: {"poison_per_mille": rng.choice((2, 10, 50))},
    "throttles": lambda rng: {"throttle_percent": rng.choice((5, 40, 80))},
    "concurrency": lambda rng: {
        "concurrency_max": rng.choice((1, 2)),
        "does_limit_wait": rng.random() < 0.6,
    },
    "store_errors": lambda rng: {"store_error_percent": rng.choice((5, 30))},
    "crashes": lambda rng: {"crashes": rng.choice((1, 3, 10))},
    "deadly_discards": lambda rng: {
        "crashes": rng.choice((4, 10)),
        "poison_per_mille": rng.choice((20, 100)),
    },
    "drains": lambda rng: {"drains": rng.choice((1, 4))},
    "pauses": lambda rng: {"pauses": rng.choice((1, 4))},
    "settings": lambda rng: {"settings_changes": rng.choice((2, 8, 20))},
    "wall_jumps": lambda rng: {"wall_jumps": rng.choice((1, 4))},
    "age_edges": lambda rng: {"age_edge_percent": rng.choice((2, 20))},
    "retention": lambda rng: {"retention_ms": rng.choice((20_000, 90_000))},
}
"""Each draws the options of one kind of trouble."""

_SHAPES: tuple[Callable[[random.Random], dict[str, object]], ...] = (
    lambda rng: {"fetch_short_percent": rng.choice((20, 90))},
    lambda rng: {"fetch_ms_max": rng.choice((200, 3_000))},
    lambda rng: {"store_ms_max": rng.choice((0, 100, 1_500))},
    lambda rng: {"tick_late_ms_max": rng.choice((5, 50))},
    lambda rng: {"big_percent": rng.choice((1, 10))},
    lambda rng: {"oversize_percent": rng.choice((0, 1))},
    lambda rng: {"gap_percent": rng.choice((10, 60))},
    lambda rng: {"splits": rng.choice((1, 2))},
    lambda rng: {"burst_max": rng.choice((5, 60, 300))},
    lambda rng: {"starts_with": rng.choice((20, 400))},
    lambda rng: {
        "run_ahead_records": rng.choice((50, 200)),
        "run_ahead_bytes": rng.choice((8 * MIB, limits.RUN_AHEAD_BYTES_MAX)),
    },
)
"""Shapes of traffic and machine: no fault, but not the comfortable middle either."""
