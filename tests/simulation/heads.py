"""What may happen next to a batch that has begun: the contract as a small state machine.

Written from `event-source-mappings.md` 3.4 and 3.5 and not from the engine. Where the contract
leaves room (which settings a half follows when they change meanwhile) a head keeps every
`Plan` that fits what was seen so far; a violation is when none is left.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

import msgspec

from router.mapping import engine as e
from router.model.mapping_spec import MappingSpec
from router.model.progress import LaneHead
from router.model.record import Record

ENVELOPE_BYTES = len('{"Records":[]}')


class Kind(Enum):
    """What an invocation did, told by the fake function and not by the interpreter."""

    FINISHED = auto()
    PARTLY = auto()
    FAILED = auto()
    INVALID = auto()
    NOT_RUN = auto()


class Verdict(msgspec.Struct, frozen=True):
    """The truth about one invocation; `lowest` is the first failed index of PARTLY."""

    kind: Kind
    lowest: int = 0
    state: bytes | None = None
    """What the function returned of its tumbling window."""


class Plan(msgspec.Struct, frozen=True):
    """One way a head can stand: parts to come, the nearest first, and how often it failed."""

    parts: tuple[tuple[int, ...], ...]
    attempts: int
    spec: MappingSpec

    def __str__(self) -> str:
        return f"{self.attempts} failed of {[_range(part) for part in self.parts]}"


def _range(part: tuple[int, ...]) -> str:
    return f"{part[0]}..{part[-1]}" if len(part) > 3 else " ".join(map(str, part))


Age = Callable[[int], int]
RecordAt = Callable[[int], Record]


class Head:
    """A begun batch of one lane, with the parts that wait behind it."""

    def __init__(self, lane: int, plans: Iterable[Plan]) -> None:
        self.lane = lane
        self.plans = _distinct(plans)
        self.invoked: tuple[int, ...] = ()
        """With the function right now."""
        self.doomed: tuple[int, ...] = ()
        """Being discarded right now."""
        self.condemned: tuple[tuple[int, ...], str, list[Plan]] | None = None
        """A discard that could not be stored: records, condition, and where it would have led."""
        self._before: list[Plan] = []
        self._dropped: set[int] = set()
        """Of its positions, those that left the source or were filtered out on the way."""
        self.is_recovered = False
        self.ready_ms = 0
        """From when on its next attempt was due, back-off aside."""
        self.failed_ms: int | None = None
        """When its last attempt failed or was not run; None when a fresh part comes next."""

        self.last_kind: Kind | None = None
        """How its last invocation ended."""
        self.is_open_ended = False
        """Cut out of a larger batch: what else was gathered with it does not show yet."""
        self.was_refused = False
        """Its last attempt was not run, so nothing had to be stored after it."""
        self.is_surely_again = False
        """The same batch comes again in every plan."""

    def __str__(self) -> str:
        return " or ".join(map(str, self.plans))

    @property
    def positions(self) -> set[int]:
        """Everything unfinished it covers in at least one plan."""
        return {position for plan in self.plans for part in plan.parts for position in part}

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Forget positions that left the source before they were read again."""
        left = {position for position in self.positions if gone(position)}
        if left:
            self._dropped |= left
            self.plans = _distinct(_without(plan, gone) for plan in self.plans)

    def extend(self, told: Sequence[tuple[int, ...]]) -> None:
        """The engine says what was gathered behind this batch when it was cut."""
        self.plans = [
            msgspec.structs.replace(plan, parts=tuple(told))
            if plan.parts == tuple(told[: len(plan.parts)])
            else plan
            for plan in self.plans
        ]

    def try_invoke(
        self, batch: tuple[int, ...], attempt: int, current: MappingSpec, age: Age, at: RecordAt
    ) -> list[Plan]:
        """Plans in which this attempt is right, as they stand during it."""
        return _distinct(
            fitting
            for plan in self.plans
            for fitting in _invoked(plan, batch, attempt, current, age, at)
        )

    def try_discard(
        self, command: e.Discard, current: MappingSpec, age: Age, at: RecordAt
    ) -> list[Plan]:
        """Plans in which giving up these records is right, as they stand once it is stored.

        What could not be stored is given up again, even if the wall clock went back meanwhile.
        """
        gone = tuple(record.position for record in command.records)
        if self.condemned is not None and self.condemned[:2] == (gone, command.condition):
            return self.condemned[2]
        return _distinct(
            following
            for plan in self.plans
            for following in _discarded(plan, gone, command, current, age, at, self.is_recovered)
        )

    def begin_discard(self, command: e.Discard, plans: list[Plan]) -> None:
        """On its way to the store."""
        self._before, self.plans = self.plans, plans
        self.doomed = tuple(record.position for record in command.records)
        self.condemned = (self.doomed, command.condition, plans)

    def end_discard(self, *, is_stored: bool) -> None:
        """Stored, or not at all."""
        if not is_stored:
            self.plans = self._before
        else:
            self.condemned = self.failed_ms = None
        self.doomed = ()

    def finish(self, verdict: Verdict, current: MappingSpec) -> None:
        """An invocation ended."""
        batch = self.invoked
        self.was_refused = verdict.kind is Kind.NOT_RUN
        self.last_kind = verdict.kind
        self.plans = _distinct(
            following for plan in self.plans for following in _after(plan, batch, verdict, current)
        )
        self.invoked = ()

    def promise_of(self, batch: tuple[int, ...]) -> str:
        """Which promise an attempt with this batch breaks when no plan has it."""
        if any(plan.parts and plan.parts[0] == batch for plan in self.plans):
            return "D10"  # the right records, but not as often
        return self._promise_of_last()

    def promise_of_head(self, stored: LaneHead | None) -> str:
        """Which promise a stored head breaks when no plan fits it."""
        ends = [] if stored is None else [stored.last, *stored.ends]
        if any([part[-1] for part in plan.parts] == ends for plan in self.plans):
            return "D10"
        return self._promise_of_last()

    def _promise_of_last(self) -> str:
        if self.last_kind in {Kind.PARTLY, Kind.INVALID}:
            return "D9"
        is_split = any(len(plan.parts) > 1 for plan in self.plans)
        return "D8" if is_split and self.last_kind is Kind.FAILED else "D10"

    def fits_stored(self, stored: LaneHead | None, trimmed_to: int) -> list[Plan]:
        """Plans that the stored head describes."""
        return [plan for plan in self.plans if _describes(stored, plan, trimmed_to, self._dropped)]


