"""The lines the platform itself writes into a function's log, as text or JSON.

START, END, REPORT and INIT_REPORT, or `platform.start`, `platform.runtimeDone`, `platform.report`
and `platform.init…` (`functions-and-invocation.md` 8.7). A line a level hides is an empty text, or
not among the lines returned.
"""

import hashlib
import math
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from router.model.function import ON_DEMAND, FunctionVersion, InvokeRequest
from router.model.limits import MIB
from router.model.runtimes import Family, family_of, version_of
from router.workers import payloads
from router.workers.extensions.states import Extension

NAMED_ERROR: Final = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
"""Error types that logs show as they are (`functions-and-invocation.md` 6.3)."""

SHOWN_ERRORS: Final = ("Runtime.", "Function.", "Sandbox.", "Extension.")
"""How types begin that a text REPORT shows; others are the handler's own."""

Record = tuple[str, Mapping[str, Any]]
"""Kind, such as `start`, and content."""

DEBUG, INFO, WARN = range(3)
SYSTEM_LEVELS: Final = {"DEBUG": DEBUG, "INFO": INFO, "WARN": WARN}


def init_start(function: FunctionVersion, instance: str) -> str:
    """An environment begins; `instance` is no other one's."""
    if not function.logs.is_json:
        shown = _shown_version(function.runtime)
        return f"INIT_START Runtime Version: {shown}\tRuntime Version ARN: {_arn_of(function)}"
    return _record(function, INFO, *init_start_record(function, instance))


def init_start_record(function: FunctionVersion, instance: str) -> Record:
    """The same for the Telemetry API, as the other records are: whatever the format and levels."""
    record = {
        "initializationType": function.initialization,
        "phase": "init",
        "runtimeVersion": _shown_version(function.runtime),
        "runtimeVersionArn": _arn_of(function),
        "functionName": function.name,
        "functionVersion": function.version,
        "functionArn": function.arn,
        "instanceId": instance,
        "instanceMaxMemory": function.memory_mb * MIB,
    }
    return "initStart", record


def init_report(
    function: FunctionVersion, duration_ms: float, phase: str, error_type: str | None
) -> tuple[str, ...]:
    """An initialisation ended; as text one on demand is told of only when it failed."""
    if not function.logs.is_json:
        if error_type is None and function.initialization == ON_DEMAND:
            return ()
        duration = f"Init Duration: {duration_ms:.2f} ms"
        return (f"INIT_REPORT {duration}\tPhase: {phase}\t{_status_text(error_type)}",)
    level = DEBUG if error_type is None else WARN
    records = init_records(function, duration_ms, phase, error_type)
    return _shown(*(_record(function, level, *one) for one in records))


def init_records(
    function: FunctionVersion, duration_ms: float, phase: str, error_type: str | None
) -> tuple[Record, Record]:
    """The end of an initialisation."""
    common = {
        "initializationType": function.initialization,
        "phase": phase,
        **_status(error_type),
    }
    report = {**common, "metrics": {"durationMs": round(duration_ms, 3)}}
    return ("initRuntimeDone", common), ("initReport", report)


def extensions(function: FunctionVersion, found: Iterable[Extension]) -> tuple[str, ...]:
    """What became of each extension in the initialisation."""
    if function.logs.is_json:
        return _shown(*(_record(function, INFO, *one) for one in extension_records(found)))
    return tuple(
        f"EXTENSION\tName: {_one_line(one.name)}\tState: {one.state}\t"
        f"Events: [{', '.join(one.events)}]"
        + (f"\tError Type: {_one_line(one.error_type)}" if one.error_type else "")
        for one in found
    )


def extension_records(found: Iterable[Extension]) -> list[Record]:
    """What became of each extension."""
    records: list[Record] = []
    for one in found:
        record: dict[str, Any] = {"name": one.name, "state": one.state, "events": list(one.events)}
        if one.error_type:
            record["errorType"] = one.error_type
        records.append(("extension", record))
    return records


