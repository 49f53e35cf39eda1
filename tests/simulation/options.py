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
from router.model.record import Record

MIB = limits.MIB

FAILURES_QUEUE = "failures"
FAILURES_ARN = f"arn:aws:sqs:us-east-1:000000000000:{FAILURES_QUEUE}"


FILTERS: dict[str, Callable[[Record], bool]] = {
    '{"body":{"n":[0,1,2,3,4,5]}}': lambda record: record.position % 10 < 6,
    '{"body":{"n":[{"numeric":[">",8]}]}}': lambda record: record.position % 10 > 8,
    '{"partitionKey":[{"anything-but":["k0"]}]}': lambda record: record.key != "k0",
    '{"body":{"m":["never"]}}': lambda record: False,
}
"""Patterns of mappings, and what they let through."""


def is_wanted(record: Record, spec: MappingSpec) -> bool:
    """Whether a mapping's filters take a record."""
    return not spec.filters or any(FILTERS[text](record) for text in spec.filters)


RESERVING_SHARE = 0.5
"""Of the runs in which another mapping wants the same slots."""


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
    merges: int = 0
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
    missing_state_percent: int = 0
    """Replies without the state of the tumbling window."""
    partial_percent: int = 0
    invalid_partial_percent: int = 0
    poison_per_mille: int = 0
    throttle_percent: int = 0
    concurrency_max: int = 1_000
    rival_percent: int = 0
    """Another mapping that wants the same slots."""
    is_reserving: bool = False
    """Its function is given a reservation and loses it again; it gives up what it waits for."""
    # The store
    store_ms_max: int = 10
    store_error_percent: int = 0
    # The destination of what is given up
    destination_outages: int = 0
    is_destination_missing: bool = False
    # The router
    crashes: int = 0
    drains: int = 0
    pauses: int = 0
    settings_changes: int = 0
    deletions: int = 0
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


STORM: dict[str, object] = {
    "keys": 10,
    "records_per_s": 4.0,
    "latency_ms_max": 600,
    "error_percent": 8,
    "partial_percent": 8,
    "invalid_partial_percent": 4,
    "missing_state_percent": 4,
    "poison_per_mille": 10,
    "throttle_percent": 4,
    "concurrency_max": 2,
    "rival_percent": 20,
    "store_error_percent": 4,
    "big_percent": 0,
    "oversize_percent": 0,
    "crashes": 4,
    "drains": 3,
    "pauses": 12,
    "settings_changes": 12,
    "deletions": 1,
    "wall_jumps": 1,
    "splits": 1,
    "merges": 1,
    "destination_outages": 3,
    "is_destination_missing": False,
    "retention_ms": 0,
    "age_edge_percent": 0,
}
TUMBLING_SHARE = 0.3
WIDTHS_MS = (1_000, 7_000, 30_000, 120_000)
"""Tumbling windows, and how many runs have them from the start."""

RATES = (0.2, 0.7, 2.0, 4.0)
RATES_OF_LONG_RUNS = (0.1, 0.5, 1.0, 5.0)
"""Records per second. A long run has fewer records in an hour, not fewer faults."""

MINUTES_DENSE = 20
"""Runs up to this length get many records."""

SWITCHES: dict[str, dict[str, object]] = {
    "fetch_faults": {"fetch_error_percent": 0, "fetch_empty_percent": 0},
    "short_fetches": {"fetch_short_percent": 0},
    "slow_fetches": {"fetch_ms_max": 20},
    "errors": {"error_percent": 0},
    "timeouts": {"timeout_percent": 0},
    "malformed": {"malformed_percent": 0},
    "missing_states": {"missing_state_percent": 0},
    "partial": {"partial_percent": 0},
    "invalid_partial": {"invalid_partial_percent": 0},
    "poison": {"poison_per_mille": 0},
    "throttles": {"throttle_percent": 0},
    "concurrency": {"concurrency_max": 1_000, "rival_percent": 0},
    "reservations": {"is_reserving": False},
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
    "merges": {"merges": 0},
    "deletions": {"deletions": 0},
    "outages": {"destination_outages": 0},
    "no_destination": {"is_destination_missing": False},
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
    "missing_states",
    "partial",
    "invalid_partial",
    "poison",
    "crashes",
)
"""Switches that can lead to a record being handed over again."""


