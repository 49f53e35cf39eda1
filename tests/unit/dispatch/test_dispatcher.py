"""The dispatcher: one limit (L1), fair turns (L4), every wait has an end (L3)."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dispatch import dispatcher as module
from router.dispatch.dispatcher import Dispatcher
from router.model.errors import NotInvoked
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from tests.patience import PATIENCE_S

REQUEST = InvokeRequest(
    function=FunctionVersion(
        name="f", arn="arn", runtime="python3.11", handler="a.b", code_path="/x", code_hash="h"
    ),
    invoked_arn="arn",
    request_id="r",
    payload=b"{}",
)


class Gate:
    """A pool whose invocations end when they are let go."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.open = asyncio.Event()

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return InvokeReply(payload=b"null")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_l1_never_more_than_the_limit() -> None:
    gate = Gate()
    dispatcher = Dispatcher(gate, 3)
    dispatcher.register("a")
    tasks = [asyncio.create_task(dispatcher.invoke_for("a", REQUEST)) for _ in range(10)]
    await settle()
    assert gate.running == dispatcher.running == 3
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.most == 3
    assert dispatcher.running == 0


async def test_a_caller_of_the_api_is_throttled_at_once() -> None:
    gate = Gate()
    dispatcher = Dispatcher(gate, 1)
    held = asyncio.create_task(dispatcher.invoke(REQUEST))
    await settle()
    with pytest.raises(NotInvoked) as refusal:
        await dispatcher.invoke(REQUEST)
    assert refusal.value.reason == "throttled"
    gate.open.set()
    await held


async def test_l4_a_greedy_mapping_leaves_room_for_the_others() -> None:
    gate = Gate()
    dispatcher = Dispatcher(gate, 10)
    for name in ("greedy", "quiet", "still"):
        dispatcher.register(name)
    greedy = [asyncio.create_task(dispatcher.invoke_for("greedy", REQUEST)) for _ in range(50)]
    await settle()
    assert gate.running == 8, "two slots stay for the two that run nothing"
    quiet = asyncio.create_task(dispatcher.invoke_for("quiet", REQUEST))
    await settle()
    assert gate.running == 9, "and one of them is used without waiting"
    gate.open.set()
    await asyncio.gather(quiet, *greedy)


async def test_the_least_served_comes_first() -> None:
    ends: list[asyncio.Event] = []
    order: list[str] = []

    class Queue:
        async def invoke(self, request: InvokeRequest) -> InvokeReply:
            order.append(request.request_id)
            ends.append(asyncio.Event())
            await ends[-1].wait()
            return InvokeReply(payload=b"null")

    def ask(name: str) -> "asyncio.Task[InvokeReply]":
        request = InvokeRequest(
            function=REQUEST.function, invoked_arn="arn", request_id=name, payload=b"{}"
        )
        return asyncio.create_task(dispatcher.invoke_for(name, request))

    dispatcher = Dispatcher(Queue(), 2)
    dispatcher.register("a")
    tasks = [ask("a"), ask("a"), ask("a"), ask("a")]
    await settle()
    dispatcher.register("b")
    tasks.append(ask("b"))
    await settle()
    ends[0].set()
    await settle()
    assert order == ["a", "a", "b"], "b has nothing running, so its turn comes before a's third"
    for _ in range(4):
        for end in ends:
            end.set()
        await settle()
    await asyncio.gather(*tasks)


async def test_l4_of_many_that_wait_each_has_its_turn() -> None:
    order: list[str] = []

    class Short:
        async def invoke(self, request: InvokeRequest) -> InvokeReply:
            order.append(request.request_id)
            await asyncio.sleep(0)
            return InvokeReply(payload=b"null")

    dispatcher = Dispatcher(Short(), 4)
    names = [f"mapping-{number}" for number in range(50)]
    for name in names:
        dispatcher.register(name)

    async def ask(name: str) -> None:
        request = InvokeRequest(
            function=REQUEST.function, invoked_arn="arn", request_id=name, payload=b"{}"
        )
        for _ in range(5):
            await dispatcher.invoke_for(name, request)

    await asyncio.gather(*map(ask, names))
    for turn in range(5):
        assert sorted(order[turn * 50 : turn * 50 + 50]) == sorted(names)
    for name in names:
        dispatcher.unregister(name)
    assert not dispatcher.running


async def test_l3_a_wait_ends_as_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S_MAX", 0.05)
    gate = Gate()
    dispatcher = Dispatcher(gate, 1)
    held = asyncio.create_task(dispatcher.invoke_for("a", REQUEST))
    await settle()
    with pytest.raises(NotInvoked):
        await dispatcher.invoke_for("b", REQUEST)
    gate.open.set()
    await held
    await dispatcher.invoke_for("b", REQUEST)
    assert dispatcher.running == 0


@given(
    limit=st.integers(1, 5),
    plan=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40),
)
def test_cancelled_waits_lose_no_slot(limit: int, plan: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        running: Counter[str] = Counter()

        class Short:
            async def invoke(self, request: InvokeRequest) -> InvokeReply:
                running["now"] += 1
                assert running["now"] <= limit
                try:
                    await asyncio.sleep(0)
                finally:
                    running["now"] -= 1
                return InvokeReply(payload=b"null")

        dispatcher = Dispatcher(Short(), limit)
        for name in "abc":
            dispatcher.register(name)
        tasks = []
        for number, (name, turns) in enumerate(plan):
            tasks.append(asyncio.create_task(dispatcher.invoke_for(name, REQUEST)))
            for _ in range(turns):
                await asyncio.sleep(0)
            if number % 3 == 2:
                tasks[number - 1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert dispatcher.running == 0
        await asyncio.wait_for(dispatcher.invoke_for("a", REQUEST), PATIENCE_S)

    asyncio.run(scenario())


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Dispatcher(Gate(), 0)


async def test_a_mapping_may_say_how_long_it_waits_and_hears_of_its_turn() -> None:
    gate = Gate()
    dispatcher = Dispatcher(gate, 1)
    turns: list[str] = []
    held = asyncio.create_task(
        dispatcher.invoke_for("a", REQUEST, on_turn=lambda: turns.append("a"))
    )
    await settle()
    assert turns == ["a"]
    with pytest.raises(NotInvoked):
        await dispatcher.invoke_for(
            "b", REQUEST, wait_s_max=0.05, on_turn=lambda: turns.append("b")
        )
    assert turns == ["a"], "it never had its turn"
    gate.open.set()
    await held


@pytest.mark.parametrize(
    ("error_type", "document", "told"),
    [
        ("Runtime.Unknown", b'{"errorType": "ZeroDivisionError"}', "ZeroDivisionError"),
        ("Runtime.Unknown", b'{"errorType": 3}', "Runtime.Unknown"),
        ("Runtime.Unknown", b'{"errorType": "a\\nb"}', "Runtime.Unknown"),
        ("Runtime.Unknown", b"[]", "Runtime.Unknown"),
        ("Runtime.Unknown", b"no json", "Runtime.Unknown"),
        ("Sandbox.Timedout", b'{"errorType": "x"}', "Sandbox.Timedout"),
    ],
)
async def test_a_problem_is_told_by_the_functions_own_name_for_it(error_type, document, told):
    class Pool:
        async def invoke(self, request: InvokeRequest) -> InvokeReply:
            return InvokeReply(payload=document, error_type=error_type)

    dispatcher = Dispatcher(Pool(), 1)
    await dispatcher.invoke(REQUEST)
    assert dispatcher.problems == {"f": told}
