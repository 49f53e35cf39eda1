"""The JSON log format and its levels, end to end (`functions-and-invocation.md` 8.7)."""

import json

import msgspec
import pytest

from router.model.log_settings import LogSettings
from router.workers.log_files import read_log

JSON = LogSettings(is_json=True)

LOGGING = """
import logging
log = logging.getLogger("shop")

def handler(event, context):
    log.debug("hidden")
    log.info("order %s", 7, extra={"order": 7})
    print("plain words")
    try:
        raise ValueError("é")
    except ValueError:
        log.exception("went wrong")
    if event.get("fail"):
        raise KeyError("nope")
"""


def documents(tail: bytes) -> list[object]:
    return [
        json.loads(line) if line.startswith(b"{") else line.decode()
        for line in tail.split(b"\n")[:-1]
    ]


async def test_every_line_of_an_invocation_in_json(bed):
    reply = await bed.run(LOGGING, logs=JSON)
    start, info, plain, failure, report = documents(reply.log_tail)
    request_id = start["record"]["requestId"]
    assert start["type"] == "platform.start"
    assert start["record"] == {"requestId": request_id, "version": "$LATEST"}
    assert {name: info[name] for name in info if name != "timestamp"} == {
        "level": "INFO", "message": "order 7", "logger": "shop", "order": 7,
        "requestId": request_id,
    }  # fmt: skip
    assert plain == "plain words"
    assert failure["level"] == "ERROR"
    assert failure["errorType"] == "ValueError"
    assert failure["errorMessage"] == "é"
    assert "raise ValueError" in failure["stackTrace"][0]
    assert failure["location"].rpartition("/")[2] == "app.py:handler:12"
    assert report["type"] == "platform.report"
    assert report["record"]["status"] == "success"
    assert set(report["record"]["metrics"]) == {
        "durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs",
    }  # fmt: skip


async def test_an_exception_is_one_document_and_the_reports_say_error(bed):
    reply = await bed.run(LOGGING, b'{"fail": true}', logs=JSON)
    *_, error, done, report = documents(reply.log_tail)
    assert list(error) == [
        "timestamp", "level", "errorMessage", "errorType", "requestId", "stackTrace",
    ]  # fmt: skip
    assert error["errorType"] == "KeyError"
    assert error == {**error, **json.loads(reply.payload)}
    assert done["type"] == "platform.runtimeDone"
    for line in (done, report):
        assert line["record"]["status"] == "error"
        assert line["record"]["errorType"] == "Runtime.Unknown"


async def test_levels_leave_lines_out(bed):
    quiet = msgspec.structs.replace(JSON, application_level="ERROR", system_level="WARN")
    (failure,) = documents((await bed.run(LOGGING, logs=quiet)).log_tail)
    assert failure["message"] == "went wrong"
    assert (await bed.run("def handler(e, c): print('x')", logs=quiet)).log_tail == b""
    loud = msgspec.structs.replace(JSON, application_level="TRACE", system_level="DEBUG")
    lines = documents((await bed.run(LOGGING, logs=loud)).log_tail)
    assert lines[1]["message"] == "hidden"
    assert [line["type"] for line in lines[-2:]] == ["platform.runtimeDone", "platform.report"]


async def test_a_record_of_several_lines_is_one_event_in_text_too(bed):
    """So is each of those that a formatter of the function's own writes without a newline."""
    source = """
import logging

def handler(event, context):
    logging.error("two\\nlines")
    logging.root.handlers[0].setFormatter(logging.Formatter("<%(message)s>"))
    logging.error("one")
    logging.error("two")
"""
    reply = await bed.run(source)
    await bed.pool.close(0)
    texts = [entry.text for entry in read_log(bed.data, "f", 10)][2:5]
    assert texts[0].endswith("two\nlines")
    assert texts[1:] == ["<one>", "<two>"]
    assert b"two\nlines\n<one>\n<two>\nEND" in reply.log_tail


async def test_the_environment_says_the_format(bed):
    source = """
import os
def handler(event, context):
    return [os.environ.get(f"AWS_LAMBDA_LOG_{name}") for name in ("FORMAT", "LEVEL")] + [
        context.log_group_name, context.log_stream_name]
"""
    reply = await bed.run(
        source, logs=msgspec.structs.replace(JSON, group="/shop"), log_group="/shop"
    )
    form, level, group, stream = json.loads(reply.payload)
    assert (form, level, group) == ("JSON", "INFO", "/shop")
    assert "/f[$LATEST]" in stream
    assert json.loads((await bed.run(source)).payload)[:2] == [None, None]


async def test_a_failed_initialisation_in_json(bed):
    reply = await bed.run("raise ValueError('at import')", logs=JSON)
    start, error, init_done, init_report, _done, report = documents(reply.log_tail)
    assert start["type"] == "platform.start"
    assert error["errorMessage"] == "at import"
    assert init_done["type"] == "platform.initRuntimeDone"
    assert init_report["type"] == "platform.initReport"
    assert init_report["record"]["phase"] == "invoke"
    assert init_report["record"]["status"] == "error"
    assert report["record"]["status"] == "error"


async def test_a_timeout_in_json(bed):
    source = "import time\ndef handler(event, context):\n    time.sleep(30)\n"
    reply = await bed.run(source, logs=JSON, timeout_ms=300)
    *_, done, report = documents(reply.log_tail)
    assert done["record"]["status"] == report["record"]["status"] == "timeout"
    assert "errorType" not in report["record"]


@pytest.mark.parametrize("logs", [LogSettings(), JSON])
async def test_the_beginning_of_an_environment_is_in_the_log(bed, logs):
    """Also when neither the initialisation nor the handler prints anything."""
    await bed.run("def handler(event, context): pass", logs=logs)
    await bed.pool.close(0)
    first = read_log(bed.data, "f", 10)[0].text
    assert first.startswith("INIT_START") or json.loads(first)["type"] == "platform.initStart"
