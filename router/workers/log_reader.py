"""Function logs as log groups: pages of events, and which streams there are.

Everything here blocks: to be called in a thread.
"""

import heapq
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from router.workers.log_files import generations, group_paths, logs_folder
from router.workers.log_scan import (
    PAUSE_S,
    Budget,
    Found,
    Mark,
    Query,
    Scan,
    Segment,
    is_moment,
    moment_ms,
    open_segments,
)

SEARCH_BYTES_MAX: Final = 16 << 20
"""Read for one page of events; the next page goes on from there."""

PAGE_BYTES_MAX: Final = 1 << 20
"""Text of one page (CloudWatch Logs quota)."""

EVENT_BYTES: Final = 26
"""What an event counts for besides its text (CloudWatch Logs)."""

FILES_REMEMBERED_MAX: Final = 512
"""Files whose streams are remembered, so that only what is new is looked through."""

PAUSE_ROWS: Final = 2_000
"""After so many lines the interpreter is left to others for a moment."""

Marks = Mapping[str, Mark]
"""Log file, below the folder of logs → where to go on in it."""


class Page(msgspec.Struct, frozen=True):
    """Some events, oldest first, and where to go on; None when there is nothing more by now."""

    events: tuple[Found, ...]
    marks: dict[str, Mark]
    is_last: bool


class StreamFacts(msgspec.Struct, frozen=True):
    """One log stream. Times are epoch milliseconds."""

    name: str
    first_ms: int
    last_ms: int


Spans = dict[str, tuple[str, str]]
"""Stream → times of its first and last event, as text."""


class LogReader:
    """Reads the logs of a data folder."""

    def __init__(self, data_dir: str | Path) -> None:
        self._data_dir = Path(data_dir)
        self._folder = logs_folder(data_dir)
        self._seen: OrderedDict[str, tuple[int, Spans]] = OrderedDict()
        self._seeing = threading.Lock()

    def groups(self) -> dict[str, list[Path]]:
        """Groups that were written into, and their logs."""
        return group_paths(self._data_dir)

    def key(self, path: Path) -> str:
        """The name of a log among marks."""
        return str(path.relative_to(self._folder))

    def page(self, paths: Sequence[Path], query: Query, marks: Marks, limit: int) -> Page:
        """The next events of several logs, in the order of their times."""
        budget = Budget(SEARCH_BYTES_MAX)
        keys = {self.key(path): path for path in paths}
        opened = {key: Scan(path, marks.get(key), query, budget) for key, path in keys.items()}
        try:
            return _merge(opened, limit)
        finally:
            for scan in opened.values():
                scan.close()

    def last(self, path: Path, query: Query, before: Mark | None, limit: int) -> tuple[Found, ...]:
        """The last events of one log that end at a mark, or at its end; oldest first."""
        scan = Scan(path, None, query, Budget(1 << 62))
        kept: deque[Found] = deque(maxlen=limit)
        size = 0
        try:
            for found in scan:
                if found.mark == before:
                    break
                if len(kept) == limit:
                    size -= _size(kept[0])
                kept.append(found)
                size += _size(found)
                while size > PAGE_BYTES_MAX:
                    size -= _size(kept.popleft())
        finally:
            scan.close()
        return tuple(kept)

    def streams(self, paths: Sequence[Path]) -> dict[str, tuple[Path, StreamFacts]]:
        """The streams of several logs, each with the log it is in."""
        found: dict[str, tuple[Path, StreamFacts]] = {}
        for path in paths:
            spans: Spans = {}
            for segment in open_segments(path):
                with segment.file, self._seeing:
                    for name, (first, last) in self._spans(segment).items():
                        known = spans.get(name, (first, last))
                        spans[name] = min(known[0], first), max(known[1], last)
            for name, (first, last) in spans.items():
                found[name] = path, StreamFacts(name, moment_ms(first), moment_ms(last))
        return found

    def created_ms(self, paths: Sequence[Path]) -> int:
        """The time of the oldest event there is; 0 without any."""
        found = []
        for path in paths:
            for segment in open_segments(path):
                segment.file.close()
                found.append(moment_ms(segment.first))
        return min(filter(None, found), default=0)

    @staticmethod
    def size_bytes(paths: Sequence[Path]) -> int:
        """Size of several logs."""
        size = 0
        for path in paths:
            for name in generations(path):
                try:
                    size += name.stat().st_size
                except FileNotFoundError:
                    continue
        return size

    @staticmethod
    def remove(paths: Sequence[Path]) -> None:
        """Remove logs. What is written on begins anew."""
        for path in paths:
            for name in reversed(generations(path)):
                name.unlink(missing_ok=True)

    def _spans(self, segment: Segment) -> Spans:
        """Streams of a file; what was seen of it before is not read again."""
        offset, spans = self._seen.pop(segment.name, (0, {}))
        segment.file.seek(offset)
        for number, row in enumerate(segment.file):
            if number % PAUSE_ROWS == PAUSE_ROWS - 1:
                time.sleep(PAUSE_S)
            if not row.endswith(b"\n"):
                break
            offset += len(row)
            head = row.split(b"\t", 2)
            if len(head) == 3 and is_moment(head[0]):
                moment, name = (
                    head[0].decode("ascii", "replace"),
                    head[1].decode("utf-8", "replace"),
                )
                first, last = spans.get(name, (moment, moment))
                spans[name] = min(first, moment), max(last, moment)
        self._seen[segment.name] = offset, spans
        while len(self._seen) > FILES_REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return spans


def _merge(scans: Mapping[str, Scan], limit: int) -> Page:
    """Take events of several scans by time, until a page is full."""
    events: list[Found] = []
    marks: dict[str, Mark] = {}
    heads: list[tuple[int, str, Found]] = []
    rest = {key: iter(scan) for key, scan in scans.items()}
    size = 0

    def advance(key: str) -> None:
        found = next(rest[key], None)
        if found is not None:
            heapq.heappush(heads, (found.time_ms, key, found))

    for key in scans:
        advance(key)
    while heads and len(events) < limit:
        _, key, found = heads[0]
        if events and size + _size(found) > PAGE_BYTES_MAX:
            break
        heapq.heappop(heads)
        events.append(found)
        size += _size(found)
        advance(key)
    for key, scan in scans.items():
        if scan.position is not None:
            marks[key] = scan.position
    for _, key, found in heads:
        marks[key] = found.mark
    is_last = not heads and all(scan.is_at_end for scan in scans.values())
    events.sort(key=lambda found: found.time_ms)
    return Page(tuple(events), marks, is_last)


def _size(found: Found) -> int:
    return len(found.text) + EVENT_BYTES
