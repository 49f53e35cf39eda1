"""The JSON log format and its levels, end to end (`functions-and-invocation.md` 8.7)."""

import hashlib
import json
import platform
import re
from datetime import datetime

import msgspec
import pytest

from router.model.function import FunctionVersion, InvokeRequest
from router.model.log_settings import LogSettings
from router.workers import platform_lines
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
    arn = "arn:aws:lambda:eu-west-1:000000000000:function:f"
    assert start["record"] == {"requestId": request_id, "version": "$LATEST", "functionArn": arn}
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
    entry = read_log(bed.data, "f", 10)[0]
    version = f"python:{platform.python_version()}"
    digest = hashlib.sha256(version.encode()).hexdigest()
    arn = f"arn:aws:lambda:eu-west-1::runtime:{digest}"
    if not logs.is_json:
        line = f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}"
        assert entry.text == line
        return
    document = json.loads(entry.text)
    assert document["type"] == "platform.initStart"
    assert document["record"] == {
        "initializationType": "on-demand", "phase": "init", "runtimeVersion": version,
        "runtimeVersionArn": arn, "functionName": "f", "functionVersion": "$LATEST",
        "functionArn": "arn:aws:lambda:eu-west-1:000000000000:function:f",
        "instanceId": entry.stream.rpartition("]")[2], "instanceMaxMemory": 128 << 20,
    }  # fmt: skip


async def test_records_of_an_invocation_say_its_trace_if_it_is_kept_and_when_it_answered(bed):
    """A trace that is not sampled is kept nowhere; of what did not answer there is no span."""
    loud = msgspec.structs.replace(JSON, system_level="DEBUG")
    source = "import os\ndef handler(event, context):\n    if event: os._exit(1)\n"
    function = bed.function(source, logs=loud)
    trace = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
    for given, payload in ((trace, b"{}"), (trace[:-1] + "0", b"{}"), (trace, b"1")):
        tail = documents((await bed.invoke(function, payload, trace_id=given)).log_tail)
        records = {line["type"].partition(".")[2]: line["record"] for line in tail}
        told = {"type": "X-Amzn-Trace-Id", "value": trace} if given == trace else None
        for kind in ("start", "runtimeDone", "report"):
            assert records[kind].get("tracing") == told
        assert ("spans" in records["runtimeDone"]) == (payload == b"{}")
        if payload == b"{}":
            (span,) = records["runtimeDone"]["spans"]
            assert span["name"] == "responseLatency"
            assert span["durationMs"] == records["runtimeDone"]["metrics"]["durationMs"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", span["start"])


def test_an_answer_that_was_passed_on_meanwhile_has_a_span_of_its_own():
    request = InvokeRequest(
        function=FunctionVersion(
            name="f", arn="arn:aws:lambda:eu-west-1:000000000000:function:f",
            runtime="python3.11", handler="a.b", code_path="/x", code_hash="h",
        ),
        invoked_arn="a", request_id="r", payload=b"{}",
    )  # fmt: skip
    (_, done), _ = platform_lines.end_records(request, 30.0, 1, None, None, 5, 10.0)
    lengths = [(span["name"], span["durationMs"]) for span in done["spans"]]
    assert lengths == [("responseLatency", 10.0), ("responseDuration", 20.0)]
    starts = [datetime.fromisoformat(span["start"]) for span in done["spans"]]
    assert 0.008 < (starts[1] - starts[0]).total_seconds() < 0.012
