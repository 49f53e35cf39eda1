"""The variable with the trace, set without a text being kept for each invocation."""

import os
import subprocess
import sys

import pytest

from router.workers import trace_variable
from router.workers.trace_variable import NAME, TEXT_BYTES_MAX, VARIABLE


@pytest.fixture(autouse=True)
def no_variable():
    yield
    VARIABLE.set(None)


def seen_by_c() -> str:
    """What a process started now is given."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import os; print(os.environ.get({NAME!r}))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_it_is_set_for_python_and_for_processes():
    for text in ("Root=1-2-3;Sampled=1", "Root=1", "Root=1-2-3;Sampled=0", "\u00fc"):
        VARIABLE.set(text)
        assert os.environ[NAME] == os.getenv(NAME) == seen_by_c() == text
    VARIABLE.set(None)
    assert NAME not in os.environ
    assert seen_by_c() == "None"


def test_what_a_handler_does_to_it_ends_with_its_invocation():
    VARIABLE.set("Root=1")
    os.environ[NAME] = "mine"
    assert seen_by_c() == "mine"
    VARIABLE.set("Root=2")
    assert os.environ[NAME] == seen_by_c() == "Root=2"
    del os.environ[NAME]
    VARIABLE.set("Root=3")
    assert os.environ[NAME] == seen_by_c() == "Root=3"
    os.putenv(NAME, "unseen")
    VARIABLE.set("Root=4")
    assert os.environ[NAME] == seen_by_c() == "Root=4"


def test_a_long_text_and_one_that_cannot_be():
    text = "r" * (TEXT_BYTES_MAX + 1)
    VARIABLE.set(text)
    assert os.environ[NAME] == seen_by_c() == text
    with pytest.raises(ValueError, match="null"):
        VARIABLE.set("a\0b")


def test_variables_that_a_handler_put_in_the_place_of_its_own(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    VARIABLE.set("Root=1")
    assert os.environ == {NAME: "Root=1"}
    VARIABLE.set(None)
    assert os.environ == {}


def test_no_text_is_kept():
    """An environment that lives long is not killed for what its invocations leave behind."""
    script = f"""
import runpy
variable = runpy.run_path({trace_variable.__file__!r})["VARIABLE"]
def grow(count):
    for number in range(count):
        variable.set(f"Root=1-67891233-{{number:024x}};Parent=53995c3f42cd8ad8;Sampled=0")
    return int(open("/proc/self/statm").read().split()[1]) * 4
print(grow(1_000) - grow(60_000))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert -int(done.stdout) < 2_000, "KiB; 9,000 were they kept"
