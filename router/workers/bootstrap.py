"""What runs in an environment: load the handler, then answer one event after another.

Standard library only, loaded by path: nothing here can shadow a package of the function.
Error documents are those of `functions-and-invocation.md` 6.3, byte for byte.
"""

import decimal
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from . import child_output, wire
from .context import LambdaContext

RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100
"""Largest reply, 6,291,556 bytes (Lambda quota)."""

READ_BUFFER_BYTES = 256 * 1024

WARM_UP_ROUNDS = 20
"""More often than the interpreter runs code before it specialises it."""

OWN_FOLDER = os.path.dirname(__file__) + os.sep  # noqa: PTH120

Handler = Callable[[Any, LambdaContext], Any]


class Fault(Exception):
    """A failure that has a name of its own at Lambda, such as `Runtime.HandlerNotFound`."""

    def __init__(self, error_type: str, text: str, trace: "list[str] | None" = None) -> None:
        super().__init__(text)
        self.error_type = error_type
        self.text = text
        self.trace = trace or []


def prepare() -> None:
    """What all environments have in common: done once in a zygote, so that no fork has to."""
    child_output.open_streams()
    child_output.set_up_logging()


def warm_up() -> None:
    """Run the path of an invocation a few times, in a zygote only.

    The interpreter then specialises this code once, in pages that all forks share.
    """
    facts = dict.fromkeys(("name", "version", "memory_mb", "log_group", "log_stream"), "")
    header = {"id": "", "arn": "", "deadline_ms": 0.0}
    for _ in range(WARM_UP_ROUNDS):
        answer(lambda event, _: event, result_encoder("python3.11"), facts, header, b'{"a": 1.5}')
        json.loads(json.dumps(header).encode())
        child_output.flush_streams()


def enter(start: "dict[str, Any]") -> None:
    """Make this process look like a Lambda environment: variables, folder, path.

    Imports nothing of the function. `start["paths"]` says where the function sees its folders.
    """
    paths = start["paths"]
    os.environ.clear()
    os.environ.update(start["environment"])
    if "TZ" in os.environ:
        time.tzset()
    child_output.choose_form()
    os.chdir(paths["task"])
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    first = [paths["task"]]
    if paths.get("opt"):
        first += [f"{paths['opt']}/python/lib/{version}/site-packages", f"{paths['opt']}/python"]
    last = [paths["runtime"]] if paths.get("runtime") else []
    runtime_host = start.get("runtime_host", "")
    kept = [item for item in sys.path if item not in {runtime_host, *last}]
    sys.path[:] = first + kept + last
    sys.dont_write_bytecode = True
    sys.argv = [""]


def run(start: "dict[str, Any]", frames_fd: int) -> None:
    """Load the handler and serve frames until the router closes the socket."""
    reader = os.fdopen(frames_fd, "rb", READ_BUFFER_BYTES, closefd=False)
    facts = start["facts"]
    try:
        handler = load_handler(facts["handler"])
    except Fault as fault:
        _init_failed(frames_fd, error_document(fault.text, fault.error_type, fault.trace, ""))
        return
    except Exception as error:
        _init_failed(frames_fd, exception_document(error, ""))
        return
    child_output.flush_streams()
    _send(frames_fd, wire.READY, b"{}", b"")
    encode = result_encoder(facts["runtime"])
    while (frame := read_frame(reader)) is not None:
        header = json.loads(frame[0])
        child_output.REQUEST_IDS.request_id = header["id"]
        child_output.REQUEST_IDS.tenant_id = header.get("tenant")
        kind, error_type, reply = answer(handler, encode, facts, header, frame[1])
        child_output.flush_streams()
        rss_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if kind == wire.RESULT:
            reply_header = b'{"rss_kb":%d}' % rss_kb
        else:
            reply_header = json.dumps({"type": error_type, "rss_kb": rss_kb}).encode()
        _send(frames_fd, kind, reply_header, reply)


def answer(
    handler: Handler,
    encode: Callable[[Any], bytes],
    facts: "dict[str, Any]",
    header: "dict[str, Any]",
    payload: bytes,
) -> "tuple[int, str, bytes]":
    """Run one invocation: frame kind, error type and payload of the reply."""
    request_id = header["id"]
    try:
        _set_trace_id(header.get("trace"))
        event, context = _arguments(facts, header, payload)
        result = handler(event, context)
        reply = result if isinstance(result, bytes) else encode(result)
        if len(reply) > RESPONSE_BYTES_MAX:
            text = (
                "Response payload size exceeded maximum allowed payload size "
                f"({RESPONSE_BYTES_MAX} bytes)."
            )
            large = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
            return wire.ERROR, "Function.ResponseSizeTooLarge", json.dumps(large).encode()
    except Fault as fault:
        document = error_document(fault.text, fault.error_type, fault.trace, request_id)
    except Exception as error:
        document = exception_document(error, request_id)
    else:
        return wire.RESULT, "", reply
    child_output.write_error(document)
    return wire.ERROR, document["errorType"], json.dumps(document).encode()