def subscribed(function: FunctionVersion, name: str, types: Sequence[str]) -> tuple[str, ...]:
    """An extension has subscribed to telemetry."""
    if function.logs.is_json:
        record = {"name": name, "state": "Subscribed", "types": list(types)}
        return _shown(_record(function, INFO, "telemetrySubscription", record))
    return (f"TELEMETRY\tName: {_one_line(name)}\tState: Subscribed\tTypes: [{', '.join(types)}]",)


def _one_line(text: str) -> str:
    """A name that an extension has chosen, in a line of the platform's."""
    return "".join(c if c.isprintable() else "?" for c in text)


def start(request: InvokeRequest) -> str:
    """An invocation begins."""
    function = request.function
    if not function.logs.is_json:
        return f"START RequestId: {request.request_id} Version: {function.version}"
    return _record(function, INFO, *start_record(request))


def start_record(request: InvokeRequest) -> Record:
    """The beginning of an invocation."""
    record = {
        "requestId": request.request_id,
        "version": request.function.version,
        "functionArn": request.invoked_arn,
    }
    return "start", record | _tracing(request)


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How an invocation ended, as its last two lines say in text; made when they are written."""

    request_id: str
    memory_size_mb: int
    duration_ms: float
    memory_mb: int
    init_ms: float | None
    error_type: str | None

    def texts(self) -> tuple[str, str]:
        """END and REPORT. An exception of the handler is no status of the platform's."""
        billed_ms = _billed_ms(self.duration_ms, self.init_ms)
        init = "" if self.init_ms is None else f"Init Duration: {self.init_ms:.2f} ms\t"
        report = (
            f"REPORT RequestId: {self.request_id}\tDuration: {self.duration_ms:.2f} ms\t"
            f"Billed Duration: {billed_ms} ms\tMemory Size: {self.memory_size_mb} MB\t"
            f"Max Memory Used: {self.memory_mb} MB\t{init}{_status_text(self.error_type)}"
        )
        return f"END RequestId: {self.request_id}", report


def ending(
    request: InvokeRequest,
    duration_ms: float,
    memory_mb: int,
    init_ms: float | None,
    error_type: str | None,
) -> Ending:
    """How an invocation ended. Not the request itself, whose event may be large."""
    size_mb = request.function.memory_mb
    return Ending(request.request_id, size_mb, duration_ms, memory_mb, init_ms, error_type)


def end(
    request: InvokeRequest,
    duration_ms: float,
    memory_mb: int,
    init_ms: float | None,
    error_type: str | None,
    produced_bytes: int = 0,
    latency_ms: float | None = None,
) -> tuple[str, ...]:
    """An invocation ended, as text or JSON.

    `latency_ms` is how long it took until the answer began; None: there was none.
    """
    function = request.function
    if not function.logs.is_json:
        return ending(request, duration_ms, memory_mb, init_ms, error_type).texts()
    done, report = end_records(
        request, duration_ms, memory_mb, init_ms, error_type, produced_bytes, latency_ms
    )
    is_ok = error_type is None
    return _shown(
        _record(function, DEBUG if is_ok else WARN, *done),
        _record(function, INFO if is_ok else WARN, *report),
    )


def dropped(size_bytes: int, lines: int, *, is_json: bool) -> str:
    """What the function wrote was too much."""
    if not is_json:
        return f"[router] {size_bytes} bytes of output dropped"
    record = {
        "droppedBytes": size_bytes,
        "droppedRecords": lines,
        "reason": "more output than is kept of one environment",
    }
    return _document("logsDropped", record)


def end_records(
    request: InvokeRequest,
    duration_ms: float,
    memory_mb: int,
    init_ms: float | None,
    error_type: str | None,
    produced_bytes: int,
    latency_ms: float | None,
) -> tuple[Record, Record]:
    """The end of an invocation."""
    metrics = {
        "durationMs": round(duration_ms, 3),
        "billedDurationMs": _billed_ms(duration_ms, init_ms),
        "memorySizeMB": request.function.memory_mb,
        "maxMemoryUsedMB": memory_mb,
    }
    if init_ms is not None:
        metrics["initDurationMs"] = round(init_ms, 3)
    kind, done = done_record(request.request_id, duration_ms, error_type, produced_bytes)
    tracing = _tracing(request)
    spans = {} if latency_ms is None else {"spans": _spans(duration_ms, latency_ms)}
    report = {"requestId": request.request_id, **_status(error_type), "metrics": metrics}
    return (kind, {**done, **spans, **tracing}), ("report", {**report, **tracing})


