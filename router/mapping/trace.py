"""What a mapping's engine heard and said, as JSON lines that another version can be asked again.

The first line has the settings; each line after it one event, its times and the commands that
followed. Nothing of a record travels but position, arrival and size: the place of its key is
taken by another key of the same lanes, that of a window's state by its length and a digest.
Filters and ARNs are left out. Pure: who writes the lines is told by `Tape.lines`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec
import orjson

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.model.errors import RouterError
from router.model.limits import MIB, PARALLELIZATION_FACTOR_MAX
from router.model.mapping_spec import MappingSpec
from router.model.record import Record

VERSION: Final = 1

TAPE_BYTES_MAX: Final = 16 * MIB
"""A tape that is full records nothing more, and says so."""

_EVENTS: Final = {
    kind.__name__: kind
    for kind in (
        e.ShardOpened, e.ShardForgotten, e.ShardRevoked, e.RecordsFetched, e.FetchFailed,
        e.InvocationFinished, e.ProgressStored, e.ProgressFailed, e.DiscardStored,
        e.DiscardFailed, e.SettingsChanged,
        e.RoomChanged, e.DrainRequested, e.Resumed, e.Tick,
    )
}  # fmt: skip

_UNSAID: Final = {"filters": (), "function_arn": "", "source_arn": "", "destination_arn": None}
"""Settings that decide nothing in an engine."""


_SAID_IF_ANY: Final = frozenset({"done"})
"""Fields that traces recorded before them do not have; with nothing in them they say nothing."""


class TraceError(RouterError):
    """A trace cannot be read: another version's, cut in the middle, or none at all."""

    code = "trace_error"


class Tape:
    """Takes down one engine's life from its beginning; stop it at any time."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead, salt: bytes) -> None:
        """`salt` keeps digests of states from being guessed; a replay has none."""
        self.lines: list[bytes] = []
        self.is_cut = False
        """It was full before it was stopped."""
        self.is_on = True
        self._salt = salt
        self._size_bytes = 0
        self._write({"version": VERSION, "spec": self._plain(spec), "run_ahead": run_ahead})

    def add(self, event: e.Event, now_ms: int, wall_ms: int, commands: Sequence[e.Command]) -> None:
        """One step of the engine."""
        if self.is_on:
            said = {"now": now_ms, "wall": wall_ms, "event": self._plain(event)}
            self._write(said | {"commands": [self._plain(command) for command in commands]})

    def _write(self, step: Any) -> None:
        line = orjson.dumps(msgspec.to_builtins(step))
        self._size_bytes += len(line) + 1
        if self._size_bytes > TAPE_BYTES_MAX:
            self.is_cut, self.is_on = True, False
            return
        self.lines.append(line)

    def _plain(self, value: Any) -> Any:
        """Structs as objects with their name, without what nobody else should see."""
        match value:
            case Record():
                return [
                    value.position, stand_in(value.key), value.arrival_ms, value.size_bytes
                ]  # fmt: skip
            case MappingSpec():
                shown = msgspec.structs.replace(value, **_UNSAID)
                return msgspec.to_builtins(shown)
            case bytes():
                return {"bytes": len(value), "digest": self._digest(value)}
            case msgspec.Struct():
                fields = {
                    name: field
                    for name in value.__struct_fields__
                    if (field := getattr(value, name)) or name not in _SAID_IF_ANY
                }
                plain = {name: self._plain(field) for name, field in fields.items()}
                return {"is": type(value).__name__, **plain}
            case tuple() | list():
                return [self._plain(item) for item in value]
        return value

    def _digest(self, value: bytes) -> str:
        if len(value) <= len(b"{}"):
            return value.decode("ascii", "replace")
        if not self._salt:  # a replay, where states are stand-ins
            return value.rstrip().decode()
        digest = hashlib.blake2b(value, key=self._salt, digest_size=8).hexdigest()
        return digest[: len(value)]


_stand_ins: dict[tuple[int, ...], str] = {}


def stand_in(key: str) -> str:
    """A key that says nothing and has the lanes of this one, whatever the factor."""
    lanes = _lanes(key)
    while lanes not in _stand_ins:
        found = f"key-{len(_tried)}"
        _tried.append(found)
        _stand_ins.setdefault(_lanes(found), found)
    return _stand_ins[lanes]


_tried: list[str] = []
"""Keys looked at so far: some thousands, once, for 2,520 kinds of keys."""


def _lanes(key: str) -> tuple[int, ...]:
    return tuple(lane_of(key, factor) for factor in range(2, PARALLELIZATION_FACTOR_MAX + 1))


class TracedEngine(StreamEngine):
    """An engine with a tape. Costs a look at `Tape.is_on` once the tape has stopped."""

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead | None, salt: bytes) -> None:
        super().__init__(spec, run_ahead)
        self.tape = Tape(spec, run_ahead or RunAhead(), salt)

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """See `Engine.handle`."""
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
    spec, run_ahead = _spec(found[0]["spec"]), msgspec.convert(found[0]["run_ahead"], RunAhead)
    engine = TracedEngine(spec, run_ahead, b"")
    for number, step in enumerate(found[1:], 2):
        event = _event(step["event"])
        try:
            engine.handle(event, step["now"], step["wall"])
            said = orjson.loads(engine.tape.lines[-1])["commands"]
        except RouterError as error:
            said = [{"is": "EngineError", "text": str(error)}]
        if said != step["commands"]:
            shown = tuple(map(_shown, step["commands"])), tuple(map(_shown, said))
            return engine.tape.lines, Difference(number, _shown(step["event"]), *shown)
    return engine.tape.lines, None


def _event(plain: dict[str, Any]) -> e.Event:
    kind = _EVENTS.get(plain.get("is", ""))
    if kind is None:
        raise TraceError(f"a trace with an event nobody knows: {plain.get('is')!r}")
    event: Any = msgspec.convert(_revived(plain), kind)
    return cast("e.Event", event)


def _spec(plain: dict[str, Any]) -> MappingSpec:
    return msgspec.convert(plain, MappingSpec)


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
    if "records" in revived:
        revived["records"] = [
            Record(position, key, arrival_ms, size_bytes, b"")
            for position, key, arrival_ms, size_bytes in plain["records"]
        ]
    return revived


def _shown(plain: dict[str, Any]) -> str:
    fields = [f"{name}={_short(value)}" for name, value in plain.items() if name != "is"]
    return f"{plain['is']}({', '.join(fields)})"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
