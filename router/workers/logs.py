"""Function logs: one file per function with a size cap, rotated, written off the loop.

What a line is, and where the files are: `log_files`.
"""

import asyncio
import contextlib
import functools
import os
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from router.model.limits import MIB
from router.telemetry import metrics
from router.workers.log_files import FILES_KEPT, Line, LogStream, log_path, make_folder

FILE_BYTES_MAX = 10 * MIB
"""A log file is rotated at this size."""

WAITING_BYTES_MAX = 16 * MIB
"""Output waiting for the disk, all functions; beyond it lines are dropped and counted."""

FLUSH_S = 0.2
"""Platform lines reach the file this late at most (a slow disk aside)."""

DIRECT_BYTES_MAX = 64 * 1024
"""Up to this much is written on the loop when a function has printed; more goes to the thread."""

SETTLE_S_MAX = 5.0
"""How long a reader of logs waits for lines on their way to a slow disk."""

FILE_MODE = 0o666
"""Of a new file; the mask of the process takes from it."""

SECONDS_REMEMBERED = 16
"""Seconds whose text is remembered: thousands of lines share one."""


class Lines(Protocol):
    """Lines that are put into words when they are written."""

    def lines(self) -> list[Line]:
        """What is written."""


Entry = Line | Lines
Groups = dict[LogStream, list[Entry]]


class Waiting(Protocol):
    """Holds the first line of an invocation back until something follows."""

    def write_pending(self, until_ms: int) -> bool:
        """Write it if the invocation began before `until_ms`, epoch; whether it is held still."""


class LogWriter:
    """Collects lines on the loop and appends them to the files in a thread of its own."""

    def __init__(self, data_dir: str | Path, *, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        self._data_dir = Path(data_dir)
        self._file_bytes_max = file_bytes_max
        self._collected: Groups = {}
        self._collected_bytes = 0
        self._handed_bytes = 0
        self._written_bytes = 0
        self._queue: queue.SimpleQueue[tuple[Groups, int, threading.Event | None] | None]
        self._queue = queue.SimpleQueue()
        self._outputs: set[Waiting] = set()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def append(
        self,
        stream: LogStream,
        lines: Iterable[Entry],
        size_bytes: int,
        *,
        at_once: bool = False,
    ) -> bool:
        """Take in lines of one environment; False when they were dropped: the disk is behind.

        `at_once` is for what a function printed: it is in the file when this returns, so that a
        record never counts as handled while its handler's last words can still be lost to a
        kill of the router. Only a flood goes through the thread all the same.
        """
        waiting_bytes = self._handed_bytes - self._written_bytes
        if self._collected_bytes + waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            metrics.LOG_DROPPED_BYTES.labels(stream.function).inc(size_bytes)
            return False
        self._collected_bytes += size_bytes
        self._collected.setdefault(stream, []).extend(lines)
        if at_once:
            self._flush_directly()
        else:
            self.wake()
        return True

    def watch(self, output: Waiting) -> None:
        """Have it write what it holds back, soon."""
        self._outputs.add(output)

    def unwatch(self, output: Waiting) -> None:
        """It writes no more."""
        self._outputs.discard(output)

    def wake(self) -> None:
        """There is something to write by and by."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._on_timer)

    async def settle(self) -> int:
        """See to it that every line of up to now is in its file; now, in epoch milliseconds.

        What comes later has that time or a later one.
        """
        now_ms = time.time_ns() // 1_000_000
        self._write_pending(now_ms)
        if self._collected or self._handed_bytes != self._written_bytes:
            written = threading.Event()
            self.flush(written)
            await asyncio.to_thread(written.wait, SETTLE_S_MAX)
        return now_ms

    def flush(self, written: threading.Event | None = None) -> None:
        """Hand what was collected to the thread; `written` is set when it is in the files."""
        self._stop_timer()
        if not self._collected and written is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="function-logs", daemon=True)
            self._thread.start()
        self._handed_bytes += self._collected_bytes
        self._queue.put((self._collected, self._collected_bytes, written))
        self._collected, self._collected_bytes = {}, 0

    def _on_timer(self) -> None:
        self._timer = None
        is_held = self._write_pending(time.time_ns() // 1_000_000 - int(FLUSH_S * 1000))
        self.flush()
        if is_held:
            self.wake()

    def _write_pending(self, until_ms: int) -> bool:
        """Whether any output still holds a line back."""
        held = [output for output in self._outputs if output.write_pending(until_ms)]
        return bool(held)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush_directly(self) -> None:
        """Write what was collected here and now, unless it is much or the thread is behind."""
        is_behind = self._handed_bytes != self._written_bytes
        if is_behind or self._collected_bytes > DIRECT_BYTES_MAX:
            self.flush()
            return
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
            groups, size_bytes, written = item
            self._write_all(groups)
            self._written_bytes += size_bytes
            if written is not None:
                written.set()

    def _write_all(self, groups: Groups) -> None:
        for stream, entries in groups.items():
            lines = _worded(entries)
            try:
                self._write(stream, lines)
            except OSError:
                lost = sum(len(text) for _, text in lines)
                metrics.LOG_DROPPED_BYTES.labels(stream.function).inc(lost)

    def _write(self, stream: LogStream, lines: list[Line]) -> None:
        path = log_path(self._data_dir, stream.function, stream.group)
        data = _rows(stream.name, lines).encode("utf-8", "replace")
        try:
            size = _append(path, data)
        except FileNotFoundError:
            make_folder(path, stream.group)
            size = _append(path, data)
        if size >= self._file_bytes_max:
            _rotate(path)


def _worded(entries: list[Entry]) -> list[Line]:
    lines: list[Line] = []
    for entry in entries:
        if isinstance(entry, tuple):
            lines.append(entry)
        else:
            lines += entry.lines()
    return lines


def _rows(name: str, lines: list[Line]) -> str:
    """What is appended to the file; many lines in a row have the same time."""
    rows: list[str] = []
    before_ms, head = -1, ""
    for time_ms, text in lines:
        if time_ms != before_ms:
            before_ms, head = time_ms, f"{_timestamp(time_ms)}\t{name}\t"
        rows.append(f"{head}{text}\n")
    return "".join(rows)


def _append(path: Path, data: bytes) -> int:
    """The file's size after it. By plain calls: in the loop, for each invocation that prints."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        return os.fstat(file).st_size
    finally:
        os.close(file)


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
