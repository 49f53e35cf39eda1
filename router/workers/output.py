"""What an environment writes to stdout and stderr: read without ever waiting, bounded.

The router reads whatever comes, so a function never waits for its own prints; above the allowed
rate the bytes are counted and thrown away.
"""

import asyncio
import collections
import os
import time
from collections.abc import Callable

import msgspec

from router.model.limits import KIB, LOG_TAIL_BYTES, MIB
from router.model.log_settings import TEXT, LogSettings
from router.telemetry import metrics
from router.workers import platform_lines
from router.workers.log_files import Line, LogStream
from router.workers.log_levels import Threshold
from router.workers.logs import LogWriter

READ_BYTES = 64 * KIB
"""One read: the whole of a pipe with the kernel's default size."""

DRAIN_READS_MAX = 4
"""Reads at the end of an invocation: more than a pipe holds."""

LINE_BYTES_MAX = 256 * KIB
"""A longer line is cut into several log events (CloudWatch's largest event)."""

RATE_BYTES_PER_S = 1 * MIB
BURST_BYTES = 4 * MIB
"""Output kept per environment: a bucket of this size, filled at that rate."""


SILENT_BYTES = 320
"""About what the lines of a silent invocation come to."""


class Silent(msgspec.Struct, frozen=True, gc=False):
    """All the lines of an invocation that printed nothing, the usual one: few are ever read."""

    start: Line
    ended_ms: int
    """Epoch."""
    ending: platform_lines.Ending

    def lines(self) -> list[Line]:
        """What is written."""
        return [self.start, *((self.ended_ms, text) for text in self.ending.texts())]

    def tail(self) -> bytes:
        """The last 4 KB of it: all, unless an id were very long."""
        return "\n".join((self.start[1], *self.ending.texts(), "")).encode()[-LOG_TAIL_BYTES:]


