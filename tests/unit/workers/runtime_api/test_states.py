"""What may follow what, and in which words Lambda refuses the rest."""

import pytest

from router.workers.runtime_api.states import NotAllowed, Runtime, UnknownId


def running() -> Runtime:
    runtime = Runtime()
    runtime.ask()
    runtime.hand_out("one")
    return runtime


def test_one_invocation_after_another():
    runtime = Runtime()
    assert not runtime.ask()
    for request_id in ("one", "two"):
        runtime.hand_out(request_id)
        assert runtime.ask()  # asking again before it has answered gives the same event
        runtime.begin_answer(request_id, is_error=request_id == "two")
        runtime.end_answer()
        assert not runtime.ask()
    assert runtime.state == "Ready"


def refused(call, *arguments, **named) -> str:
    with pytest.raises(NotAllowed) as caught:
        call(*arguments, **named)
    return str(caught.value)


def text(state: str, wanted: str) -> str:
    return (
        f"State transition from {state} to {wanted} failed for runtime. "
        "Error: State transition is not allowed"
    )


def test_a_second_answer_is_refused():
    runtime = running()
    runtime.begin_answer("one", is_error=False)
    assert refused(runtime.begin_answer, "one", is_error=True) == text(
        "InvocationResponse", "InvocationErrorResponse"
    )
    assert refused(runtime.ask) == text("InvocationResponse", "Ready")
    runtime.end_answer()
    assert refused(runtime.begin_answer, "one", is_error=False) == text(
        "RuntimeResponseSentState", "InvocationResponse"
    )


@pytest.mark.parametrize("request_id", ["", "two", "ONE"])
def test_another_id_is_refused_before_the_state_is_looked_at(request_id):
    for runtime in (Runtime(), running()):
        with pytest.raises(UnknownId):
            runtime.begin_answer(request_id, is_error=False)


def test_the_id_is_nobodys_once_more_is_asked_for():
    runtime = running()
    runtime.begin_answer("one", is_error=True)
    runtime.end_answer()
    runtime.ask()
    with pytest.raises(UnknownId):
        runtime.begin_answer("one", is_error=False)


def test_nothing_follows_a_failed_start():
    runtime = Runtime()
    runtime.fail_init()
    assert refused(runtime.ask) == text("InitError", "Ready")
    assert refused(runtime.fail_init) == text("InitError", "InitError")


def test_a_start_cannot_fail_once_it_is_over():
    runtime = Runtime()
    runtime.ask()
    assert refused(runtime.fail_init) == text("Ready", "InitError")
    runtime.hand_out("one")
    assert refused(runtime.fail_init) == text("Running", "InitError")
    assert refused(runtime.hand_out, "two") == text("Running", "Running")