def _distinct(plans: Iterable[Plan]) -> list[Plan]:
    found: list[Plan] = []
    for plan in plans:
        if plan not in found:
            found.append(plan)
    return found


def _without(plan: Plan, gone: Callable[[int], bool]) -> Plan:
    parts = [tuple(p for p in part if not gone(p)) for part in plan.parts]
    attempts = plan.attempts if parts and parts[0] else 0
    return msgspec.structs.replace(
        plan, parts=tuple(part for part in parts if part), attempts=attempts
    )


def _specs(plan: Plan, current: MappingSpec) -> list[MappingSpec]:
    """Settings hold from the next batch on; whether a part is one is left to the engine."""
    return [plan.spec] if plan.spec == current else [plan.spec, current]


def is_expired(age_ms: int, spec: MappingSpec) -> bool:
    """Too old to be handed to the function (D10)."""
    return spec.record_age_ms_max >= 0 and age_ms >= spec.record_age_ms_max


def _invoked(
    plan: Plan, batch: tuple[int, ...], attempt: int, current: MappingSpec, age: Age, at: RecordAt
) -> Iterable[Plan]:
    """How the part may be cut so that this is its attempt; no way when the attempt is wrong."""
    if not plan.parts or attempt != plan.attempts + 1 or plan.parts[0][: len(batch)] != batch:
        return
    part, behind = plan.parts[0], plan.parts[1:]
    size, replace = len(batch), msgspec.structs.replace
    for spec in _specs(plan, current):
        is_spent = plan.attempts > spec.retries_max >= 0 and plan.attempts > 0
        if is_spent or any(is_expired(age(position), spec) for position in batch):
            continue
        if size == len(part):
            yield plan
        elif _is_cut(part, size, spec, age, at):
            yield replace(plan, parts=(batch, part[size:], *behind))
            # Cut twice: where new settings allow no more, and then before an expired record.
            fulls = (n for n in range(size + 1, len(part)) if _is_full(part, n, spec, at))
            if full := next(fulls, None):
                yield replace(plan, parts=(batch, part[size:full], part[full:], *behind))


def _is_cut(part: Sequence[int], size: int, spec: MappingSpec, age: Age, at: RecordAt) -> bool:
    """A part may be cut before an expired record, or where new settings allow no more."""
    return is_expired(age(part[size]), spec) or _is_full(part, size, spec, at)


def _is_full(part: Sequence[int], size: int, spec: MappingSpec, at: RecordAt) -> bool:
    """The settings, which may be new, allow no more of this part in one batch."""
    if size >= spec.batch_size:
        return True
    if width_ms := spec.tumbling_window_ms:  # a batch is of one window
        first_ms, next_ms = at(part[0]).arrival_ms, at(part[size]).arrival_ms
        if first_ms // width_ms != next_ms // width_ms:
            return True
    size_bytes = sum(at(position).size_bytes for position in part[: size + 1])
    return ENVELOPE_BYTES + size_bytes > spec.event_bytes_max


