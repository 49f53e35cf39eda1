"""What runs in an environment: load the handler, then answer one event after another.

Standard library only, loaded by path: nothing here can shadow a package of the function.
Error documents are those of `functions-and-invocation.md` 6.3, byte for byte.
"""

import importlib
import json
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from . import child_output, events, results, wire
from .context import LambdaContext
from .trace_variable import VARIABLE

RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100
"""Largest reply, 6,291,556 bytes (Lambda quota)."""

TOO_LARGE = (
    b'{"errorMessage":"Response payload size exceeded maximum allowed payload size '
    b'(%d bytes).","errorType":"Function.ResponseSizeTooLarge"}' % RESPONSE_BYTES_MAX
)

NAMED = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
"""Types of a failed start that logs and metrics show; others are unknown to them."""

READ_BUFFER_BYTES = 256 * 1024

WARM_UP_ROUNDS = 20
"""More often than the interpreter runs code before it specialises it."""

OWN_FOLDER = os.path.dirname(__file__) + os.sep

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


def warm_up(rounds: int = WARM_UP_ROUNDS) -> None:
    """Run the path of an invocation a few times, in a zygote only.

    The interpreter then specialises this code once, in pages that all forks share.
    """
    facts = dict.fromkeys(("name", "version", "memory_mb", "log_group", "log_stream"), "")
    header = {"id": "", "arn": "", "deadline_ms": 0.0, "trace": "Root=1"}
    for _ in range(rounds):
        answer(lambda event, _: event, results.encoder("python3.11"), facts, header, b'{"a": 1.5}')
        events.parse(json.dumps(header).encode())
        child_output.flush_streams()
    VARIABLE.set(None)


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
    encode = results.encoder(facts["runtime"])
    try:
        handler = load_handler(facts["handler"])
    except Fault as fault:
        document = error_document(fault.text, fault.error_type, fault.trace, "")
        _init_failed(frames_fd, encode, document)
        return
    except Exception as error:
        _init_failed(frames_fd, encode, exception_document(error, ""))
        return
    child_output.flush_streams()
    _send(frames_fd, wire.READY, b"{}", b"")
    # A plain read of a socket pair is woken once more, for nothing, when the router has read the
    # last answer; a poll is not. There is never more than one frame on its way.
    incoming = select.poll()
    incoming.register(frames_fd, select.POLLIN)
    while incoming.poll() and (frame := read_frame(reader)) is not None:
        header = events.parse(frame[0])
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
    encode: Callable[[Any], str],
    facts: "dict[str, Any]",
    header: "dict[str, Any]",
    payload: bytes,
) -> "tuple[int, str, bytes]":
    """Run one invocation: frame kind, error type and payload of the reply."""
    request_id = header["id"]
    try:
        VARIABLE.set(header.get("trace"))
        event, context = arguments(facts, header, payload)
        result = handler(event, context)
        text = result if isinstance(result, bytes) else _written(encode, result)
    except Fault as fault:
        document = error_document(fault.text, fault.error_type, fault.trace, request_id)
    except Exception as error:
        document = exception_document(error, request_id)
    else:
        # Text that is no UTF-8 ends the process, here as there.
        reply = text if isinstance(text, bytes) else text.encode()
        if len(reply) > RESPONSE_BYTES_MAX:
            return wire.ERROR, "Function.ResponseSizeTooLarge", TOO_LARGE
        return wire.RESULT, "", reply
    child_output.write_error(document)
    return wire.ERROR, document["errorType"], encode(document).encode()


def _written(encode: Callable[[Any], str], result: Any) -> str:
    try:
        return encode(result)
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def arguments(
    facts: "dict[str, Any]", header: "dict[str, Any]", payload: bytes
) -> "tuple[Any, LambdaContext]":
    """Event and context of one invocation. Raises `Fault` for what is no JSON."""
    try:
        context = LambdaContext(facts, header)
    except ValueError as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse Client Context JSON: {error}"
        ) from None
    try:
        return events.parse(payload), context
    except (ValueError, RecursionError) as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None


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
    """The document of an exception; the frames begin where our own code ends.

    Raises what the exception's own text raises, which ends the process.
    """
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(OWN_FOLDER):
        del frames[0]
    # Without the columns: Lambda's frames have no markers below them.
    plain = [(frame.filename, frame.lineno or 0, frame.name, frame.line) for frame in frames]
    trace = traceback.format_list(plain)
    return error_document(str(error), type(error).__name__, trace, request_id)


def _init_failed(frames_fd: int, encode: Callable[[Any], str], document: "dict[str, Any]") -> None:
    child_output.write_error(document)
    child_output.flush_streams()
    named = NAMED.search(document["errorType"])
    header = json.dumps({"type": named[0] if named else "Runtime.Unknown"}).encode()
    _send(frames_fd, wire.INIT_FAILED, header, encode(document).encode())


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
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)
