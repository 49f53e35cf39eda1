"""Engines with one thing wrong each: the checker is worth what it catches (honest trials).

Two kinds. `Edit` changes one place of the engine's source and loads the pure modules anew.
`Bent` wraps the real engine and spoils a single command, once, late in the run: a checker that
only notices wholesale damage would miss it.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

import router.mapping
from router.mapping import engine as e
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, PartlySucceeded, Succeeded
from tests.simulation.world import MakeEngine

MODULES = (
    "timers",
    "batching",
    "bisect",
    "retry",
    "lanes",
    "shard",
    "attempts",
    "stream_engine",
)
"""The engine's modules; the events and commands are shared with the world."""


class Edit(msgspec.Struct, frozen=True):
    """One changed place in one module of the engine."""

    name: str
    module: str
    old: str
    new: str

    def engine(self) -> MakeEngine:
        """Load the changed engine. Raises `AssertionError` when the place is not there once."""
        path = Path(router.mapping.__file__).with_name(f"{self.module}.py")
        source = path.read_text(encoding="utf-8")
        assert source.count(self.old) == 1, f"{self.name}: {self.old!r} is not once in {path.name}"
        return _load({f"router.mapping.{self.module}": source.replace(self.old, self.new)})


class _Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds changed modules before the real ones."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        code = compile(self._sources[module.__name__], module.__name__, "exec")
        exec(code, module.__dict__)


def _load(sources: dict[str, str]) -> MakeEngine:
    """Import the engine anew with some sources changed; the real modules stay as they were."""
    package = router.mapping
    names = {name: f"router.mapping.{name}" for name in MODULES}
    kept = {name: sys.modules.pop(full) for name, full in names.items() if full in sys.modules}
    finder = _Sources(sources)
    sys.meta_path.insert(0, finder)
    try:
        for name in kept:
            delattr(package, name)
        return importlib.import_module("router.mapping.stream_engine").StreamEngine  # type: ignore[no-any-return]
    finally:
        sys.meta_path.remove(finder)
        for name, full in names.items():
            sys.modules.pop(full, None)
            if name in kept:
                sys.modules[full] = kept[name]
                setattr(package, name, kept[name])


Mishear = Callable[[Outcome], Outcome]
Bend = Callable[["Bent", e.Command], Sequence[e.Command] | None]
"""What to say instead of one command; None while there is nothing to spoil."""


