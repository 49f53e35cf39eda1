"""Logs: JSON lines, or lines for people when stderr is a terminal.

One line per batch, never a payload, a header, an environment value or a credential.
"""

import asyncio
import atexit
import contextlib
import sys
from collections.abc import MutableMapping
from typing import Any, BinaryIO, TextIO

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

LINES_MAX = 256
"""Lines that wait for the end of a turn of the loop; then they are written at once."""


class Lines:
    """Writes JSON lines; the ordinary ones of one turn of the loop in one call.

    Every write lets go of the interpreter's lock, which a busy thread is slow to give back: one
    per turn is bearable, one per batch is not. A line is out before anything runs that its turn
    scheduled after it; a warning or an error takes all lines before it along, at once. What
    cannot be written is lost: a full disk must not stop the work that the lines are about.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._waiting: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def info(self, line: bytes) -> None:
        """Write it in this turn of the loop; at once outside of one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another thread, or before and after the loop
            self._write(line + b"\n")
            return
        if loop is not self._loop:
            self.flush()
            self._loop = loop
        self._waiting.append(line)
        if len(self._waiting) == 1:
            loop.call_soon(self.flush)
        elif len(self._waiting) >= LINES_MAX:
            self.flush()

    def error(self, line: bytes) -> None:
        """Write it and everything before it at once."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._write(line + b"\n")
            return
        self._waiting.append(line)
        self.flush()

    debug = info
    warning = critical = exception = error

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            lines, self._waiting = self._waiting, []
            self._write(b"\n".join(lines) + b"\n")

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.write(data)
            self._out.flush()


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging once.

    `form` is `json`, `text`, or `auto`: text on a terminal. Lines go to stderr, so that stdout
    stays a command's own.
    """
    out = stream if stream is not None else sys.stderr
    as_text = form == "text" or (form == "auto" and out.isatty())
    timestamp = structlog.processors.TimeStamper(
        fmt="%H:%M:%S" if as_text else "iso", utc=not as_text
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        timestamp,
    ]
    if as_text:
        structlog.configure(
            processors=[
                *shared,
                structlog.dev.ConsoleRenderer(
                    colors=out.isatty(),
                    pad_event_to=26,
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=structlog.WriteLoggerFactory(file=out),
            cache_logger_on_first_use=True,
        )
        return
    lines = Lines(out.buffer)
    atexit.register(lines.flush)
    structlog.configure(
        processors=[
            *shared,
            # Never with local variables: they hold payloads and secrets.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            _lead_with_what_happened,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )


def _lead_with_what_happened(
    _logger: Any, _name: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """When, how bad and what first, so that a line can be read from the left."""
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return {**first, **fields}
