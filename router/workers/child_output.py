"""Standard output, Python logging and error lines of a function, in Lambda's forms.

Source of the forms: `functions-and-invocation.md` 8.7. Runs in the child: standard library only.
"""

import logging
import sys
import time
from typing import Any

LINE_JOIN = "\r"
"""Keeps the lines of one error together as one log event; turned into newlines when read."""

INDENT = "\u00a0"
"""Leading spaces of a traceback are replaced, as log viewers strip ordinary ones."""


def open_streams() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` anew on descriptors 0, 1 and 2.

    The zygote does it once: its forks write to what their own descriptors are by then.
    """
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(  # noqa: SIM115
            number,
            "w",
            buffering=1,
            encoding="utf-8",
            errors="backslashreplace",
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def flush_streams() -> None:
    """Write out what is buffered. A function may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue


class RequestIdFilter(logging.Filter):
    """Gives every log record the id of the invocation running now."""

    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; nothing is left out."""
        record.aws_request_id = self.request_id
        return True


class LambdaHandler(logging.Handler):
    """Writes to the current `sys.stdout`, whatever that is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stdout.write(self.format(record))
        except Exception:  # noqa: BLE001  # logging must not break the handler
            self.handleError(record)


REQUEST_IDS = RequestIdFilter()


def set_up_logging() -> None:
    """Give the root logger its one handler, as the Lambda runtime does."""
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler = LambdaHandler()
    handler.setFormatter(formatter)
    handler.addFilter(REQUEST_IDS)
    logging.root.addHandler(handler)


def write_error(document: "dict[str, Any]") -> None:
    """Write an error document as one log event: `[ERROR] Type: message`, then the frames."""
    text = "[ERROR]"
    if document.get("errorType"):
        text += f" {document['errorType']}"
    if document.get("errorMessage"):
        text += f"{':' if document.get('errorType') else ''} {document['errorMessage']}"
    lines = [text, "Traceback (most recent call last):"]
    for frame in document.get("stackTrace") or ():
        lines += [_indent(line) for line in frame.splitlines()] or [""]
    try:
        sys.stdout.write(LINE_JOIN.join(lines).replace("\n", LINE_JOIN) + "\n")
    except (AttributeError, OSError, ValueError):
        return  # the function closed its own output


def _indent(line: str) -> str:
    stripped = line.lstrip(" ")
    return INDENT * (len(line) - len(stripped)) + stripped