class Bent:
    """The real engine, except for one command."""

    HONEST_COMMANDS = 60
    """How many commands pass before the first is spoiled."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead, bend: Bend) -> None:
        self._engine = StreamEngine(spec, run_ahead)
        self._bend = bend
        self._left = self.HONEST_COMMANDS
        self.last_invoke: e.Invoke | None = None
        self.answers: list[e.Event] = []

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """As the engine, then spoil."""
        commands = self._engine.handle(event, now_ms, wall_ms)
        said: list[e.Command] = []
        for command in commands:
            self._left -= 1
            bent = self._bend(self, command) if self._left < 0 else None
            if bent is not None:
                self._left = 1 << 60
            said.extend(bent if bent is not None else [command])
            if isinstance(command, e.Invoke):
                self.last_invoke = command
        while self.answers:
            said.extend(self._engine.handle(self.answers.pop(), now_ms, wall_ms))
        return said

    def next_wakeup_ms(self) -> int | None:
        """As the engine."""
        return self._engine.next_wakeup_ms()

    @property
    def is_drained(self) -> bool:
        """As the engine."""
        return self._engine.is_drained


def _drop(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Invoke) and len(command.records) > 1:
        return [msgspec.structs.replace(command, records=command.records[:-1])]
    return None


def _swap(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Invoke) and len(command.records) > 1:
        first, second, *others = command.records
        return [msgspec.structs.replace(command, records=(second, first, *others))]
    return None


def _repeat(bent: Bent, command: e.Command) -> Sequence[e.Command] | None:
    last = bent.last_invoke
    if not isinstance(command, e.Invoke) or command.attempt > 1 or last is None:
        return None
    if (last.shard, last.lane) != (command.shard, command.lane):
        return None
    return [msgspec.structs.replace(command, records=(last.records[-1], *command.records))]


def _claim_more(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.SaveProgress):
        update = command.update
        lane = msgspec.structs.replace(update.lane, position=update.lane.position + 1)
        return [msgspec.structs.replace(command, update=msgspec.structs.replace(update, lane=lane))]
    return None


def _forget_save(bent: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.SaveProgress):
        bent.answers.append(e.ProgressStored(command.command_id))
        return []
    return None


def _forget_discard(bent: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Discard):
        return [e.SaveProgress(command.command_id, command.update)]
    return None


def _wider_discard(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Discard) and len(command.records) > 1:
        return [msgspec.structs.replace(command, records=command.records[1:])]
    return None


def _counted_wrong(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Invoke) and command.attempt > 1:
        return [msgspec.structs.replace(command, attempt=command.attempt - 1)]
    return None


BENDS: dict[str, Bend] = {
    "one record dropped": _drop,
    "two records swapped": _swap,
    "one record repeated": _repeat,
    "one claim a position too far": _claim_more,
    "one save not made": _forget_save,
    "one discard not stored": _forget_discard,
    "one discarded record not in the on-failure record": _wider_discard,
    "one attempt counted wrong": _counted_wrong,
}

EDITS = (
    Edit(
        "batch one too large",
        "batching",
        "len(batch) < spec.batch_size",
        "len(batch) <= spec.batch_size",
    ),
    Edit(
        "envelope forgotten",
        "batching",
        "spec.event_bytes_max - frame_bytes",
        "spec.event_bytes_max",
    ),
    Edit("full batch waits", "batching", "records >= spec.batch_size", "records > spec.batch_size"),
    Edit(
        "window 1 ms short",
        "lanes",
        "self.window_start_ms) + window_ms",
        "self.window_start_ms) + window_ms - 1",
    ),
    Edit(
        "window 60 ms long",
        "lanes",
        "self.window_start_ms) + window_ms",
        "self.window_start_ms) + window_ms + 60",
    ),
    Edit(
        "window restarts with each record",
        "lanes",
        "        if not self.queue:\n            self.window",
        "        if True:\n            self.window",
    ),
    Edit(
        "one retry too few",
        "retry",
        "return 0 <= spec.retries_max < attempts",
        "return 0 <= spec.retries_max <= attempts",
    ),
    Edit(
        "one retry too many",
        "retry",
        "return 0 <= spec.retries_max < attempts",
        "return 0 <= spec.retries_max < attempts - 1",
    ),
    Edit(
        "age 1 ms late",
        "retry",
        "oldest_ms = wall_ms - age_ms_max",
        "oldest_ms = wall_ms - age_ms_max - 1",
    ),
    Edit(
        "age 1 ms early",
        "retry",
        "oldest_ms = wall_ms - age_ms_max",
        "oldest_ms = wall_ms - age_ms_max + 1",
    ),
    Edit("bisect one off", "bisect", "return size // 2", "return (size + 1) // 2"),
    Edit("second half first", "bisect", "return (*new_ends, *ends)", "return (*ends, *new_ends)"),
    Edit(
        "half goes missing",
        "lanes",
        "self.ends = with_parts(self.ends, *ends, batch[-1].position)",
        "self.ends = with_parts(self.ends, *ends)",
    ),
    Edit(
        "invalid response halves",
        "retry",
        "may_halve = not is_invalid_response",
        "may_halve = True",
    ),
    Edit(
        "partial without progress does not halve",
        "retry",
        "            may_halve = True\n",
        "            may_halve = False\n",
    ),
    Edit("checkpoint one too far", "shard", "min((first - 1 for first", "min((first for first"),
    Edit(
        "progress before finish",
        "lanes",
        "            return self.batch[0].position\n        return self.queue",
        "            return self.batch[-1].position\n        return self.queue",
    ),
    Edit(
        "discarded counts as finished at once",
        "lanes",
        "            return self.doomed.records[0].position\n",
        "            return self.first_undoomed\n",
    ),
    Edit(
        "partial success passes its tail",
        "lanes",
        "self.position = self.batch[count - 1].position",
        "self.position = self.batch[-1].position",
    ),
    Edit(
        "parts come back in reverse",
        "lanes",
        "self.queue.extendleft(reversed(records))",
        "self.queue.extendleft(records)",
    ),
    Edit(
        "head not stored", "lanes", "if not self.attempts and not self.ends:", "if not self.ends:"
    ),
    Edit(
        "parts not stored",
        "lanes",
        "        if not self.ends:\n            return None",
        "        if self.position >= 0:\n            return None",
    ),
    Edit(
        "budget reset by a restart",
        "lanes",
        "self.attempts = head.attempts if head.last > self.position else 0",
        "self.attempts = 0",
    ),
    Edit(
        "throttles count",
        "attempts",
        "        lane.phase = Phase.READY\n        return ()",
        "        lane.phase = Phase.READY\n        lane.attempts += 1\n        return ()",
    ),
    Edit(
        "tail keeps the old budget",
        "lanes",
        "batch[-1].position)\n        self.attempts = 0",
        "batch[-1].position)",
    ),
    Edit(
        "no back-off",
        "attempts",
        "lane.attempt_from_ms = now_ms + wait_ms",
        "lane.attempt_from_ms = now_ms",
    ),
    Edit(
        "save that failed counts",
        "stream_engine",
        "self._store_failed(command_id, engine.SaveProgress)",
        "self._stored(command_id, engine.SaveProgress)",
    ),
    Edit(
        "discard that failed counts",
        "stream_engine",
        "self._store_failed(command_id, engine.Discard)",
        "self._stored(command_id, engine.Discard)",
    ),
    Edit("drain ignored", "stream_engine", "self._is_draining = True", "self._is_draining = False"),
    Edit(
        "never resumes",
        "stream_engine",
        "            case engine.Resumed():\n                self._is_draining = False",
        "            case engine.Resumed():\n                self._is_draining = True",
    ),
    Edit(
        "drained too soon",
        "stream_engine",
        "lane.is_busy for shard",
        "lane.phase is Phase.RUNNING for shard",
    ),
    Edit(
        "first new record skipped after a restart",
        "shard",
        "if position > lane.position:",
        "if position > lane.position + 1:",
    ),
    Edit(
        "finished records taken in again",
        "shard",
        "if position > lane.position:",
        "if position >= 0:",
    ),
    Edit(
        "reads one too far",
        "shard",
        "        self.read_to = read_to\n",
        "        self.read_to = read_to + 1\n",
    ),
    Edit(
        "room not counted",
        "shard",
        "run_ahead.records_max - self.held_records",
        "run_ahead.records_max",
    ),
    Edit(
        "bytes not counted", "shard", "run_ahead.bytes_max - self.held_bytes", "run_ahead.bytes_max"
    ),
    Edit(
        "all mappings' bound ignored",
        "stream_engine",
        "room_bytes=bytes_max)",
        "room_bytes=None)",
    ),
    Edit(
        "room leaks",
        "shard",
        "        self.held_records -= len(records)\n",
        "        self.held_records -= len(records[1:])\n",
    ),
    Edit(
        "parents ignored",
        "stream_engine",
        "self._is_draining or shard.parents:",
        "self._is_draining:",
    ),
    Edit(
        "one key on two lanes",
        "shard",
        "lane_of(record.key, factor)",
        "lane_of(f'{record.key}{record.position % 2}', factor)",
    ),
    Edit("not run counts as done", "retry", "return Wait()", "return Finish()"),
    Edit(
        "a failure counts as success",
        "retry",
        "may_halve = not is_invalid_response",
        "return Finish()",
    ),
    Edit("timer one tick late for ever", "timers", "due_ms <= now_ms", "due_ms < now_ms"),
    Edit(
        "failed fetch not asked again",
        "stream_engine",
        "        shard.is_fetching = False\n",
        "        shard.is_fetching = shard.misses > 2\n",
    ),
)


class Misheard:
    """The real engine, told something else than what the function answered (D2, D9)."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead, mishear: Mishear) -> None:
        self._engine = StreamEngine(spec, run_ahead)
        self._mishear = mishear

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """As the engine, with another outcome."""
        if isinstance(event, e.InvocationFinished):
            event = e.InvocationFinished(event.command_id, self._mishear(event.outcome))
        return self._engine.handle(event, now_ms, wall_ms)

    def next_wakeup_ms(self) -> int | None:
        """As the engine."""
        return self._engine.next_wakeup_ms()

    @property
    def is_drained(self) -> bool:
        """As the engine."""
        return self._engine.is_drained


