"""Texts of `functions-and-invocation.md` 6.3 for processes that ended."""

import json
import signal

import pytest

from router.workers import payloads


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "Runtime exited without providing a reason"),
        (127 << 8, "Runtime exited with error: exit status 127"),
        (signal.SIGKILL, "Runtime exited with error: signal: killed"),
        (signal.SIGSEGV, "Runtime exited with error: signal: segmentation fault"),
        (
            signal.SIGSEGV | 0x80,
            "Runtime exited with error: signal: segmentation fault (core dumped)",
        ),
        (40, "Runtime exited with error: signal: signal 40"),
    ],
)
def test_how_a_process_ended(status, text):
    assert json.loads(payloads.exited("id-1", status)) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: id-1 Error: {text}",
    }


def test_a_timeout_shows_two_decimals():
    assert payloads.timed_out("id-1", 1_000) == (
        b'{"errorType":"Sandbox.Timedout",'
        b'"errorMessage":"RequestId: id-1 Error: Task timed out after 1.00 seconds"}'
    )
