"""Calls and their answers, matched by number."""

import asyncio

import pytest

from router.http.values import Head, Request
from router.ingress.frames import FrameError
from router.ingress.url_calls import RemoteCaller
from router.ingress.urls import Asked, UrlIngress
from router.model.function_url import UrlAnswer, UrlCall, UrlPart, UrlTaken

HOST = "a" * 32 + ".lambda-url.us-east-1.localhost"


@pytest.fixture
def sent():
    return []


@pytest.fixture
def caller(sent):
    return RemoteCaller(sent.append)


def call():
    return UrlCall(0, "a" * 32, "GET", "/", "", "", {}, "127.0.0.1", b"")


def request():
    return Request(Head("GET", "/", "", {"host": HOST}, None, None, "127.0.0.1"), b"")


async def test_each_hears_its_own_answer_once(caller, sent):
    heard = []
    for name in "ab":
        caller.call(call(), lambda answer, _, name=name: heard.append((name, answer.status)))
    caller.answered(UrlAnswer(sent[1].number, 201, [], b""))
    caller.answered(UrlAnswer(sent[0].number, 200, [], b""))
    assert heard == [("b", 201), ("a", 200)]
    with pytest.raises(FrameError):
        caller.answered(UrlAnswer(sent[0].number, 200, [], b""))


async def test_an_answer_that_cannot_be_given_is_no_matter_of_others(caller, sent):
    heard = []

    def fail(answer, inflow):
        raise RuntimeError("a bug")

    caller.call(call(), fail)
    caller.call(call(), lambda answer, _: heard.append(answer.status))
    for one in sent:
        caller.answered(UrlAnswer(one.number, 200, [], b""))
    assert heard == [200]


async def test_who_waits_no_longer_has_no_answer_and_leaves_the_rest(caller, sent):
    ingress = UrlIngress(caller, calls_max=1)
    asked = ingress.on_request(request())
    assert isinstance(asked, Asked)
    assert ingress.on_head(request().head).status == 503
    over = []
    asked.watch(over.append)
    asked.cancel()
    assert not over  # whoever cancels is not called back before it is done with that
    await asyncio.sleep(0)
    assert over == [asked]
    with pytest.raises(asyncio.CancelledError):
        asked.response()
    asked.cancel()
    caller.answered(UrlAnswer(sent[0].number, 200, [], b"", is_open=True))
    assert over == [asked]
    assert isinstance(sent[1], UrlTaken)
    assert sent[1].is_gone
    caller.more(UrlPart(sent[0].number, b"", is_last=True))
    ingress.on_request(request())  # there is room again, once
    assert ingress.on_head(request().head).status == 503


async def test_room_is_taken_until_the_last_part_is_here(caller, sent):
    ingress = UrlIngress(caller, calls_max=1)
    asked = ingress.on_request(request())
    asked.watch(lambda _: None)
    caller.answered(UrlAnswer(sent[0].number, 200, [], b"", is_open=True))
    asked.cancel()
    assert ingress.on_head(request().head).status == 503
    asked.response().source.leave()
    caller.more(UrlPart(sent[0].number, b"", is_last=True))
    await asyncio.sleep(0)
    assert not hasattr(ingress.on_head(request().head), "status")
