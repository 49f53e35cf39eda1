"""What one simulated run on a topic is like: drawn from its seed before anything happens."""

import random
from collections.abc import Callable

import msgspec

from router.model.mapping_spec import MappingSpec
from router.model.source_kind import SourceKind
from tests.simulation.options import FAILURES_ARN

TOPIC = "simulated"

FILTERS: dict[str, Callable[[int], bool]] = {
    '{"value":{"n":[0,1,2,3,4,5]}}': lambda number: number % 10 < 6,
    '{"value":{"n":[{"numeric":[">",8]}]}}': lambda number: number % 10 > 8,
    '{"value":{"m":["never"]}}': lambda number: False,
}
"""Patterns of mappings, and which offsets they let through."""


def is_wanted(offset: int, spec: MappingSpec) -> bool:
    """Whether a mapping's filters take a record."""
    return not spec.filters or any(FILTERS[text](offset) for text in spec.filters)


class TopicOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one run. Percentages are per occasion; times are virtual."""

    seed: int
    minutes: int
    spec: MappingSpec
    # The cluster
    partitions: int = 3
    keys: int = 8
    keyless_percent: int = 0
    records_per_s: float = 2.0
    burst_max: int = 1
    starts_with: int = 0
    gap_percent: int = 0
    growths: int = 0
    read_error_percent: int = 0
    commit_error_percent: int = 0
    commit_lost_percent: int = 0
    """The answer is lost, the commit counts."""
    broker_ms_max: int = 20
    outages: int = 0
    """The whole cluster is away for a while."""
    # The routers
    routers: int = 2
    rolls: int = 0
    """Restarts in good order."""
    crashes: int = 0
    cuts: int = 0
    """A router that does not reach the cluster for a while, and goes on with what it has."""
    settings_changes: int = 0
    tick_late_ms_max: int = 0
    store_ms_max: int = 10
    store_error_percent: int = 0
    # The function
    latency_ms_max: int = 400
    error_percent: int = 0
    timeout_percent: int = 0
    malformed_percent: int = 0
    missing_state_percent: int = 0
    partial_percent: int = 0
    invalid_partial_percent: int = 0
    poison_per_mille: int = 0
    throttle_percent: int = 0
    slots: int = 1_000

    def is_without(self, *switches: str) -> bool:
        """None of these troubles can happen."""
        return all(
            getattr(self, name) == value
            for switch in switches
            for name, value in SWITCHES[switch].items()
        )

    @property
    def is_fault_free(self) -> bool:
        """Nothing that happens may make a record be handed over twice."""
        return self.is_without(*FAULTS)


SWITCHES: dict[str, dict[str, object]] = {
    "keyless": {"keyless_percent": 0},
    "gaps": {"gap_percent": 0},
    "growths": {"growths": 0},
    "read_errors": {"read_error_percent": 0},
    "commit_errors": {"commit_error_percent": 0, "commit_lost_percent": 0},
    "slow_broker": {"broker_ms_max": 20},
    "outages": {"outages": 0},
    "several_routers": {"routers": 1},
    "rolls": {"rolls": 0},
    "crashes": {"crashes": 0},
    "cuts": {"cuts": 0},
    "settings": {"settings_changes": 0},
    "late_ticks": {"tick_late_ms_max": 0},
    "slow_store": {"store_ms_max": 10},
    "store_errors": {"store_error_percent": 0},
    "errors": {"error_percent": 0},
    "timeouts": {"timeout_percent": 0},
    "malformed": {"malformed_percent": 0},
    "partial": {"partial_percent": 0},
    "invalid_partial": {"invalid_partial_percent": 0},
    "poison": {"poison_per_mille": 0},
    "throttles": {"throttle_percent": 0},
    "slots": {"slots": 1_000},
    "backlog": {"starts_with": 0},
    "bursts": {"burst_max": 1},
}
"""What can be switched off one at a time when a failing seed is made smaller."""

FAULTS = (
    "commit_errors", "outages", "crashes", "cuts", "store_errors", "errors", "timeouts",
    "malformed", "partial", "invalid_partial", "poison",
)  # fmt: skip
"""Switches that can lead to a record being handed over again."""

STORM: dict[str, object] = {
    "partitions": 3, "routers": 3, "keys": 6, "keyless_percent": 10, "records_per_s": 3.0,
    "starts_with": 60, "gap_percent": 3, "growths": 2, "read_error_percent": 3,
    "commit_error_percent": 5, "commit_lost_percent": 5, "outages": 1, "rolls": 5, "crashes": 5,
    "cuts": 5, "settings_changes": 4, "store_error_percent": 3, "error_percent": 8,
    "timeout_percent": 3, "malformed_percent": 3, "partial_percent": 10,
    "invalid_partial_percent": 3, "poison_per_mille": 15, "throttle_percent": 3,
}  # fmt: skip


def storm(options: TopicOptions) -> TopicOptions:
    """The same run with nearly every trouble at once: rare meetings become common."""
    spec = msgspec.structs.replace(
        options.spec,
        destination_arn=FAILURES_ARN,
        is_reporting_failures=options.seed % 3 != 0,
        retries_max=options.seed % 4,
        factor=(1, 4, 10)[options.seed % 3],
        batch_size=(3, 10, 50)[options.seed // 2 % 3],
    )
    return msgspec.structs.replace(options, spec=spec, **STORM)


RATES = (0.3, 1.0, 3.0)
RATES_OF_LONG_RUNS = (0.05, 0.3, 1.0)
MINUTES_DENSE = 20


def draw(seed: int, rng: random.Random, minutes: int = 10) -> TopicOptions:
    """All options of a run, from its seed alone."""
    spec = draw_spec(rng)
    chosen: dict[str, object] = {}
    trouble = rng.choices((0, 1, 2, 3, 4, 6, 9), (2, 3, 3, 4, 4, 3, 2))[0]
    for kind in rng.sample(list(_TROUBLES), trouble):
        chosen |= _TROUBLES[kind](rng)
    for shape in _SHAPES:
        if rng.random() < 0.3:
            chosen |= shape(rng)
    reports = any(map(chosen.get, ("partial_percent", "invalid_partial_percent")))
    if reports and rng.random() < 0.9:
        spec = msgspec.structs.replace(spec, is_reporting_failures=True)
    if chosen.get("poison_per_mille"):
        spec = msgspec.structs.replace(spec, retries_max=rng.choice((0, 1, 2, 3)))
    return TopicOptions(
        seed=seed,
        minutes=minutes,
        spec=spec,
        partitions=rng.choice((1, 2, 3, 6)),
        keys=rng.choice((1, 3, 10, 40)),
        records_per_s=rng.choice(RATES if minutes <= MINUTES_DENSE else RATES_OF_LONG_RUNS),
        latency_ms_max=rng.choice((5, 100, 600, 2_500)),
        routers=rng.choice((1, 2, 2, 3)),
        **chosen,  # type: ignore[arg-type]
    )


def draw_spec(rng: random.Random) -> MappingSpec:
    """Settings of a mapping, extremes included."""
    return MappingSpec(
        uuid="5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d12",
        name="simulated",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:simulated",
        source_arn="",
        kind=SourceKind.KAFKA,
        batch_size=rng.choice((1, 2, 5, 10, 100)),
        window_ms=rng.choice((0, 0, 500, 1_000, 5_000)),
        factor=rng.choice((1, 1, 3, 10, 100)),
        retries_max=rng.choice((-1, -1, 0, 1, 3)),
        is_bisecting=rng.random() < 0.3,
        is_reporting_failures=rng.random() < 0.4,
        destination_arn=rng.choice((None, FAILURES_ARN, FAILURES_ARN)),
        retries_reported_only=True,
        is_window_from_first=True,
        filters=tuple(rng.sample(list(FILTERS), rng.choice((0, 0, 0, 1, 2)))),
        bootstrap_servers=("127.0.0.1:9092",),
        topics=(TOPIC,),
        consumer_group="group",
    )


_TROUBLES: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "read_errors": lambda rng: {"read_error_percent": rng.choice((2, 20))},
    "commit_errors": lambda rng: {
        "commit_error_percent": rng.choice((0, 10, 40)),
        "commit_lost_percent": rng.choice((5, 20)),
    },
    "outages": lambda rng: {"outages": rng.choice((1, 3))},
    "rolls": lambda rng: {"rolls": rng.choice((1, 4, 10))},
    "crashes": lambda rng: {"crashes": rng.choice((1, 3, 10))},
    "cuts": lambda rng: {"cuts": rng.choice((1, 4, 10))},
    "growths": lambda rng: {"growths": rng.choice((1, 3))},
    "settings": lambda rng: {"settings_changes": rng.choice((2, 8))},
    "store_errors": lambda rng: {
        "store_error_percent": rng.choice((5, 30)),
        "poison_per_mille": 20,
    },
    "errors": lambda rng: {"error_percent": rng.choice((2, 10, 40))},
    "timeouts": lambda rng: {"timeout_percent": rng.choice((2, 10))},
    "malformed": lambda rng: {"malformed_percent": rng.choice((5, 30))},
    "partial": lambda rng: {"partial_percent": rng.choice((10, 50))},
    "invalid_partial": lambda rng: {"invalid_partial_percent": rng.choice((5, 30))},
    "poison": lambda rng: {"poison_per_mille": rng.choice((5, 20, 100))},
    "throttles": lambda rng: {"throttle_percent": rng.choice((5, 40))},
    "slots": lambda rng: {"slots": rng.choice((1, 2))},
}
"""Each draws the options of one kind of trouble."""

_SHAPES: tuple[Callable[[random.Random], dict[str, object]], ...] = (
    lambda rng: {"broker_ms_max": rng.choice((0, 300, 2_000))},
    lambda rng: {"store_ms_max": rng.choice((0, 100, 1_500))},
    lambda rng: {"tick_late_ms_max": rng.choice((5, 50))},
    lambda rng: {"keyless_percent": rng.choice((20, 100))},
    lambda rng: {"gap_percent": rng.choice((5, 40))},
    lambda rng: {"burst_max": rng.choice((5, 60))},
    lambda rng: {"starts_with": rng.choice((20, 300))},
)
"""Shapes of traffic and machine: no fault, but not the comfortable middle either."""
