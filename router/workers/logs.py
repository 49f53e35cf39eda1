r"""Function logs: one file per function with a size cap, rotated, written off the loop.

    2026-07-01T10:00:00.123Z ⟶ log stream ⟶ text            (⟶ is a tab)

One line is one log event. An event of several lines (a traceback) keeps them in one, joined by
`\r`, which `read_log` turns into newlines. Lines are only ever appended, so a file can be
followed; a file that became smaller was rotated.
"""

import asyncio
import contextlib
import functools
import os
import queue
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from router.model.limits import MIB
from router.telemetry import metrics

FILE_BYTES_MAX = 10 * MIB
"""A log file is rotated at this size."""

FILES_KEPT = 3
"""Rotated files kept per function: `name.log.1` is the newest."""

WAITING_BYTES_MAX = 16 * MIB
"""Output waiting for the disk, all functions; beyond it lines are dropped and counted."""

FLUSH_S = 0.2
"""Platform lines reach the file this late at most (a slow disk aside)."""

DIRECT_BYTES_MAX = 64 * 1024
"""Up to this much is written on the loop when a function has printed; more goes to the thread."""

SECONDS_REMEMBERED = 16
"""Seconds whose text is remembered: thousands of lines share one."""

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")

Line = tuple[int, str]
"""Epoch milliseconds and text without a newline."""


class LogEntry(msgspec.Struct, frozen=True):
    """One log event as read back."""

    time: str
    """UTC, `2026-07-01T10:00:00.123Z`."""
    stream: str
    """Log stream: one per environment."""
    text: str


def log_path(data_dir: str | Path, function: str) -> Path:
    """The file that a function's lines are appended to."""
    return Path(data_dir) / "logs" / f"{UNSAFE.sub('_', function)}.log"


def read_log(data_dir: str | Path, function: str, lines: int) -> list[LogEntry]:
    """The last `lines` log events of a function, oldest first; none when it never wrote."""
    path = log_path(data_dir, function)
    found: list[LogEntry] = []
    for index in range(FILES_KEPT + 1):
        source = path if index == 0 else path.with_name(f"{path.name}.{index}")
        try:
            text = source.read_bytes().decode("utf-8", "replace")  # keeps each \r
        except FileNotFoundError:
            break
        rows = text.split("\n")[:-1]
        found = [entry for row in rows if (entry := parse_line(row)) is not None] + found
        if len(found) >= lines:
            break
    return found[-lines:] if lines > 0 else []


def parse_line(row: str) -> LogEntry | None:
    """One line of a log file; None when it is not one."""
    parts = row.split("\t", 2)
    if len(parts) != 3:
        return None
    return LogEntry(parts[0], parts[1], parts[2].replace("\r", "\n"))


class LogWriter:
    """Collects lines on the loop and appends them to the files in a thread of its own."""

    def __init__(self, data_dir: str | Path, *, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        self._data_dir = Path(data_dir)
        self._file_bytes_max = file_bytes_max
        self._collected: dict[tuple[str, str], list[Line]] = {}
        self._collected_bytes = 0
        self._waiting_bytes = 0
        self._queue: queue.SimpleQueue[tuple[dict[tuple[str, str], list[Line]], int] | None]
        self._queue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def append(
        self,
        function: str,
        stream: str,
        lines: Iterable[Line],
        size_bytes: int,
        *,
        at_once: bool = False,
    ) -> bool:
        """Take in lines of one environment; False when they were dropped: the disk is behind.

        `at_once` is for what a function printed: it is in the file when this returns, so that a
        record never counts as handled while its handler's last words can still be lost to a
        kill of the router. Only a flood goes through the thread all the same.
        """
        if self._collected_bytes + self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            metrics.LOG_DROPPED_BYTES.labels(function).inc(size_bytes)
            return False
        self._collected_bytes += size_bytes
        self._collected.setdefault((function, stream), []).extend(lines)
        if at_once:
            self._flush_directly()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        return True

    def flush(self) -> None:
        """Hand what was collected to the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._collected:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="function-logs", daemon=True)
            self._thread.start()
        self._waiting_bytes += self._collected_bytes
        self._queue.put((self._collected, self._collected_bytes))
        self._collected, self._collected_bytes = {}, 0

    def _flush_directly(self) -> None:
        """Write what was collected here and now, unless it is much or the thread is behind."""
        if self._waiting_bytes or self._collected_bytes > DIRECT_BYTES_MAX:
            self.flush()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        groups, self._collected, self._collected_bytes = self._collected, {}, 0
        self._write_all(groups)

    async def close(self) -> None:
        """Write what is left and end the thread."""
        self.flush()
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, 10.0)
            self._thread = None

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            groups, size_bytes = item
            self._write_all(groups)
            self._waiting_bytes -= size_bytes

    def _write_all(self, groups: dict[tuple[str, str], list[Line]]) -> None:
        for (function, stream), lines in groups.items():
            try:
                self._write(function, stream, lines)
            except OSError:
                lost = sum(len(text) for _, text in lines)
                metrics.LOG_DROPPED_BYTES.labels(function).inc(lost)

    def _write(self, function: str, stream: str, lines: list[Line]) -> None:
        path = log_path(self._data_dir, function)
        data = "".join(
            f"{_timestamp(time_ms)}\t{stream}\t{text}\n" for time_ms, text in lines
        ).encode("utf-8", "replace")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
            size = file.tell()
        if size >= self._file_bytes_max:
            _rotate(path)


def _rotate(path: Path) -> None:
    for index in range(FILES_KEPT, 0, -1):
        source = path if index == 1 else path.with_name(f"{path.name}.{index - 1}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(source, path.with_name(f"{path.name}.{index}"))  # noqa: PTH105


def _timestamp(time_ms: int) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@functools.lru_cache(maxsize=SECONDS_REMEMBERED)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
