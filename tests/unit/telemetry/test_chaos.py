"""A crash test must die where it asked to, and nobody else anywhere."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
from router.telemetry.chaos import chaos_point
for n in range(5):
    chaos_point("here")
    print(n, flush=True)
    chaos_point("there")
"""


def run(chaos):
    environment = {key: value for key, value in os.environ.items() if key != "ROUTER_CHAOS"}
    if chaos is not None:
        environment["ROUTER_CHAOS"] = chaos
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("chaos", "passed", "code"),
    [
        (None, 5, 0),
        ("", 5, 0),
        ("elsewhere", 5, 0),
        ("here", 0, -signal.SIGKILL),
        ("here:1", 0, -signal.SIGKILL),
        ("here:4", 3, -signal.SIGKILL),
        ("there:4", 4, -signal.SIGKILL),
        ("here:6", 5, 0),
    ],
)
def test_it_dies_at_the_nth_pass_of_the_named_point(chaos, passed, code):
    done = run(chaos)
    assert (len(done.stdout.split()), done.returncode) == (passed, code)


@pytest.mark.parametrize("chaos", ["here:0", "here:x", "here:-1"])
def test_a_wrong_wish_is_refused(chaos):
    done = run(chaos)
    assert done.returncode == 1
    assert "ROUTER_CHAOS must be" in done.stderr
