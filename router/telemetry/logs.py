"""Logs: JSON lines, or lines for people when stderr is a terminal.

One line per batch, never a payload, a header, an environment value or a credential.
"""

import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


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
        logger_factory=structlog.BytesLoggerFactory(file=out.buffer),
        cache_logger_on_first_use=True,
    )


def _lead_with_what_happened(
    _logger: Any, _name: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """When, how bad and what first, so that a line can be read from the left."""
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return {**first, **fields}
