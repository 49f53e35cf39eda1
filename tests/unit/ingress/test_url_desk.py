"""Calls of functions' URLs in the router: who answers them, and that a task answers many."""

import asyncio

import pytest

from router.ingress.url_desk import UrlDesk
from router.model.function_url import UrlAnswer, UrlCall
from tests.patience import until


class Way:
    has_ended = False

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)

    async def room(self):
        pass


class Answering:
    """Each call is answered when the test says so, by the task that is kept here."""

    def __init__(self):
        self.tasks = {}
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, call):
        self.tasks[call.number] = asyncio.current_task()
        await self.may.wait()
        if call.path == "/bug":
            raise RuntimeError("a bug")
        return UrlAnswer(call.number, 200, [], b""), None


def call(number, path="/"):
    return UrlCall(number, "a" * 32, "GET", path, "", "", {}, "127.0.0.1", b"")


@pytest.fixture
async def answering():
    return Answering()


@pytest.fixture
def way():
    return Way()


async def ask(desk, way, *calls):
    count = len(way.sent) + len(calls)
    for one in calls:
        desk.take(one, way)
    await until(lambda: len(way.sent) == count)
    await asyncio.sleep(0)


async def ended(*tasks):
    await until(lambda: all(task.done() for task in tasks))


async def test_a_task_answers_one_call_after_another(answering, way):
    desk = UrlDesk(answering, idle_max=2)
    await ask(desk, way, call(1))
    await ask(desk, way, call(2, "/bug"))
    await ask(desk, way, call(3))
    assert [answer.status for answer in way.sent] == [200, 502, 200]
    assert len(set(answering.tasks.values())) == 1
    desk.close()
    await ended(answering.tasks[1])


async def test_calls_at_the_same_time_wait_for_nobody_and_few_tasks_stay(answering, way):
    desk = UrlDesk(answering, idle_max=2)
    answering.may.clear()
    for number in range(5):
        desk.take(call(number), way)
    await until(lambda: len(answering.tasks) == 5)
    assert len(set(answering.tasks.values())) == 5
    answering.may.set()
    await until(lambda: len(way.sent) == 5)
    await until(lambda: sum(task.done() for task in answering.tasks.values()) == 3)
    desk.close()
    await ended(*answering.tasks.values())


async def test_a_task_that_is_cancelled_while_it_waits_is_given_nothing(answering, way):
    desk = UrlDesk(answering, idle_max=1)
    await ask(desk, way, call(1))
    answering.tasks[1].cancel()
    await ask(desk, way, call(2))
    assert answering.tasks[2] is not answering.tasks[1]
    desk.close()
    await ended(*answering.tasks.values())


async def test_after_the_end_none_stays(answering, way):
    desk = UrlDesk(answering, idle_max=1)
    answering.may.clear()
    desk.take(call(1), way)
    await until(lambda: 1 in answering.tasks)
    desk.close()
    answering.may.set()
    await ended(answering.tasks[1])
    assert way.sent
