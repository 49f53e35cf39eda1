"""Routers with one thing wrong each: the checker is worth what it catches (honest trials).

`Edit` changes one place of the source and loads the modules concerned anew. `Bent` wraps the real
engine and spoils a single command, once, late in the run: a checker that only notices wholesale
damage would miss it. `Misheard` tells the engine something else than the function answered.
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

import router
from router.mapping import engine as e
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, PartlySucceeded, Succeeded
from tests.simulation.around import AroundEngine
from tests.simulation.edits import EDITS, Edit
from tests.simulation.parts import Parts
from tests.simulation.queues.edits import EDITS as QUEUE_EDITS
from tests.simulation.topics.edits import EDITS as TOPIC_EDITS

ENGINE = (
    "mapping.timers",
    "mapping.batching",
    "mapping.bisect",
    "mapping.retry",
    "mapping.windows",
    "mapping.lanes",
    "mapping.shard",
    "mapping.window_calls",
    "mapping.attempts",
    "mapping.stream_engine",
)
"""The engine's modules; the events and commands are shared with the world."""

QUEUE_ENGINE = (
    "mapping.queue_batches",
    "mapping.queue_deletes",
    "mapping.queue_pace",
    "mapping.queue_engine",
)

GROUP = (
    "sources.kafka.committed",
    "sources.kafka.group_progress",
    "sources.kafka.source",
    "sources.kafka.opening",
    "mapping.kinds.kafka",
)

DISPATCHER = ("dispatch.pot", "dispatch.ledger", "dispatch.dispatcher")

COURIER = ("destinations.lane", "destinations.outbox")

WHOLE: dict[str, tuple[tuple[str, ...], str, str]] = {
    **dict.fromkeys(ENGINE, (ENGINE, "engine", "StreamEngine")),
    **dict.fromkeys(QUEUE_ENGINE, (QUEUE_ENGINE, "queue_engine", "QueueEngine")),
    **dict.fromkeys(GROUP, (GROUP, "kafka_kind", "KafkaKind")),
    "sources.kafka.member": (("sources.kafka.member",), "kafka_member", "Member"),
    "mapping.queue_shell": (("mapping.queue_shell",), "queue_shell", "QueueShell"),
    "mapping.visibility": (
        ("mapping.visibility", "mapping.queue_shell"),
        "queue_shell",
        "QueueShell",
    ),
    "mapping.shell": (("mapping.shell",), "shell", "Shell"),
    "mapping.driver": (("mapping.driver", "mapping.shell"), "shell", "Shell"),
    "sources.sieve": (("sources.sieve", "mapping.shell"), "shell", "Shell"),
    **dict.fromkeys(DISPATCHER, (DISPATCHER, "dispatcher", "Dispatcher")),
    **dict.fromkeys(COURIER, (COURIER, "courier", "Courier")),
    "store.sqlite.progress": (("store.sqlite.progress",), "progress", "SqliteProgress"),
    "store.sqlite.outbox": (("store.sqlite.outbox",), "outbox", "SqliteOutbox"),
    "outcomes.interpret": (
        ("outcomes.interpret", "sources.webhook_format"),
        "format",
        "WebhookFormat",
    ),
    "sources.webhook_event": (
        ("sources.webhook_event", "sources.webhook_format"),
        "format",
        "WebhookFormat",
    ),
}
"""Which modules are loaded anew when one changes, and which part of a world they make."""


def edited(edit: Edit, kind: str = "") -> Parts:
    """Load the changed part. Raises `AssertionError` when the place is not there once."""
    path = Path(*router.__path__).joinpath(*edit.module.split(".")).with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    assert source.count(edit.old) == 1, f"{edit.name}: {edit.old!r} is not once in {path.name}"
    modules, part, name = WHOLE[edit.module]
    if kind == "topic" and modules is ENGINE:
        modules, part, name = (*ENGINE, *GROUP), "kafka_kind", "KafkaKind"
    changed = {f"router.{edit.module}": source.replace(edit.old, edit.new)}
    module = _load(changed, [f"router.{module}" for module in modules])
    return Parts(**{part: getattr(module, name)})


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


