"""Error documents that the router writes itself, when the environment cannot any more.

Source of every text: `functions-and-invocation.md` 6.3.
"""

import os
import signal

import orjson

TIMED_OUT = "Sandbox.Timedout"
EXITED = "Runtime.ExitError"
OUT_OF_MEMORY = "Runtime.OutOfMemory"
INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"

SIGNAL_NAMES = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGUSR2: "user defined signal 2",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
    signal.SIGSYS: "bad system call",
    signal.SIGXCPU: "CPU time limit exceeded",
    signal.SIGXFSZ: "file size limit exceeded",
}
"""The words Lambda uses for a signal."""


def timed_out(request_id: str, timeout_ms: int) -> bytes:
    """The function did not answer within its timeout."""
    return _document(
        TIMED_OUT,
        f"RequestId: {request_id} Error: Task timed out after {timeout_ms / 1000:.2f} seconds",
    )


def exited(request_id: str, status: int, error_type: str = EXITED) -> bytes:
    """The process ended; `status` is a wait status."""
    return _document(error_type, f"RequestId: {request_id} Error: {exit_text(status)}")


def not_executable(request_id: str, text: str, error_type: str = INVALID_ENTRYPOINT) -> bytes:
    """There is no program to run, or the kernel refuses to."""
    return _document(error_type, f"RequestId: {request_id} Error: {text}")


def failed(request_id: str, error_type: str, text: str) -> bytes:
    """Something beside the handler failed, such as an extension."""
    return _document(error_type, f"RequestId: {request_id} Error: {text}")


def exit_text(status: int) -> str:
    """How a wait status reads."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = SIGNAL_NAMES.get(number, f"signal {number}")  # type: ignore[call-overload]
        dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
        return f"Runtime exited with error: signal: {name}{dumped}"
    code = os.WEXITSTATUS(status)
    if code:
        return f"Runtime exited with error: exit status {code}"
    return "Runtime exited without providing a reason"


def _document(error_type: str, text: str) -> bytes:
    return orjson.dumps({"errorType": error_type, "errorMessage": text})
