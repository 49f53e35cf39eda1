"""Engines with a tape, and what another version's engine says to the same events.

`router trace` records them, `router trace --replay` asks again.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec
import orjson

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.queue_engine import RECEIVE_FULL, QueueEngine
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.mapping.tape import VERSION, Tape
from router.model.errors import RouterError
from router.model.mapping_spec import MappingSpec
from router.model.record import Record

_COMMON: Final = (e.SettingsChanged, e.RoomChanged, e.DrainRequested, e.Resumed, e.Tick)

_STREAM_EVENTS: Final = {
    kind.__name__: kind
    for kind in (
        e.ShardOpened, e.ShardForgotten, e.ShardRevoked, e.RecordsFetched, e.FetchFailed,
        e.InvocationFinished, e.ProgressStored, e.ProgressFailed, e.DiscardStored,
        e.DiscardFailed, *_COMMON,
    )
}  # fmt: skip

_QUEUE_EVENTS: Final = {
    kind.__name__: kind
    for kind in (
        q.QueueOpened, q.MessagesReceived, q.ReceiveFailed, q.InvocationStarted,
        q.InvocationFinished, q.MessagesDeleted, q.DeleteFailed, *_COMMON,
    )
}  # fmt: skip


class TraceError(RouterError):
    """A trace cannot be read: another version's, cut in the middle, or none at all."""

    code = "trace_error"


class TracedEngine(StreamEngine):
    """An engine with a tape. Costs a look at `Tape.is_on` once the tape has stopped."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead | None, salt: bytes) -> None:
        super().__init__(spec, run_ahead)
        self.tape = Tape(spec, {"run_ahead": run_ahead or RunAhead()}, salt)

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """See `Engine.handle`."""
        commands = super().handle(event, now_ms, wall_ms)
        if self.tape.is_on:
            self.tape.add(event, now_ms, wall_ms, commands)
        return commands


class TracedQueueEngine(QueueEngine):
    """The same for a queue."""

    def __init__(
        self, spec: MappingSpec, slots_max: int, salt: bytes, receive_max: int = RECEIVE_FULL
    ) -> None:
        super().__init__(spec, slots_max, receive_max)
        about = {"slots_max": slots_max, "receive_max": receive_max}
        self.tape = Tape(spec, {"queue": about}, salt)

    def handle(self, event: q.Event, now_ms: int, wall_ms: int) -> list[q.Command]:
        """See `QueueEngine.handle`."""
        commands = super().handle(event, now_ms, wall_ms)
        if self.tape.is_on:
            self.tape.add(event, now_ms, wall_ms, commands)
        return commands


class Difference(msgspec.Struct, frozen=True):
    """Where an engine does something else than the one that was recorded."""

    line: int
    """From 1, in the trace."""
    event: str
    recorded: tuple[str, ...]
    now: tuple[str, ...]

    def __str__(self) -> str:
        """For people: what was heard, what is missing, what is new."""
        missing = [f"  - {command}" for command in self.recorded if command not in self.now]
        new = [f"  + {command}" for command in self.now if command not in self.recorded]
        return "\n".join([f"line {self.line}: after {self.event}", *missing, *new])


def replay(lines: Iterable[bytes]) -> tuple[list[bytes], Difference | None]:
    """Ask this version's engine again; the trace as it is now, and the first difference.

    Raises `TraceError`.
    """
    found = [orjson.loads(line) for line in lines if line.strip()]
    if not found or found[0].get("version") != VERSION:
        raise TraceError("this is no trace that can be read: its first line has no known version")
    engine = _engine(found[0])
    for number, step in enumerate(found[1:], 2):
        event = _event(step["event"], engine)
        try:
            engine.handle(event, step["now"], step["wall"])
            said = orjson.loads(engine.tape.lines[-1])["commands"]
        except RouterError as error:
            said = [{"is": "EngineError", "text": str(error)}]
        if said != step["commands"]:
            shown = tuple(map(_shown, step["commands"])), tuple(map(_shown, said))
            return engine.tape.lines, Difference(number, _shown(step["event"]), *shown)
    return engine.tape.lines, None


def _engine(head: dict[str, Any]) -> TracedEngine | TracedQueueEngine:
    """An engine with what the first line says, and without a salt."""
    spec = msgspec.convert(head["spec"], MappingSpec)
    if (about := head.get("queue")) is not None:
        return TracedQueueEngine(spec, about["slots_max"], b"", about["receive_max"])
    return TracedEngine(spec, msgspec.convert(head["run_ahead"], RunAhead), b"")


def _event(plain: dict[str, Any], engine: TracedEngine | TracedQueueEngine) -> Any:
    known = _STREAM_EVENTS if isinstance(engine, TracedEngine) else _QUEUE_EVENTS
    kind = cast("Any", known.get(plain.get("is", "")))
    if kind is None:
        raise TraceError(f"a trace with an event nobody knows: {plain.get('is')!r}")
    return msgspec.convert(_revived(plain), kind)


def _revived(plain: Any) -> Any:
    """Objects as msgspec takes them: records from their places, bytes of the same length."""
    if isinstance(plain, list):
        return [_revived(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "bytes" in plain:
        text: str = plain["digest"]
        return text.encode() + b" " * (plain["bytes"] - len(text))
    revived = {name: _revived(value) for name, value in plain.items() if name != "is"}
    if "is" in plain:
        revived["type"] = plain["is"]
    for name, revive in (("records", _record), ("messages", _message), ("left_out", _receipt)):
        if name in revived:
            revived[name] = [revive(*row) for row in plain[name]]
    return revived


def _record(position: int, key: str, arrival_ms: int, size_bytes: int) -> Record:
    return Record(position, key, arrival_ms, size_bytes, b"")


def _message(
    position: int,
    arrival_ms: int,
    size_bytes: int,
    until_ms: int,
    message_id: str,
    receipt: str,
    group: str,
) -> q.Message:
    return q.Message(
        position,
        group,
        arrival_ms,
        size_bytes,
        b"",
        message_id,
        receipt=receipt,
        until_ms=until_ms,
    )


def _receipt(until_ms: int, message_id: str, receipt: str, group: str) -> q.Receipt:
    return q.Receipt(message_id, receipt, until_ms, group)


def _shown(plain: dict[str, Any]) -> str:
    fields = [f"{name}={_short(value)}" for name, value in plain.items() if name != "is"]
    return f"{plain['is']}({', '.join(fields)})"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
