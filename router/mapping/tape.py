"""Takes down what a mapping's engine heard and said, as JSON lines.

The first line has the settings; each line after it one event, its times and the commands that
followed. Nothing of a record travels but position, arrival and size: the place of its key is
taken by another key of the same lanes, that of a window's state by its length and a digest; a
queue's messages, receipts and groups have numbers. Filters, ARNs, servers and secrets are left
out. Pure: who writes the lines is told by `Tape.lines`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.lanes import lane_of
from router.model.limits import MIB, PARALLELIZATION_FACTOR_MAX
from router.model.mapping_spec import MappingSpec
from router.model.record import Record

VERSION: Final = 1

TAPE_BYTES_MAX: Final = 16 * MIB
"""A tape that is full records nothing more, and says so."""

_UNSAID: Final = {
    "filters": (), "function_arn": "", "source_arn": "", "destination_arn": None,
    "bootstrap_servers": (), "topics": (), "source_access": (), "consumer_group": "",
}  # fmt: skip
"""Settings that decide nothing in an engine."""

_SAID_IF_ANY: Final = frozenset({"done"})
"""Fields that traces recorded before them do not have; with nothing in them they say nothing."""

FACTORS: Final = tuple(range(2, PARALLELIZATION_FACTOR_MAX + 1))
"""Of which a stand-in has the lanes, unless its mapping has more lanes than AWS gives."""


class Tape:
    """Takes down one engine's life from its beginning; stop it at any time."""

    def __init__(self, spec: MappingSpec, about: Mapping[str, Any], salt: bytes) -> None:
        """`about`: what else the engine was made with, by name.

        `salt` keeps digests of states from being guessed; a replay has none.
        """
        self.lines: list[bytes] = []
        self.is_cut = False
        """It ended before it was stopped: full, or a change of settings it cannot follow."""
        self.is_on = True
        self._salt = salt
        self._size_bytes = 0
        self._factors = FACTORS if spec.factor <= FACTORS[-1] else (spec.factor,)
        self._numbers: dict[str, str] = {}
        """Names of a queue's messages, receipts and groups, by what they are called there."""
        self._write({"version": VERSION, "spec": self._plain(spec), **about})

    def add(
        self,
        event: e.Event | q.Event,
        now_ms: int,
        wall_ms: int,
        commands: Sequence[e.Command | q.Command],
    ) -> None:
        """One step of the engine."""
        if not self.is_on:
            return
        if isinstance(event, e.SettingsChanged) and event.spec.factor not in (1, *self._factors):
            # The keys taken down so far have no known lanes under this factor.
            self._cut()
            return
        said = {"now": now_ms, "wall": wall_ms, "event": self._plain(event)}
        self._write(said | {"commands": [self._plain(command) for command in commands]})

    def _write(self, step: Any) -> None:
        line = orjson.dumps(msgspec.to_builtins(step))
        self._size_bytes += len(line) + 1
        if self._size_bytes > TAPE_BYTES_MAX:
            self._cut()
            return
        self.lines.append(line)

    def _cut(self) -> None:
        self.is_cut, self.is_on = True, False

    def _plain(self, value: Any) -> Any:
        """Structs as objects with their name, without what nobody else should see."""
        match value:
            case q.Message():
                place = [value.position, value.arrival_ms, value.size_bytes, value.until_ms]
                return [*place, *self._named(value.event_id, value.receipt, value.key)]
            case q.Receipt():
                return [
                    value.until_ms, *self._named(value.message_id, value.receipt, value.group)
                ]  # fmt: skip
            case Record():
                key = stand_in(value.key, self._factors)
                return [value.position, key, value.arrival_ms, value.size_bytes]
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

    def _named(self, message_id: str, receipt: str, group: str) -> tuple[str, str, str]:
        """Numbers in the order they are first met, so that a replay gives the same."""
        names = self._numbers
        return (
            names.setdefault(f"m {message_id}", f"m{len(names)}"),
            names.setdefault(f"r {receipt}", f"r{len(names)}"),
            names.setdefault(f"g {group}", f"g{len(names)}") if group else "",
        )

    def _digest(self, value: bytes) -> str:
        if len(value) <= len(b"{}"):
            return value.decode("ascii", "replace")
        if not self._salt:  # a replay, where states are stand-ins
            return value.rstrip().decode()
        digest = hashlib.blake2b(value, key=self._salt, digest_size=8).hexdigest()
        return digest[: len(value)]


def stand_in(key: str, factors: tuple[int, ...] = FACTORS) -> str:
    """A key that says nothing and has the lanes of this one, under each of these factors."""
    return _stand_ins(factors).find(key)


class _StandIns:
    """Looks at some thousands of keys, once, for 2,520 kinds of keys, or 1,000 of one factor."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        self._factors = factors
        self._found: dict[tuple[int, ...], str] = {}
        self._tried = 0

    def find(self, key: str) -> str:
        lanes = self._lanes(key)
        while lanes not in self._found:
            candidate = f"key-{self._tried}"
            self._tried += 1
            self._found.setdefault(self._lanes(candidate), candidate)
        return self._found[lanes]

    def _lanes(self, key: str) -> tuple[int, ...]:
        return tuple(lane_of(key, factor) for factor in self._factors)


_stand_ins = lru_cache(maxsize=8)(_StandIns)
