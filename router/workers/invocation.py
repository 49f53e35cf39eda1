"""One invocation in one environment: frames, log lines and the reply."""

import time
from typing import Any

import orjson

from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.workers import payloads, platform_lines, wire
from router.workers.output import Silent
from router.workers.process import Environment


async def run(
    env: Environment,
    request: InvokeRequest,
    init_ms: float | None,
    spent_ms: float | None = None,
) -> InvokeReply:
    """Invoke and describe what happened. Never raises for anything the function does.

    `init_ms` is set on the first invocation of an environment. `spent_ms` is set when the
    invocation has begun already, with the repeat of a failed initialisation.
    """
    function = request.function
    timeout_ms = max(1, function.timeout_ms - int(spent_ms or 0))
    header = _header(request, timeout_ms)
    began = time.perf_counter()
    answer = env.send(header, request.payload or b"{}", timeout_ms, request.sink)
    if spent_ms is None:  # after sending: the function's output is read when the loop turns
        env.output.begin(platform_lines.start(request))
    if env.telemetry is not None:
        env.telemetry.platform([platform_lines.start_record(request)])
    frame = await env.result(answer)
    error_type: str | None
    latency_ms: float | None = None
    duration_ms = (time.perf_counter() - began) * 1000 + (spent_ms or 0.0)
    memory_mb = 0
    if frame is None:
        error_type, payload = ended(env, request.request_id, function.timeout_ms)
        memory_mb = _megabytes(env.memory_kb_max)
    else:
        kind, reply_header, payload = frame
        facts = facts_in(reply_header)
        error_type = None if kind == wire.RESULT else str(facts.get("type", "Runtime.Unknown"))
        memory_mb = _megabytes(facts.get("rss_kb"))
        latency_ms = _latency_ms(request, began - (spent_ms or 0.0) / 1000, duration_ms)
    how = (duration_ms, memory_mb, init_ms, error_type, len(payload), latency_ms)
    log: bytes | Silent
    if function.logs.is_json:
        log = env.output.end(platform_lines.end(request, *how))
    else:
        ending = platform_lines.ending(request, duration_ms, memory_mb, init_ms, error_type)
        is_read = frame is not None and env.status is None
        log = env.output.finish(ending, is_read=is_read)
    if env.telemetry is not None:  # after the output, which has all the function wrote by now
        env.telemetry.platform(platform_lines.end_records(request, *how))
    return InvokeReply(
        payload=payload,
        error_type=error_type,
        log=log,
        duration_ms=duration_ms,
        init_ms=init_ms,
        memory_mb_max=memory_mb,
    )


def _header(request: InvokeRequest, timeout_ms: int) -> dict[str, Any]:
    """What an environment is told of an invocation beside its event."""
    header: dict[str, Any] = {
        "id": request.request_id,
        "arn": request.invoked_arn,
        "deadline_ms": time.monotonic() * 1000 + timeout_ms,
    }
    if request.trace_id:
        header["trace"] = request.trace_id
    if request.client_context is not None:
        header["client"] = request.client_context.decode("utf-8", "replace")
    return header


def _latency_ms(request: InvokeRequest, began: float, duration_ms: float) -> float:
    """How long it took until the answer began: all the time, unless it was passed on meanwhile."""
    begun_at = None if request.sink is None else request.sink.begun_at
    return duration_ms if begun_at is None else (begun_at - began) * 1000


def ended(env: Environment, request_id: str, timeout_ms: int) -> tuple[str, bytes]:
    """Error type and document for an environment that ended instead of answering."""
    if env.has_timed_out:
        return payloads.TIMED_OUT, payloads.timed_out(request_id, timeout_ms)
    status = env.status if env.status is not None else 0
    if env.is_out_of_memory:
        return payloads.OUT_OF_MEMORY, payloads.exited(request_id, status, payloads.OUT_OF_MEMORY)
    if env.failure is not None:
        error_type, text = env.failure
        return error_type, payloads.failed(request_id, error_type, text)
    return payloads.EXITED, payloads.exited(request_id, status)


def facts_of(function: FunctionVersion, log_stream: str) -> dict[str, str]:
    """What the context object of every invocation in an environment shows."""
    return {
        "name": function.name,
        "version": function.version,
        "handler": function.handler,
        "runtime": function.runtime,
        "memory_mb": str(function.memory_mb),
        "log_group": function.log_group or f"/aws/lambda/{function.name}",
        "log_stream": log_stream,
    }


def _megabytes(size_kb: Any) -> int:
    return -(-size_kb // 1024) if isinstance(size_kb, int) else 0


def facts_in(header: bytes) -> dict[str, Any]:
    """What a reply's header says; empty when it is not what it should be."""
    try:
        facts = orjson.loads(header)
    except orjson.JSONDecodeError:
        return {}
    return facts if isinstance(facts, dict) else {}