def _load(sources: dict[str, str], names: Sequence[str]) -> ModuleType:
    """Import modules anew, some with changed sources; the real ones stay as they were."""
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    finder = _Sources(sources)
    sys.meta_path.insert(0, finder)
    try:
        for name in kept:
            package, _, last = name.rpartition(".")
            delattr(sys.modules[package], last)
        return importlib.import_module(names[-1])
    finally:
        sys.meta_path.remove(finder)
        for name in names:
            sys.modules.pop(name, None)
            if name in kept:
                package, _, last = name.rpartition(".")
                sys.modules[name] = kept[name]
                setattr(sys.modules[package], last, kept[name])


Mishear = Callable[[Outcome], Outcome]
Bend = Callable[["Bent", e.Command], Sequence[e.Command] | None]
"""What to say instead of one command; None while there is nothing to spoil."""


class Bent(AroundEngine):
    """The real engine, except for one command."""

    HONEST_COMMANDS = 60
    """How many commands pass before the first is spoiled."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead, bend: Bend) -> None:
        super().__init__(StreamEngine(spec, run_ahead))
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


def _twice(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.Invoke):
        return [command, msgspec.structs.replace(command, command_id=1 << 40)]
    return None


def _other_state(_: Bent, command: e.Command) -> Sequence[e.Command] | None:
    if isinstance(command, e.SaveProgress) and (window := command.update.lane.window) is not None:
        if window.state is None or window.state == b"{}":
            return None
        lane = msgspec.structs.replace(
            command.update.lane, window=msgspec.structs.replace(window, state=b"{}")
        )
        return [
            msgspec.structs.replace(
                command, update=msgspec.structs.replace(command.update, lane=lane)
            )
        ]
    return None


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
    "one batch handed over twice at once": _twice,
    "one window stored without its state": _other_state,
    "one record dropped": _drop,
    "two records swapped": _swap,
    "one record repeated": _repeat,
    "one claim a position too far": _claim_more,
    "one save not made": _forget_save,
    "one discard not stored": _forget_discard,
    "one discarded record not in the on-failure record": _wider_discard,
    "one attempt counted wrong": _counted_wrong,
}


class Misheard(AroundEngine):
    """The real engine, told something else than what the function answered (D2, D9)."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead, mishear: Mishear) -> None:
        super().__init__(StreamEngine(spec, run_ahead))
        self._mishear = mishear

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """As the engine, with another outcome."""
        if isinstance(event, e.InvocationFinished):
            event = e.InvocationFinished(event.command_id, self._mishear(event.outcome))
        return self._engine.handle(event, now_ms, wall_ms)


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


class Mutant(msgspec.Struct, frozen=True):
    """A router with one thing wrong: where, and how to make it."""

    place: str
    make: Callable[[], Parts]
    kind: str = "stream"
    """Of the worlds that must notice."""


def mutants() -> dict[str, Mutant]:
    """Every mutant by name."""

    def bent(bend: Bend) -> Mutant:
        def make() -> Parts:
            return Parts(engine=lambda spec, run_ahead: Bent(spec, run_ahead, bend))

        return Mutant("a command of the engine", make)

    def misheard(mishear: Mishear) -> Mutant:
        def make() -> Parts:
            return Parts(engine=lambda spec, run_ahead: Misheard(spec, run_ahead, mishear))

        return Mutant("what the engine hears", make)

    def changed(edit: Edit, kind: str) -> Mutant:
        return Mutant(edit.module, lambda: edited(edit, kind), kind)

    made = {edit.name: changed(edit, "stream") for edit in EDITS}
    made |= {edit.name: changed(edit, "queue") for edit in QUEUE_EDITS}
    made |= {edit.name: changed(edit, "topic") for edit in TOPIC_EDITS}
    made |= {name: bent(bend) for name, bend in BENDS.items()}
    return made | {name: misheard(mishear) for name, mishear in MISHEARD.items()}