def done_record(
    request_id: str, duration_ms: float, error_type: str | None, produced_bytes: int = 0
) -> Record:
    """The runtime's part of an invocation is over."""
    metrics = {"durationMs": round(duration_ms, 3), "producedBytes": produced_bytes}
    return "runtimeDone", {"requestId": request_id, **_status(error_type), "metrics": metrics}


def _spans(duration_ms: float, latency_ms: float) -> list[dict[str, Any]]:
    """What an invocation that has just ended was made of."""
    began_ms = time.time() * 1000 - duration_ms
    spans = [("responseLatency", began_ms, latency_ms)]
    if latency_ms < duration_ms:  # it was passed on while it was made
        spans.append(("responseDuration", began_ms + latency_ms, duration_ms - latency_ms))
    return [
        {"name": name, "start": _moment(int(start_ms)), "durationMs": round(length_ms, 3)}
        for name, start_ms, length_ms in spans
    ]


def _tracing(request: InvokeRequest) -> dict[str, Any]:
    """Where an invocation belongs, if its trace is kept."""
    header = request.trace_id or ""
    if "Sampled=1" not in header.split(";"):
        return {}
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": header}}


def _billed_ms(duration_ms: float, init_ms: float | None) -> int:
    return math.ceil(duration_ms + (init_ms or 0.0))


def _shown(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line)


def _record(function: FunctionVersion, level: int, kind: str, record: Mapping[str, Any]) -> str:
    if level < SYSTEM_LEVELS[function.logs.system_level]:
        return ""
    return _document(kind, record)


def _document(kind: str, record: Mapping[str, Any]) -> str:
    moment = _moment(time.time_ns() // 1_000_000)
    return orjson.dumps({"time": moment, "type": f"platform.{kind}", "record": record}).decode()


def _moment(epoch_ms: int) -> str:
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"


def _status(error_type: str | None) -> dict[str, str]:
    if error_type is None:
        return {"status": "success"}
    if error_type == payloads.TIMED_OUT:
        return {"status": "timeout"}
    if error_type.startswith("Sandbox."):
        return {"status": "failure", "errorType": error_type}
    if NAMED_ERROR.search(error_type) or error_type.startswith("Extension."):
        return {"status": "error", "errorType": error_type}
    is_own = error_type.startswith("Function.")
    return {"status": "error", "errorType": "Function.Unknown" if is_own else "Runtime.Unknown"}


def _status_text(error_type: str | None) -> str:
    if error_type == payloads.TIMED_OUT:
        return "Status: timeout"
    if error_type is not None and error_type.startswith(SHOWN_ERRORS):
        return f"Status: error\tError Type: {error_type}"
    return ""


def _shown_version(runtime: str) -> str:
    return _version_of(runtime) or "image"


def _arn_of(function: FunctionVersion) -> str:
    return runtime_version_arn(function.runtime, function.arn.split(":")[3])


def runtime_version_arn(runtime: str, region: str) -> str:
    """Of what runs functions of a runtime: another one for another version of it."""
    digest = hashlib.sha256(_shown_version(runtime).encode()).hexdigest()
    return f"arn:aws:lambda:{region}::runtime:{digest}"


def _version_of(runtime: str) -> str:
    """A runtime as `INIT_START` shows it: `python:3.11.7`, `nodejs:22`, `provided:al2023`."""
    family = family_of(runtime)
    if family is Family.PYTHON:
        return f"python:{platform.python_version()}"
    version = version_of(runtime) or runtime.partition(".")[2]
    return f"{family}:{version}" if family and version else runtime
