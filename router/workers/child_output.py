"""Standard output, Python logging and error lines of a function, in Lambda's forms.

Source of the forms: `functions-and-invocation.md` 8.7. Runs in the child: standard library only.
"""

import json
import logging
import os
import sys
import time
import traceback
from typing import Any

LINE_JOIN = "\r"
"""Keeps the lines of one error together as one log event; turned into newlines when read."""

JSON_TIME = "%Y-%m-%dT%H:%M:%SZ"

PYTHON_LEVELS = {"TRACE": "DEBUG"}
"""Lambda's names for levels that Python has no own one for."""

UTF8_RUNTIME_MINOR = 12
"""From `python3.12` on JSON is UTF-8; before, other than ASCII is escaped."""

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


class LambdaLoggerFilter(logging.Filter):
    """Gives every log record the id of the invocation running now."""

    request_id = ""
    tenant_id: "str | None" = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; nothing is left out."""
        record.aws_request_id = self.request_id
        record.tenant_id = self.tenant_id
        return True


class JsonFormatter(logging.Formatter):
    """One JSON document a record, what `extra` gave it included.

    `message` is the logged document itself where that is a dict. What JSON does not know is
    written as its text.
    """

    OWN = frozenset(
        {*vars(logging.makeLogRecord({})), "aws_request_id", "tenant_id"} - {"taskName"}
    )
    """Attributes of a record that are no extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        level = min(50, max(0, record.levelno)) // 10 * 10
        record.levelno, record.levelname = level, logging.getLevelName(level)
        is_document = isinstance(record.msg, dict) and not record.args
        error_type, error, trace = record.exc_info or (None, None, None)
        has_error = error is not None
        facts: dict[str, Any] = {
            "timestamp": self.formatTime(record, JSON_TIME),
            "level": record.levelname,
            "message": record.msg if is_document else record.getMessage(),
            "logger": record.name,
            "stackTrace": traceback.format_tb(trace) if has_error else None,
            "errorType": error_type.__name__ if error_type is not None else None,
            "errorMessage": str(error) if has_error else None,
            "requestId": getattr(record, "aws_request_id", None),
            "location": (
                f"{record.pathname}:{record.funcName}:{record.lineno}" if has_error else None
            ),
        }
        tenant_id = getattr(record, "tenant_id", None)
        if tenant_id is not None:
            facts["tenantId"] = tenant_id
        for name, value in vars(record).items():
            if name not in self.OWN:
                facts.setdefault(name, value)
        shown = {name: value for name, value in facts.items() if value is not None}
        return json.dumps(shown, ensure_ascii=False, default=str) + "\n"


class LambdaLoggerHandler(logging.Handler):
    """Writes to the current `sys.stdout`, whatever that is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one log event, whatever its formatter ends lines with.

        A record that cannot be written fails the call that logged it.
        """
        text = self.format(record)
        body = text.removesuffix("\n")
        sys.stdout.write(body.replace("\n", LINE_JOIN) + "\n")


REQUEST_IDS = LambdaLoggerFilter()
HANDLER = LambdaLoggerHandler()


class _Form:
    """How lines are written in this environment."""

    is_json = False
    is_ascii = False


def set_up_logging() -> None:
    """Give the root logger its one handler, as the Lambda runtime does."""
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
        "%Y-%m-%dT%H:%M:%S",
    )
    logging.Formatter.converter = time.gmtime  # that of the function's own formatters too
    HANDLER.setFormatter(formatter)
    HANDLER.addFilter(REQUEST_IDS)
    logging.root.addHandler(HANDLER)


def choose_form() -> None:
    """Take the format and the level that the environment's variables name."""
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = PYTHON_LEVELS.get(level, level)
    if isinstance(logging.getLevelName(level), int):  # a name it knows
        logging.root.setLevel(level)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        _Form.is_json = True
        minor = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
        _Form.is_ascii = minor.isdigit() and int(minor) < UTF8_RUNTIME_MINOR
        HANDLER.setFormatter(JsonFormatter())


def write_error(document: "dict[str, Any]") -> None:
    """Write an error document as one log event: `[ERROR] Type: message`, then the frames.

    With the JSON format it is the document itself.
    """
    if _Form.is_json:
        _write(_error_line(document))
        return
    text = "[ERROR]"
    if document.get("errorType"):
        text += f" {document['errorType']}"
    if document.get("errorMessage"):
        text += f"{':' if document.get('errorType') else ''} {document['errorMessage']}"
    lines = [text, "Traceback (most recent call last):"]
    for frame in document.get("stackTrace") or ():
        lines += [_indent(line) for line in frame.splitlines()] or [""]
    _write(LINE_JOIN.join(lines).replace("\n", LINE_JOIN) + "\n")


def _error_line(document: "dict[str, Any]") -> str:
    now = time.strftime(JSON_TIME, time.gmtime())
    line = {"timestamp": now, "level": "ERROR", **document}
    return json.dumps(line, ensure_ascii=_Form.is_ascii) + "\n"


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except (AttributeError, OSError, ValueError):
        return  # the function closed its own output


def _indent(line: str) -> str:
    stripped = line.lstrip(" ")
    return INDENT * (len(line) - len(stripped)) + stripped
