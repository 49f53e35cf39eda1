"""Invocations are counted in their chain, whoever asks for them (7.6)."""

import asyncio

import msgspec
import pytest

from router.dispatch.dispatcher import Dispatcher
from router.dispatch.traces import new_trace
from router.model.errors import RECURSIVE_TEXT, NotInvoked
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.outcome import Failed, NotRun, not_invoked
from router.model.trace_header import LOOP_INVOCATIONS_MAX, count_of
from router.telemetry import metrics

FUNCTION = FunctionVersion(
    name="loop", arn="arn:loop", runtime="python3.11", handler="a.b", code_path="/x", code_hash="h"
)
REQUEST = InvokeRequest(function=FUNCTION, invoked_arn="arn:loop:1", request_id="r", payload=b"{}")


class Pool:
    """Runs nothing."""

    def __init__(self):
        self.traces = []

    async def invoke(self, request):
        self.traces.append(request.trace_id)
        return InvokeReply(payload=b"null")


def stopped():
    return metrics.RECURSIVE_DROPPED.labels("loop").value


async def go_round(dispatcher, pool, invoke, times):
    """What is handed on comes back."""
    for _ in range(times):
        trace = pool.traces[-1] if pool.traces else None
        await invoke(msgspec.structs.replace(REQUEST, trace_id=trace))


@pytest.mark.parametrize("way", ["caller", "mapping"])
async def test_the_17th_is_stopped_and_takes_no_slot(way):
    pool = Pool()
    dispatcher = Dispatcher(pool, 1)
    dispatcher.register("m")
    invoke = (
        dispatcher.invoke
        if way == "caller"
        else lambda request: dispatcher.invoke_for("m", request)
    )
    await go_round(dispatcher, pool, invoke, LOOP_INVOCATIONS_MAX)
    before = stopped()
    with pytest.raises(NotInvoked) as refused:
        await go_round(dispatcher, pool, invoke, 1)
    assert refused.value.reason == "recursive"
    assert stopped() == before + 1
    assert len(pool.traces) == LOOP_INVOCATIONS_MAX
    assert dispatcher.running == 0
    assert dispatcher.problems["loop"] == RECURSIVE_TEXT
    await invoke(REQUEST)
    assert count_of(pool.traces[-1], "arn:loop") == 1, "another chain is not concerned"


async def test_a_function_that_may_loop_is_asked_each_time():
    pool, allowed = Pool(), {"loop"}
    dispatcher = Dispatcher(pool, 1, may_loop=lambda name: name in allowed)
    await go_round(dispatcher, pool, dispatcher.invoke, 40)
    assert count_of(pool.traces[-1], "arn:loop") == 40
    allowed.clear()
    with pytest.raises(NotInvoked):
        await go_round(dispatcher, pool, dispatcher.invoke, 1)


async def test_traces_that_begin_here_are_all_different():
    pool = Pool()
    dispatcher = Dispatcher(pool, 10)
    await asyncio.gather(*(dispatcher.invoke(REQUEST) for _ in range(10)))
    assert len(set(pool.traces)) == 10
    assert new_trace() != new_trace()


def test_only_a_loop_that_was_stopped_fails_a_batch():
    assert isinstance(not_invoked(NotInvoked("recursive")), Failed)
    assert not_invoked(NotInvoked("throttled")) == NotRun("throttled")