class Output:
    """The output pipe of one environment."""

    def __init__(self, stream: LogStream, writer: LogWriter, settings: LogSettings = TEXT) -> None:
        self.stream = stream
        self._writer = writer
        self._is_json = settings.is_json
        self._threshold = Threshold.of(settings)
        self._loop = asyncio.get_running_loop()
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        self._loop.add_reader(self._read_fd, self._on_readable)
        self._is_open = True
        self._has_more = False
        """A read ended at its limit: the pipe may hold more than one takes."""
        self._partial = b""
        self._tail: collections.deque[str] = collections.deque()
        self._tail_bytes = 0
        self._pending: Line | None = None
        """The first line of an invocation, which nothing has followed yet."""
        self._allowance = float(BURST_BYTES)
        self._refilled_at = time.monotonic()
        self._dropped_bytes = 0
        self._dropped_lines = 0
        self._dropped = metrics.LOG_DROPPED_BYTES.labels(stream.function)
        self.tap: Callable[[list[Line]], None] | None = None
        """Hears of what was written, without the platform's own lines."""
        writer.watch(self)

    def begin(self, text: str) -> None:
        """Start the tail of an invocation with its first line, which may be empty: there is none.

        It is written with what follows, or by the writer when nothing follows soon.
        """
        if self._pending is not None:  # of the initialisation, which wrote nothing
            self._keep([])
        self._tail.clear()
        self._tail_bytes = 0
        if text:
            self._pending = (time.time_ns() // 1_000_000, text)
            self._writer.wake()

    def write(self, texts: tuple[str, ...]) -> None:
        """Add platform lines, each without its newline."""
        if texts:
            now_ms = time.time_ns() // 1_000_000
            self._keep([(now_ms, text) for text in texts])

    def write_pending(self, until_ms: int) -> bool:
        """Write the first line of an invocation that began before `until_ms`, epoch.

        Whether there is one that is held back still.
        """
        if self._pending is None:
            return False
        if self._pending[0] > until_ms:
            return True
        self._keep([], at_once=False)
        return False

    def finish(self, ending: platform_lines.Ending, *, is_read: bool) -> bytes | Silent:
        """`end` in text form. What is returned is the last 4 KB, or makes them.

        `is_read`: the loop has looked at all descriptors since the function answered. It writes
        before it answers, so all of that is here by then.
        """
        if is_read and not self._has_more:
            self._complete()
        else:
            self.drain()
        start = self._pending
        if start is None:
            return self._end(ending.texts())
        self._pending = None
        silent = Silent(start, time.time_ns() // 1_000_000, ending)
        self._writer.append(self.stream, (silent,), SILENT_BYTES)
        return silent

    def end(self, texts: tuple[str, ...]) -> bytes:
        """Take in all output of the invocation, add its last lines; the last 4 KB of it all."""
        self.drain()
        return self._end(texts)

    def _end(self, texts: tuple[str, ...]) -> bytes:
        if texts:  # as after a silent invocation: what the function has printed is in the file
            now_ms = time.time_ns() // 1_000_000
            self._keep([(now_ms, text) for text in texts], at_once=False)
        if not self._tail:  # every line is hidden by a level
            return b""
        return ("\n".join(self._tail) + "\n").replace("\r", "\n").encode()[-LOG_TAIL_BYTES:]

    def drain(self) -> None:
        """Read what is in the pipe now; a last line without its end is one."""
        for _ in range(DRAIN_READS_MAX):
            if not self._is_open:
                break
            try:
                chunk = os.read(self._read_fd, READ_BYTES)
            except BlockingIOError:
                break
            if chunk:
                self._take(chunk)
            else:
                self._stop_reading()
        self._has_more = False
        self._complete()

    def _complete(self) -> None:
        if self._partial:  # also of a pipe whose end the loop has seen before
            self._keep_bytes(self._partial.split(b"\n"))
            self._partial = b""
        self._report_dropped()

    def close(self) -> None:
        """Take in what is left and close the pipe."""
        self.drain()
        self._stop_reading()
        if self._pending is not None:
            self._keep([])
        self._writer.unwatch(self)

    def _on_readable(self) -> None:
        try:
            chunk = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._has_more = len(chunk) == READ_BYTES
            self._take(chunk)
        else:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)

    def _take(self, chunk: bytes) -> None:
        if not self._allow(len(chunk)):
            self._dropped_bytes += len(chunk)
            self._dropped_lines += chunk.count(b"\n")
            return
        self._report_dropped()
        data = self._partial + chunk
        *lines, self._partial = data.split(b"\n")
        if len(self._partial) >= LINE_BYTES_MAX:
            lines.append(self._partial)
            self._partial = b""
        if lines:
            self._keep_bytes(lines)

    def _allow(self, size_bytes: int) -> bool:
        now = time.monotonic()
        gained = (now - self._refilled_at) * RATE_BYTES_PER_S
        self._refilled_at = now
        self._allowance = min(BURST_BYTES, self._allowance + gained)
        if size_bytes > self._allowance:
            return False
        self._allowance -= size_bytes
        return True

    def _report_dropped(self) -> None:
        if self._dropped_bytes:
            dropped, self._dropped_bytes = self._dropped_bytes, 0
            count, self._dropped_lines = self._dropped_lines, 0
            self._dropped.inc(dropped)
            self.write((platform_lines.dropped(dropped, count, is_json=self._is_json),))

    def _keep_bytes(self, lines: list[bytes]) -> None:
        if self._threshold is not None:
            lines = [line for line in lines if self._threshold.shows(line)]
            if not lines:
                return
        now_ms = time.time_ns() // 1_000_000
        kept = [(now_ms, line.decode("utf-8", "replace")) for line in lines]
        if self.tap is not None:
            self.tap(kept)
        self._keep(kept)

    def _keep(self, lines: list[Line], *, at_once: bool = True) -> None:
        """Write lines after the one that waits for them. There is at least one of both."""
        if self._pending is not None:
            lines.insert(0, self._pending)
            self._pending = None
        size = 0
        tail = self._tail
        for _, text in lines:
            length = len(text) + 1
            size += length
            tail.append(text)
        self._tail_bytes += size
        while self._tail_bytes - len(tail[0]) - 1 >= LOG_TAIL_BYTES:
            self._tail_bytes -= len(tail.popleft()) + 1
        self._writer.append(self.stream, lines, size, at_once=at_once)
