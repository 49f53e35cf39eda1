"""Searching the files of function logs by time, stream and text, a bounded piece at a time.

Lines are nearly in the order of their times: one is written at most `SLACK_MS` after another that
is later. So a moment is found by halving, without an index. A place in a log is a `Mark`, which
stays valid when the file is renamed.
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from router.workers.log_files import generations

SLACK_MS: Final = 30_000
"""How much later than its time a line may be written, behind a slow disk."""

BLOCK_BYTES: Final = 256 * 1024
"""Read at a time."""

PAUSE_S: Final = 0.0005
"""Between blocks: a search must not take the interpreter from the router for long."""

TIME_BYTES: Final = 24
"""`2026-07-01T10:00:00.123Z`."""

NEAR_BYTES: Final = 64 * 1024
"""Halving stops when a moment is as near as this."""

CLOCK_MS_MAX: Final = 60_000
"""What lies further ahead than this was written before the clock was set back."""

Mark = tuple[str, int]
"""A file's identity, and an offset in it."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for. Times are epoch milliseconds."""

    since_ms: int
    until_ms: int
    """Exclusive."""
    settled_ms: int
    """Up to then everything is written; what is later is not looked at yet."""
    has_stream: Callable[[str], bool] = lambda _stream: True
    matches: Callable[[str], bool] = lambda _text: True


class Found(msgspec.Struct, frozen=True):
    """One event."""

    time_ms: int
    stream: str
    text: str
    mark: Mark
    """Where it begins."""
    end: Mark
    """Where the next one begins."""

    @property
    def id(self) -> str:
        """Digits that no other event has."""
        file, offset = self.mark
        return f"{self.time_ms:015d}{file.partition('-')[0]:>025}{offset:016d}"


class Budget:
    """How much may be read for one answer."""

    def __init__(self, size_bytes: int) -> None:
        self.left_bytes = size_bytes


class Segment:
    """One file of a log, open."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        facts = os.fstat(file.fileno())
        self.size_bytes = facts.st_size
        self.first = file.read(TIME_BYTES).decode("ascii", "replace")
        """The time of its first line, as text."""
        self.name = f"{facts.st_ino}-{self.first}"

    def seek_time(self, moment: bytes) -> int:
        """An offset at which a line begins, with no line of `moment` or later before it."""
        low, high = 0, self.size_bytes
        while high - low > NEAR_BYTES:
            middle = (low + high) // 2
            self.file.seek(middle)
            self.file.readline()
            at = self.file.tell()
            head = self.file.read(TIME_BYTES)
            if not is_moment(head) or head >= moment:
                high = middle
            else:
                low = at
        return low


def open_segments(path: Path) -> list[Segment]:
    """The files of a log, oldest first, each once whatever is renamed meanwhile."""
    found: dict[str, Segment] = {}
    for name in generations(path):
        try:
            segment = Segment(name.open("rb"))
        except FileNotFoundError:
            continue
        if segment.name in found:  # it was renamed between two looks
            segment.file.close()
        else:
            found[segment.name] = segment
    return list(found.values())


class Scan:
    """Goes through one log from a mark on; `position` is where the next line begins."""

    def __init__(self, path: Path, start: Mark | None, query: Query, budget: Budget) -> None:
        self._files = open_segments(path)
        self._segments = self._files
        self._query = query
        self._budget = budget
        self._since = moment_text(query.since_ms).encode()
        self._until = moment_text(query.until_ms).encode()
        self._last = moment_text(query.until_ms + SLACK_MS).encode()
        self._settled = moment_text(query.settled_ms).encode()
        self._ahead = moment_text(query.settled_ms + CLOCK_MS_MAX).encode()
        self.is_at_end = False
        self.position = start
        names = [segment.name for segment in self._segments]
        if start is not None and start[0] in names:
            self._segments = self._files[names.index(start[0]) :]
        else:
            self.position = None

    def close(self) -> None:
        """Close the files."""
        for segment in self._files:
            segment.file.close()

    def __iter__(self) -> Iterator[Found]:
        begin = moment_text(max(0, self._query.since_ms - SLACK_MS)).encode()
        for segment in self._segments:
            if self.position is not None and self.position[0] == segment.name:
                offset = self.position[1]
            else:
                offset = segment.seek_time(begin)
            yield from self._read(segment, offset)
            if self.is_at_end or self._budget.left_bytes <= 0:
                return
        self.is_at_end = True

    def _read(self, segment: Segment, offset: int) -> Iterator[Found]:
        segment.file.seek(offset)
        self.position = segment.name, offset
        partial = b""
        while self._budget.left_bytes > 0 and (block := segment.file.read(BLOCK_BYTES)):
            self._budget.left_bytes -= len(block)
            *rows, partial = (partial + block).split(b"\n")
            for row in rows:
                moment = row[:TIME_BYTES]
                is_late = self._settled < moment < self._ahead or moment > self._last
                if is_late and is_moment(moment):
                    self.is_at_end = True
                    return
                end = offset + len(row) + 1
                self.position = segment.name, end
                if self._since <= moment < self._until:
                    found = self._event(segment.name, offset, end, row)
                    if found is not None:
                        yield found
                offset = end
            time.sleep(PAUSE_S)

    def _event(self, name: str, offset: int, end: int, row: bytes) -> Found | None:
        parts = row.decode("utf-8", "replace").split("\t", 2)
        if len(parts) != 3 or not self._query.has_stream(parts[1]):
            return None
        text = parts[2].replace("\r", "\n")
        if not self._query.matches(text):
            return None
        return Found(moment_ms(parts[0]), parts[1], text, (name, offset), (name, end))


def is_moment(text: bytes) -> bool:
    """Whether it is the time at the beginning of a line, and not of something else."""
    return len(text) == TIME_BYTES and text[10:11] == b"T" and text[-1:] == b"Z"


def moment_text(time_ms: int) -> str:
    """A moment as files have it, which sorts as time does; within the years they can have."""
    seconds, milliseconds = divmod(min(max(time_ms, 0), 253_402_300_799_999), 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def moment_ms(text: str) -> int:
    """Epoch milliseconds of a moment in a file; 0 for what is none."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000 + 0.5)
    except ValueError:
        return 0