def _discarded(
    plan: Plan,
    gone: tuple[int, ...],
    command: e.Discard,
    current: MappingSpec,
    age: Age,
    at: RecordAt,
    is_recovered: bool,
) -> Iterable[Plan]:
    """Where a discard leads; nowhere when it is wrong."""
    if not plan.parts or plan.parts[0][: len(gone)] != gone:
        return
    part = plan.parts[0]
    rest = part[len(gone) :]
    for spec in _specs(plan, current):
        match command.condition:
            case "RecordAgeExceeded":
                is_right = command.invoke_count == plan.attempts + 1 and all(
                    is_expired(age(position), spec) for position in gone
                )
                is_all = not rest or not is_expired(age(rest[0]), spec)
                is_right = is_right and (is_all or _is_full(part, len(gone), spec, at))
            case "RetryAttemptsExhausted":
                is_right = (
                    (not rest or _is_cut(part, len(gone), spec, age, at))
                    and command.invoke_count == plan.attempts
                    and plan.attempts > spec.retries_max >= 0
                    # No last outcome is known where a limit was lowered or a router died since.
                    and (command.outcome is not None or is_recovered or plan.spec != current)
                )
            case "MaximumPayloadSizeExceeded":
                is_right = len(gone) == 1 and (
                    ENVELOPE_BYTES + command.records[0].size_bytes > spec.event_bytes_max
                )
            case _:
                is_right = False
        if is_right:
            is_aged = command.condition == "RecordAgeExceeded"
            yield from _after_discard(plan, len(gone), spec, age, at, is_aged=is_aged)


def _after_discard(
    plan: Plan, size: int, spec: MappingSpec, age: Age, at: RecordAt, *, is_aged: bool
) -> Iterable[Plan]:
    """The rest of the part goes on, cut before the next expired record; or the next part does."""
    replace = msgspec.structs.replace
    part, behind = plan.parts[0], plan.parts[1:]
    rest = part[size:]
    if not rest:
        yield replace(plan, parts=behind, attempts=0)
        return
    if not is_aged or _is_full(part, size, spec, at):
        yield replace(plan, parts=(rest, *behind), attempts=0)
    if is_aged:
        yield replace(plan, parts=(rest, *behind))
        cuts = (n for n in range(1, len(rest)) if _is_cut(part, size + n, spec, age, at))
        if cut := next(cuts, None):
            yield replace(plan, parts=(rest[:cut], rest[cut:], *behind))


def _after(
    plan: Plan, batch: tuple[int, ...], verdict: Verdict, current: MappingSpec
) -> Iterable[Plan]:
    """Where an invocation leads: one plan for each way the settings can be read."""
    behind = plan.parts[1:]
    replace = msgspec.structs.replace
    match verdict.kind:
        case Kind.NOT_RUN:
            return [plan]
        case Kind.FINISHED:
            return [replace(plan, parts=behind, attempts=0)]
        case Kind.PARTLY if verdict.lowest > 0:
            tail = batch[verdict.lowest :]
            return [
                replace(plan, parts=(tail, *behind), attempts=0, spec=spec)
                for spec in _specs(plan, current)
            ]
    plans: list[Plan] = []
    for spec in _specs(plan, current):
        if spec.is_bisecting and len(batch) > 1 and verdict.kind is not Kind.INVALID:
            half = len(batch) // 2
            parts = (batch[:half], batch[half:], *behind)
            plans.append(replace(plan, parts=parts, attempts=0, spec=spec))
        else:
            plans.append(replace(plan, attempts=plan.attempts + 1, spec=spec))
    return plans


def _describes(stored: LaneHead | None, plan: Plan, trimmed_to: int, dropped: set[int]) -> bool:
    """A stored head forms the same parts with the same budget after a restart.

    It may still name parts whose records have left the source unread.
    """
    parts = plan.parts
    first = parts[0][0] if parts else trimmed_to + 1
    ends = [] if stored is None else [end for end in (stored.last, *stored.ends) if end >= first]
    if stored is None or not ends:
        return not parts or (plan.attempts == 0 and len(parts) == 1)
    is_of_first = stored.last >= first
    if not parts:
        return dropped.issuperset(ends)  # it names what is there no more
    lasts = [part[-1] for part in parts]
    told = [end for end in ends if end not in dropped or end in lasts]
    hidden = [end for end in ends if end in dropped and end not in lasts]
    # An end that was left out stands for the last record before it that was not.
    told += [last for last in lasts if last not in told and any(end > last for end in hidden)]
    return (
        sorted(told) == lasts
        and (stored.attempts if is_of_first else 0) == plan.attempts
        and (stored.first <= first or not is_of_first)
    )