def _highest_failure(outcome: Outcome) -> Outcome:
    return PartlySucceeded(outcome.failed[-1:]) if isinstance(outcome, PartlySucceeded) else outcome


def _refused_reply_succeeds(outcome: Outcome) -> Outcome:
    is_refused = isinstance(outcome, Failed) and outcome.is_invalid_response
    return Succeeded() if is_refused else outcome


def _refused_reply_is_an_error(outcome: Outcome) -> Outcome:
    return Failed(outcome.error_type) if isinstance(outcome, Failed) else outcome


MISHEARD: dict[str, Mishear] = {
    "the highest failure counts": _highest_failure,
    "a refused reply is success": _refused_reply_succeeds,
    "a refused reply is a function error": _refused_reply_is_an_error,
}


def mutants() -> dict[str, Callable[[], MakeEngine]]:
    """Every mutant by name, with how to make it."""

    def bent(bend: Bend) -> Callable[[], MakeEngine]:
        return lambda: lambda spec, run_ahead: Bent(spec, run_ahead, bend)

    def misheard(mishear: Mishear) -> Callable[[], MakeEngine]:
        return lambda: lambda spec, run_ahead: Misheard(spec, run_ahead, mishear)

    made: dict[str, Callable[[], MakeEngine]] = {edit.name: edit.engine for edit in EDITS}
    made |= {name: bent(bend) for name, bend in BENDS.items()}
    return made | {name: misheard(mishear) for name, mishear in MISHEARD.items()}
