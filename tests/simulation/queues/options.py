"""What one simulated run on a queue is like: drawn from its seed before anything happens."""

import random
from collections.abc import Callable

import msgspec

from router.model.mapping_spec import MappingSpec
from router.model.resources import Pollers
from router.model.source_kind import SourceKind

ARN = "arn:aws:sqs:us-east-1:000000000000:simulated"

FILTERS: dict[str, Callable[[int], bool]] = {
    '{"body":{"n":[0,1,2,3,4,5]}}': lambda number: number % 10 < 6,
    '{"body":{"n":[{"numeric":[">",8]}]}}': lambda number: number % 10 > 8,
    '{"body":{"m":["never"]}}': lambda number: False,
}
"""Patterns of mappings, and which numbers they let through."""


def is_wanted(number: int, spec: MappingSpec) -> bool:
    """Whether a mapping's filters take a message."""
    return not spec.filters or any(FILTERS[text](number) for text in spec.filters)


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one run. Percentages are per occasion; times are virtual."""

    seed: int
    minutes: int
    spec: MappingSpec
    # The queue
    groups: int = 5
    messages_per_s: float = 2.0
    burst_max: int = 1
    starts_with: int = 0
    big_percent: int = 0
    delay_percent: int = 0
    visibility_s: int = 90
    receives_max: int | None = None
    receive_max: int = 10
    receive_error_percent: int = 0
    receive_lost_percent: int = 0
    """The answer is lost, and what was in it is hidden all the same."""
    receive_twice_percent: int = 0
    """A standard queue hands out what somebody has already."""
    receive_ms_max: int = 20
    delete_error_percent: int = 0
    delete_lost_percent: int = 0
    delete_failed_percent: int = 0
    """Single messages of a deletion that is answered."""
    delete_ms_max: int = 20
    # The function and its dispatcher
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
    rival_percent: int = 0
    # The router
    crashes: int = 0
    drains: int = 0
    pauses: int = 0
    settings_changes: int = 0
    room_changes: int = 0
    tick_late_ms_max: int = 0

    @property
    def is_fifo(self) -> bool:
        """Whether the queue keeps the order of its groups."""
        return self.spec.kind is SourceKind.FIFO

    def is_without(self, *switches: str) -> bool:
        """None of these troubles can happen."""
        return all(
            getattr(self, name) == value
            for switch in switches
            for name, value in SWITCHES[switch].items()
        )

    @property
    def is_fault_free(self) -> bool:
        """Nothing that happens may make a message be handed over twice."""
        return self.is_without(*FAULTS) and self.visibility_s >= PATIENT_S

    @property
    def is_never_in_vain(self) -> bool:
        """What is received runs: nothing else needs the slots, nothing is lost on its way."""
        return self.is_fault_free and self.is_without("throttles", "rival", "pauses", "drains")

    @property
    def is_dead_exactly_poison(self) -> bool:
        """What fails is reported by itself: nothing else may spend its receives."""
        own = [it for it in FAULTS if it != "poison"] + ["rival", "pauses", "drains", "settings"]
        return (
            self.is_without(*own)
            and not self.is_fifo
            and self.spec.is_reporting_failures
            and self.visibility_s >= PATIENT_S
        )


PATIENT_S = 90
"""A visibility timeout of six times the function's, as AWS asks for."""

