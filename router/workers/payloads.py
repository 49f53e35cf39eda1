"""Error documents that the router writes itself, when the environment cannot any more.

Source of every text: `functions-and-invocation.md` 6.3.
"""

import os
import signal
from typing import Final

import orjson

TIMED_OUT = "Sandbox.Timedout"
EXITED = "Runtime.ExitError"
OUT_OF_MEMORY = "Runtime.OutOfMemory"
INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"

SIGNAL_NAMES: Final[dict[int, str]] = {
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
    return failed(request_id, TIMED_OUT, f"Task timed out after {timeout_ms / 1000:.2f} seconds")


def exited(request_id: str, status: int, error_type: str = EXITED) -> bytes:
    """The process ended; `status` is a wait status."""
    return failed(request_id, error_type, exit_text(status))


def failed(request_id: str, error_type: str, text: str) -> bytes:
    """Something beside the handler failed: an extension, or a program that cannot be run."""
    message = f"RequestId: {request_id} Error: {text}"
    return orjson.dumps({"errorType": error_type, "errorMessage": message})


def signal_text(status: int) -> str:
    """How the signal reads that ended a process."""
    number = os.WTERMSIG(status)
    return f"signal: {SIGNAL_NAMES.get(number, f'signal {number}')}"


def exit_text(status: int) -> str:
    """How a wait status reads."""
    if os.WIFSIGNALED(status):
        dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
        return f"Runtime exited with error: {signal_text(status)}{dumped}"
    code = os.WEXITSTATUS(status)
    if code:
        return f"Runtime exited with error: exit status {code}"
    return "Runtime exited without providing a reason"