def storm(options: Options) -> Options:
    """The same run with nearly every trouble at once: rare meetings become common."""
    is_windowed = options.seed % 2 == 1
    spec = msgspec.structs.replace(
        options.spec,
        destination_arn=FAILURES_ARN,
        is_reporting_failures=options.seed % 3 != 0,
        is_bisecting=options.seed % 3 != 1,
        retries_max=options.seed % 4,
        tumbling_window_ms=WIDTHS_MS[options.seed % 3] if is_windowed else 0,
        state_bytes_max=200 if is_windowed else limits.WINDOW_STATE_BYTES_MAX,
    )
    return msgspec.structs.replace(options, spec=spec, **STORM)


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
    if rng.random() < TUMBLING_SHARE:
        # Records near the size of an event are for mappings without windows.
        chosen |= {"big_percent": 0, "oversize_percent": 0}
        spec = msgspec.structs.replace(
            spec,
            tumbling_window_ms=rng.choice(WIDTHS_MS),
            factor=rng.choice((1, spec.factor)),
            state_bytes_max=rng.choice((100, 2_000, limits.WINDOW_STATE_BYTES_MAX)),
        )
    return Options(
        seed=seed,
        minutes=minutes,
        spec=spec,
        shards=rng.choice((1, 1, 2, 3)),
        keys=rng.choice((1, 3, 10, 40)),
        records_per_s=_rate(rng, minutes, chosen),
        latency_ms_max=rng.choice((5, 100, 600, 3_000)),
        # Of its own generator: the seeds that were there before it go on meaning what they meant.
        room_changes=random.Random(f"room {seed}").choice((0, 0, 0, 0, 3, 20)),
        is_reserving=random.Random(f"reserving {seed}").random() < RESERVING_SHARE,
        **chosen,  # type: ignore[arg-type]
    )


def _rate(rng: random.Random, minutes: int, chosen: dict[str, object]) -> float:
    """Twenty deliveries in vain for each on-failure record: few records will do."""
    rate = rng.choice(RATES if minutes <= MINUTES_DENSE else RATES_OF_LONG_RUNS)
    return min(rate, 0.5) if chosen.get("is_destination_missing") else rate


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
        tumbling_window_ms=0,
        filters=tuple(rng.sample(list(FILTERS), rng.choice((0, 0, 0, 0, 1, 2)))),
        destination_arn=rng.choice((None, FAILURES_ARN, FAILURES_ARN)),
    )


_FAILURES = ("error_percent", "partial_percent", "malformed_percent", "invalid_partial_percent")

_TROUBLES: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "fetch_faults": lambda rng: {
        "fetch_error_percent": rng.choice((0, 5, 30)),
        "fetch_empty_percent": rng.choice((5, 30)),
    },
    "errors": lambda rng: {"error_percent": rng.choice((2, 10, 40, 80))},
    "timeouts": lambda rng: {"timeout_percent": rng.choice((2, 10))},
    "missing_states": lambda rng: {"missing_state_percent": rng.choice((5, 40))},
    "malformed": lambda rng: {"malformed_percent": rng.choice((5, 30))},
    "partial": lambda rng: {"partial_percent": rng.choice((10, 50))},
    "invalid_partial": lambda rng: {"invalid_partial_percent": rng.choice((5, 30))},
    "poison": lambda rng: {"poison_per_mille": rng.choice((2, 10, 50))},
    "throttles": lambda rng: {"throttle_percent": rng.choice((5, 40, 80))},
    "concurrency": lambda rng: {
        "concurrency_max": rng.choice((1, 2)),
        "rival_percent": rng.choice((0, 30, 100)),
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
    "deletions": lambda rng: {"deletions": rng.choice((1, 4))},
    "outages": lambda rng: {
        "destination_outages": rng.choice((1, 3)),
        "wall_jumps": rng.choice((0, 0, 3)),
        "poison_per_mille": rng.choice((0, 20)),
    },
    "no_destination": lambda rng: {
        "is_destination_missing": True,
        "poison_per_mille": rng.choice((2, 10)),
    },
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
    lambda rng: {"big_percent": rng.choice((3, 25))},
    lambda rng: {"oversize_percent": rng.choice((0, 1))},
    lambda rng: {"gap_percent": rng.choice((10, 60))},
    lambda rng: {"splits": rng.choice((1, 2)), "merges": rng.choice((0, 1, 2))},
    lambda rng: {"burst_max": rng.choice((5, 60, 300))},
    lambda rng: {"starts_with": rng.choice((20, 400))},
    lambda rng: {
        "run_ahead_records": rng.choice((50, 200)),
        "run_ahead_bytes": rng.choice((8 * MIB, limits.RUN_AHEAD_BYTES_MAX)),
    },
)
"""Shapes of traffic and machine: no fault, but not the comfortable middle either."""