SWITCHES: dict[str, dict[str, object]] = {
    "receive_errors": {"receive_error_percent": 0, "receive_lost_percent": 0},
    "twice": {"receive_twice_percent": 0},
    "slow_receives": {"receive_ms_max": 20},
    "delete_errors": {
        "delete_error_percent": 0, "delete_lost_percent": 0, "delete_failed_percent": 0,
    },
    "slow_deletes": {"delete_ms_max": 20},
    "errors": {"error_percent": 0},
    "timeouts": {"timeout_percent": 0},
    "malformed": {"malformed_percent": 0},
    "partial": {"partial_percent": 0},
    "invalid_partial": {"invalid_partial_percent": 0},
    "poison": {"poison_per_mille": 0},
    "throttles": {"throttle_percent": 0},
    "slots": {"slots": 1_000},
    "rival": {"rival_percent": 0},
    "crashes": {"crashes": 0},
    "drains": {"drains": 0},
    "pauses": {"pauses": 0},
    "settings": {"settings_changes": 0},
    "room": {"room_changes": 0},
    "late_ticks": {"tick_late_ms_max": 0},
    "big_messages": {"big_percent": 0},
    "delays": {"delay_percent": 0},
    "redrive": {"receives_max": None},
    "short_visibility": {"visibility_s": PATIENT_S},
    "backlog": {"starts_with": 0},
    "bursts": {"burst_max": 1},
}  # fmt: skip
"""What can be switched off one at a time when a failing seed is made smaller."""

FAULTS = (
    "receive_errors", "twice", "slow_receives", "delete_errors", "slow_deletes", "errors",
    "timeouts", "malformed", "partial", "invalid_partial", "poison", "throttles", "crashes",
)  # fmt: skip
"""Switches that can lead to a message being received again, or handed over again."""

STORM: dict[str, object] = {
    "groups": 4, "messages_per_s": 3.0, "starts_with": 60, "delay_percent": 5,
    "receive_error_percent": 5, "receive_lost_percent": 3, "receive_twice_percent": 5,
    "delete_error_percent": 10, "delete_lost_percent": 5, "delete_failed_percent": 5,
    "error_percent": 8, "timeout_percent": 3, "malformed_percent": 3, "partial_percent": 15,
    "invalid_partial_percent": 3, "poison_per_mille": 20, "throttle_percent": 5, "slots": 3,
    "rival_percent": 20, "crashes": 6, "drains": 3, "pauses": 6, "settings_changes": 12,
}  # fmt: skip


