"""The client of SQS, against a server of our own that answers as it is told."""

import asyncio

import orjson
import pytest
from aiohttp import web

from router.auth.aws_session import Credentials, NoCredentials
from router.sources.sqs_client import LOST, SqsClient, SqsProblem


class Place:
    """An endpoint, and what the SDK would say of it."""

    def __init__(self):
        self.seen = []
        self.answer = (200, b"{}")
        self.gate = asyncio.Event()
        self.gate.set()
        self.problem = None
        self.asked = 0
        self.headers = {}

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def _handle(self, request):
        self.seen.append((request.headers, await request.json()))
        await self.gate.wait()
        status, body = self.answer
        return web.Response(status=status, body=body, headers=self.headers)

    async def endpoint(self, service, region=""):
        assert service == "sqs"
        return f"http://127.0.0.1:{self.port}"

    async def credentials(self):
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        return Credentials("AKID", "secret", "token")


@pytest.fixture
async def place():
    place = Place()
    await place.start()
    place.client = SqsClient(place, "eu-central-1")
    yield place
    await place.client.close()
    await place.runner.cleanup()


async def test_a_call_is_json_signed_and_named(place):
    place.answer = (200, b'{"Messages":[]}')
    assert await place.client.call("ReceiveMessage", {"QueueUrl": "u"}) == {"Messages": []}
    ((headers, body),) = place.seen
    assert body == {"QueueUrl": "u"}
    assert headers["X-Amz-Target"] == "AmazonSQS.ReceiveMessage"
    assert headers["Content-Type"] == "application/x-amz-json-1.0"
    assert headers["X-Amz-Security-Token"] == "token"
    assert "/eu-central-1/sqs/aws4_request" in headers["Authorization"]
    assert headers["Host"] == f"127.0.0.1:{place.port}"


async def test_an_empty_answer_is_an_answer(place):
    place.answer = (200, b"")
    assert await place.client.call("DeleteMessage", {}) == {}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"},
         "QueueDoesNotExist", "sqs_failed"),
        (403, {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "no"},
         "AccessDeniedException", "access_denied"),
        (503, {}, "HTTP 503", "sqs_failed"),
    ],
)  # fmt: skip
async def test_a_refusal_keeps_its_name_and_words(place, status, body, kind, code):
    place.answer = (status, orjson.dumps(body))
    with pytest.raises(SqsProblem) as found:
        await place.client.call("ReceiveMessage", {})
    assert (found.value.kind, found.value.code) == (kind, code)
    for word in ("gone", "no"):
        if word in body.values():
            assert word in str(found.value)


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
async def test_what_is_no_answer_of_sqs_counts_as_lost(place, body):
    place.answer = (502, body)
    with pytest.raises(SqsProblem) as found:
        await place.client.call("ReceiveMessage", {})
    assert found.value.kind == LOST


async def test_l2_an_answer_has_a_largest_size(place, monkeypatch):
    monkeypatch.setattr("router.sources.sqs_client.REPLY_BYTES_MAX", 1_000)
    place.answer = (200, b'{"a":"' + b"x" * 992 + b'"}')
    assert len((await place.client.call("ReceiveMessage", {}))["a"]) == 992
    place.answer = (200, b'{"a":"' + b"x" * 993 + b'"}')
    with pytest.raises(SqsProblem, match="larger than 1000 bytes") as found:
        await place.client.call("ReceiveMessage", {})
    assert found.value.kind == LOST


async def test_an_answer_that_is_cut_short_counts_as_lost():
    """The rest of its messages come again; what is there of it is no answer."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = Place()
    place.port = server.sockets[0].getsockname()[1]
    client = SqsClient(place, "eu-central-1")
    with pytest.raises(SqsProblem) as found:
        await client.call("ReceiveMessage", {})
    assert found.value.kind == LOST
    await client.close()
    server.close()


async def test_nobody_is_followed_elsewhere(place):
    """What is signed is for the endpoint alone."""
    place.answer = (307, b"")
    place.headers = {"Location": "/elsewhere"}
    with pytest.raises(SqsProblem) as found:
        await place.client.call("ReceiveMessage", {})
    assert (found.value.kind, len(place.seen)) == ("HTTP 307", 1)


async def test_nobody_there_counts_as_lost_and_is_found_again(place):
    await place.client.call("ListQueues", {})
    await place.runner.cleanup()
    with pytest.raises(SqsProblem) as found:
        await place.client.call("ListQueues", {})
    assert found.value.kind == LOST


async def test_l3_a_call_without_an_answer_ends(place, monkeypatch):
    monkeypatch.setattr("router.sources.sqs_client.ANSWER_S_MAX", 0.05)
    place.gate.clear()
    with pytest.raises(SqsProblem) as found:
        await place.client.call("ReceiveMessage", {}, wait_s=0.05)
    assert found.value.kind == LOST
    place.gate.set()


async def test_l3_credentials_that_never_come_end_the_wait(place, monkeypatch):
    monkeypatch.setattr("router.sources.sqs_client.SIGNER_S_MAX", 0.05)
    await place.client.endpoint()

    async def for_ever():
        await asyncio.Event().wait()

    place.credentials = for_ever
    with pytest.raises(SqsProblem, match="TimeoutError"):
        await place.client.call("ReceiveMessage", {})
    assert not place.seen


async def test_credentials_are_asked_for_again_every_few_seconds(place, monkeypatch):
    """The SDK renews them; asking it costs more than signing."""
    for _ in range(3):
        await place.client.call("ListQueues", {})
    assert place.asked == 1
    monkeypatch.setattr("router.sources.sqs_client.SIGNER_KEPT_S", -1)
    place.client._signer_until_s = 0
    for _ in range(2):
        await place.client.call("ListQueues", {})
    assert place.asked == 3
    place.problem = NoCredentials("there are none any more")
    with pytest.raises(NoCredentials):
        await place.client.call("ListQueues", {})
    assert len(place.seen) == 5


async def test_without_credentials_it_says_what_to_do(place):
    place.problem = NoCredentials("there are none")
    with pytest.raises(NoCredentials):
        await place.client.call("ListQueues", {})
    place.problem = ValueError("a broken profile")
    with pytest.raises(SqsProblem, match="ValueError: a broken profile"):
        await place.client.call("ListQueues", {})


async def test_an_endpoint_that_is_none_is_told(place):
    async def nowhere(_service, _region=""):
        return "localhost:9324"

    place.endpoint = nowhere
    with pytest.raises(SqsProblem, match="localhost:9324 is no address") as found:
        await place.client.call("ListQueues", {})
    assert found.value.kind == "InvalidEndpoint"