def _arguments(
    facts: "dict[str, Any]", header: "dict[str, Any]", payload: bytes
) -> "tuple[Any, LambdaContext]":
    try:
        context = LambdaContext(facts, header)
    except ValueError as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse Client Context JSON: {error}"
        ) from None
    try:
        return json.loads(payload), context
    except (ValueError, RecursionError) as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None


def _set_trace_id(trace_id: "str | None") -> None:
    if trace_id is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    elif "_X_AMZN_TRACE_ID" in os.environ:
        del os.environ["_X_AMZN_TRACE_ID"]


def load_handler(text: str) -> Handler:
    """The function named by a handler string. Raises `Fault`, or what the module itself raises."""
    module_name, dot, function_name = text.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{text}': not enough values to unpack (expected 2, got 1)",
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {module_name} as a handler module",
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from None
    except SyntaxError as error:
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'],
        ) from None
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{function_name}' missing on module '{module_name}'",
        ) from None
    return handler


def result_encoder(runtime: str) -> "Callable[[Any], bytes]":
    """How this runtime writes results: Lambda's JSON, where NaN and Decimal are numbers."""
    minor = runtime.removeprefix("python3.")
    ascii_only = minor.isdigit() and int(minor) < child_output.UTF8_RUNTIME_MINOR
    plain = json.JSONEncoder(ensure_ascii=ascii_only).encode

    def encode(result: Any) -> bytes:
        try:
            try:
                return plain(result).encode()
            except TypeError:
                return _encode_decimals(result, ascii_only=ascii_only).encode()
        except Exception as error:
            raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None

    return encode


def _encode_decimals(result: Any, *, ascii_only: bool) -> str:
    """JSON with every Decimal as the number it shows; slow, so only when there is need.

    The encoder of the standard library cannot write a number of ours, so each Decimal is written
    as a string nobody can guess and put in its place afterwards.
    """
    mark = os.urandom(16).hex()
    numbers: list[str] = []

    def default(value: Any) -> Any:
        if not isinstance(value, decimal.Decimal):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
        numbers.append("NaN" if value.is_nan() else str(value))
        return f"{mark}{len(numbers) - 1}."

    text = json.JSONEncoder(ensure_ascii=ascii_only, default=default).encode(result)
    first, *parts = text.split(f'"{mark}')
    for part in parts:
        index, _, rest = part.partition('."')
        first += numbers[int(index)] + rest
    return first


def error_document(
    text: str, error_type: str, trace: "list[str]", request_id: str
) -> "dict[str, Any]":
    """An error document with its members in Lambda's order."""
    return {
        "errorMessage": text,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": trace,
    }


def exception_document(error: BaseException, request_id: str) -> "dict[str, Any]":
    """The document of an exception; the frames begin where our own code ends."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(OWN_FOLDER):
        del frames[0]
    try:
        text = str(error)
    except Exception:
        text = "<unprintable error>"
    return error_document(text, type(error).__name__, traceback.format_list(frames), request_id)


def _init_failed(frames_fd: int, document: "dict[str, Any]") -> None:
    child_output.write_error(document)
    child_output.flush_streams()
    header = json.dumps({"type": document["errorType"]}).encode()
    _send(frames_fd, wire.INIT_FAILED, header, json.dumps(document).encode())


def read_frame(reader: BinaryIO) -> "tuple[bytes, bytes] | None":
    """Header and payload of the next frame; None when the router closed the socket."""
    head = reader.read(wire.HEAD.size)
    if len(head) < wire.HEAD.size:
        return None
    length, _kind, header_length = wire.HEAD.unpack(head)
    header = reader.read(header_length)
    payload = reader.read(length - wire.FIXED_BYTES - header_length)
    return header, payload


def _send(fd: int, kind: int, header: bytes, payload: bytes) -> None:
    data = wire.encode(kind, header, payload)
    sent = os.write(fd, data)
    if sent < len(data):
        view = memoryview(data)
        while sent < len(data):
            sent += os.write(fd, view[sent:])


def leave(error: "BaseException | None") -> None:
    """End the process as the interpreter would, without waiting for the function's threads."""
    status = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            status = error.code & 0xFF
        elif error.code is not None:
            status = 1
            print(error.code, file=sys.stderr)
    elif error is not None:
        status = 1
        traceback.print_exception(error)
    child_output.flush_streams()
    os._exit(status)