def storm(options: QueueOptions) -> QueueOptions:
    """The same run with nearly every trouble at once: rare meetings become common."""
    spec = msgspec.structs.replace(
        options.spec,
        is_reporting_failures=options.seed % 3 != 0,
        batch_size=(10, 3, 10)[options.seed % 3],
        concurrency_max=(None, 2, 5)[options.seed // 2 % 3],
        pollers=None,
    )
    visibility_s = (10, 30, 90)[options.seed % 3]
    changes = {
        **STORM,
        "receives_max": None,
        "visibility_s": visibility_s,
        "delete_error_percent": (10, 70)[options.seed // 2 % 2],
        "throttle_percent": (5, 30)[options.seed // 4 % 2],
        # Batches that are cut by their bytes: of a group there are several then.
        "big_percent": 85 if options.is_fifo else 30,
    }
    return msgspec.structs.replace(options, spec=spec, **changes)


RATES = (0.2, 1.0, 3.0, 8.0)
RATES_OF_LONG_RUNS = (0.05, 0.3, 1.0, 2.0)
MINUTES_DENSE = 20


def draw(seed: int, rng: random.Random, minutes: int = 10) -> QueueOptions:
    """All options of a run, from its seed alone."""
    is_fifo = rng.random() < 0.5
    spec = draw_spec(rng, is_fifo=is_fifo)
    chosen: dict[str, object] = {}
    trouble = rng.choices((0, 1, 2, 3, 4, 6, 9), (2, 3, 3, 4, 4, 3, 2))[0]
    for kind in rng.sample(list(_TROUBLES), trouble):
        chosen |= _TROUBLES[kind](rng)
    for shape in _SHAPES:
        if rng.random() < 0.3:
            chosen |= shape(rng)
    if is_fifo:
        chosen["delay_percent"] = 0
    reports = any(map(chosen.get, ("partial_percent", "invalid_partial_percent")))
    if (reports and rng.random() < 0.9) or chosen.get("poison_per_mille"):
        spec = msgspec.structs.replace(spec, is_reporting_failures=True)
    return QueueOptions(
        seed=seed,
        minutes=minutes,
        spec=spec,
        groups=rng.choice((1, 3, 10, 40)),
        messages_per_s=rng.choice(RATES if minutes <= MINUTES_DENSE else RATES_OF_LONG_RUNS),
        latency_ms_max=rng.choice((5, 100, 600, 2_500)),
        receive_max=rng.choice((10, 10, 100)),
        **chosen,  # type: ignore[arg-type]
    )


def draw_spec(rng: random.Random, *, is_fifo: bool) -> MappingSpec:
    """Settings of a mapping, extremes included."""
    window_ms = 0 if is_fifo else rng.choice((0, 0, 500, 1_000, 5_000, 20_000))
    pollers = rng.choice((None, None, None, Pollers(2, 3)))
    sizes = (1, 2, 5, 10) if is_fifo or not window_ms else (10, 50, 1_000, 10_000)
    return MappingSpec(
        uuid="5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d11",
        name="simulated",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:simulated",
        source_arn=ARN + ".fifo" * is_fifo,
        kind=SourceKind.FIFO if is_fifo else SourceKind.SQS,
        batch_size=rng.choice(sizes),
        window_ms=window_ms,
        is_reporting_failures=rng.random() < 0.4,
        filters=tuple(rng.sample(list(FILTERS), rng.choice((0, 0, 0, 1, 2)))),
        concurrency_max=rng.choice((None, None, 2, 3, 20)) if pollers is None else None,
        pollers=pollers,
    )


_TROUBLES: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "receive_errors": lambda rng: {
        "receive_error_percent": rng.choice((0, 5, 30)),
        "receive_lost_percent": rng.choice((2, 10)),
    },
    "twice": lambda rng: {"receive_twice_percent": rng.choice((5, 30))},
    "delete_errors": lambda rng: {
        "delete_error_percent": rng.choice((5, 40, 90)),
        "delete_lost_percent": rng.choice((0, 10)),
        "delete_failed_percent": rng.choice((0, 10)),
    },
    "errors": lambda rng: {"error_percent": rng.choice((2, 10, 40))},
    "timeouts": lambda rng: {"timeout_percent": rng.choice((2, 10))},
    "malformed": lambda rng: {"malformed_percent": rng.choice((5, 30))},
    "partial": lambda rng: {"partial_percent": rng.choice((10, 50))},
    "invalid_partial": lambda rng: {"invalid_partial_percent": rng.choice((5, 30))},
    "poison": lambda rng: {
        "poison_per_mille": rng.choice((5, 20, 100)),
        "receives_max": rng.choice((1, 2, 3, 10)),
    },
    "throttles": lambda rng: {"throttle_percent": rng.choice((5, 40, 80))},
    "slots": lambda rng: {"slots": rng.choice((1, 2, 4))},
    "rival": lambda rng: {"slots": rng.choice((1, 2)), "rival_percent": rng.choice((30, 100))},
    "crashes": lambda rng: {"crashes": rng.choice((1, 3, 10))},
    "drains": lambda rng: {"drains": rng.choice((1, 4))},
    "pauses": lambda rng: {"pauses": rng.choice((1, 4, 20))},
    "settings": lambda rng: {"settings_changes": rng.choice((2, 8, 20))},
    "room": lambda rng: {"room_changes": rng.choice((3, 20))},
    "short_visibility": lambda rng: {"visibility_s": rng.choice((2, 6, 15))},
}
"""Each draws the options of one kind of trouble."""

_SHAPES: tuple[Callable[[random.Random], dict[str, object]], ...] = (
    lambda rng: {"receive_ms_max": rng.choice((20, 300, 3_000))},
    lambda rng: {"delete_ms_max": rng.choice((20, 300, 3_000))},
    lambda rng: {"tick_late_ms_max": rng.choice((5, 50))},
    lambda rng: {"big_percent": rng.choice((3, 25))},
    lambda rng: {"delay_percent": rng.choice((10, 60))},
    lambda rng: {"burst_max": rng.choice((5, 60))},
    lambda rng: {"starts_with": rng.choice((20, 400))},
)
"""Shapes of traffic and machine: no fault, but not the comfortable middle either."""
