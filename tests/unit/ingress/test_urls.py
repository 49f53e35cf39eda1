"""Functions' URLs through the listener: in the router, and in the ingress process.

Section 16, line 12: the kinds of responses, cookies, base64, CORS, 403 and errors.
"""

import asyncio
import base64
import json
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from router.config import IngressSettings, Settings, StoreSettings
from router.functions.permissions import permission_name, statement_of
from router.http.values import HttpLimits
from router.ingress.front import IngressProcess
from router.ingress.listener import Ingress
from router.ingress.url_calls import LocalCaller
from router.ingress.url_service import UrlService
from router.model.arn import function_arn
from router.model.errors import NotInvoked
from router.model.function import InvokeReply
from router.model.function_url import Cors, FunctionUrl
from router.model.permission import Permission
from router.model.resources import Function
from router.model.version import Alias
from router.store.base import Delete
from router.store.catalog import Catalog, own_name, put
from router.store.sqlite.store import SqliteStore
from tests.patience import PATIENCE_S
from tests.unit.http.client import connect

pytestmark = pytest.mark.slow

PLAIN, SIGNED, PAGES, GONE, STREAMS = ("a" * 32, "b" * 32, "c" * 32, "d" * 32, "e" * 32)
CORS = Cors(
    origins=("https://*.example.com",), methods=("GET", "POST"), headers=("x-a",),
    exposed=("x-b",), max_age_s=60, has_credentials=True,
)  # fmt: skip


class Invoker:
    """Answers as the query says."""

    def __init__(self):
        self.calls = []
        self.hold = None

    async def invoke(
        self, function, qualifier, payload, *, request_id=None, trace_id=None, stream=None
    ):
        event = json.loads(payload)
        self.calls.append((function, qualifier, event, request_id))
        if self.hold is not None:
            await self.hold.wait()
        if stream is not None:
            return await self.streamed(event["rawPath"], stream)
        match event["rawPath"]:
            case "/throttled":
                raise NotInvoked("throttled")
            case "/stopping":
                raise NotInvoked("stopping")
            case "/broken":
                raise NotInvoked("start_failed")
            case "/raises":
                return InvokeReply(payload=b'{"errorMessage":"x"}', error_type="ValueError")
            case "/bad":
                return InvokeReply(payload=b'{"statusCode":"x"}')
            case "/large":
                return InvokeReply(payload=json.dumps("x" * 5_000_000).encode())
            case "/bug":
                raise RuntimeError("a bug")
        reply = {
            "statusCode": 201,
            "headers": {"x-b": "ü", "access-control-allow-origin": "*"},
            "cookies": ["a=1", "b=2"],
            "body": base64.b64encode(b"\x00\xff").decode(),
            "isBase64Encoded": True,
        }
        return InvokeReply(payload=json.dumps(reply).encode())

    async def streamed(self, path, stream):
        """Of a function that does not."""
        return InvokeReply(payload=b'{"statusCode":200,"body":"whole"}')


def url(name, **more):
    members = {"function": "f", "qualifier": "$LATEST", "is_signed": False, **more}
    return FunctionUrl(id=name, created_ms=1, modified_ms=1, **members)


class Site:
    """A store, a listener and clients."""

    def __init__(self, folder, *, is_apart, secret_of=None, invoker=None, listen=None):
        self.folder = folder
        self.is_apart = is_apart
        self.secret_of = secret_of
        self.invoker = invoker or Invoker()
        self.listen = listen or IngressSettings()
        self.wall_ms = lambda: 1_700_000_000_000

    async def start(self):
        self.store = SqliteStore(self.folder / "data", StoreSettings())
        await self.store.open()
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.commit(
            [
                put("function", "f", Function(
                    name="f", runtime="python3.11", handler="a.b", role="r", code_path="/c",
                    code_hash="c", last_modified_ms=1, revision_id="r",
                )),
                put("alias", "f:live", Alias(
                    function="f", name="live", version="$LATEST", revision_id="r",
                )),
                *(
                    put("function_url", own_name("f", one.qualifier + one.id), one)
                    for one in (
                        url(PLAIN), url(SIGNED, is_signed=True), url(PAGES, cors=CORS),
                        url(GONE, qualifier="live"),
                        url(STREAMS, invoke_mode="RESPONSE_STREAM"),
                    )
                ),
            ]
        )  # fmt: skip
        self.service = UrlService(
            self.catalog, self.invoker, region="us-east-1", account="000000000000",
            secret_of=self.secret_of, wall_ms=self.wall_ms,
        )  # fmt: skip
        if self.is_apart:
            settings = Settings(listen=self.listen)
            self.ingress = IngressProcess(
                self.store.streams, str, settings, answering=self.service.answer
            )
        else:
            caller = LocalCaller(self.service.answer)
            self.ingress = Ingress(self.store.streams, str, self.listen, caller=caller)
        self.address = await self.ingress.start("127.0.0.1", 0)

    async def stop(self):
        await self.ingress.stop(1)
        await self.store.close()

    async def ask(self, path="/", where=PLAIN, method="GET", body=b"", **headers):
        lines = {"Host": f"{where}.lambda-url.us-east-1.localhost:1", **headers}
        if body:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in lines.items())
        client = await connect(self.address)
        try:
            await client.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            return await client.reply(has_body=method != "HEAD")
        finally:
            await client.close()


@pytest.fixture(params=[False, True], ids=["inside", "apart"])
async def site(request, tmp_path):
    running = Site(tmp_path, is_apart=request.param)
    await running.start()
    yield running
    await running.stop()


async def test_a_function_answers_by_name_and_by_path(site):
    reply = await site.ask("/x%20y?a=1", method="PATCH", body=b"hi", Content_Type="text/plain")
    assert (reply.status, reply.body) == (201, b"\x00\xff")
    assert reply.headers["content-type"] == "application/json"
    name, qualifier, event, request_id = site.invoker.calls[0]
    assert (name, qualifier) == ("f", None)
    assert (event["rawPath"], event["rawQueryString"]) == ("/x%20y", "a=1")
    assert (event["body"], event["isBase64Encoded"]) == ("hi", False)
    assert event["requestContext"]["http"]["method"] == "PATCH"
    assert event["requestContext"]["requestId"] == request_id
    assert reply.headers["x-amzn-requestid"] == request_id
    assert reply.headers["x-amzn-trace-id"] == event["headers"]["x-amzn-trace-id"]
    assert event["requestContext"]["domainName"] == f"{PLAIN}.lambda-url.us-east-1.localhost"
    reply = await site.ask(f"/lambda-url/{PLAIN}/deep/er?q", Host="127.0.0.1")
    assert reply.status == 201
    assert site.invoker.calls[1][2]["rawPath"] == "/deep/er"
    reply = await site.ask(f"/lambda-url/{PLAIN}", Host="127.0.0.1")
    assert site.invoker.calls[2][2]["rawPath"] == "/"


async def test_a_response_has_its_cookies_and_headers(site):
    client = await connect(site.address)
    host = f"Host: {PLAIN}.lambda-url.us-east-1.localhost\r\n"
    await client.send(f"GET / HTTP/1.1\r\n{host}\r\n".encode())
    head = (await client.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    assert [line for line in head if line.startswith(b"set-cookie")] == [
        b"set-cookie: a=1",
        b"set-cookie: b=2",
    ]
    assert "x-b: ü".encode() in head
    await client.close()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/raises", 502, b"Internal Server Error"),
        ("/bad", 502, b"Internal Server Error"),
        ("/broken", 502, b"Internal Server Error"),
        ("/bug", 502, b"Internal Server Error"),
        ("/throttled", 429, b'{"Message":"Rate Exceeded."}'),
        ("/stopping", 503, b'{"Message":"The router is stopping."}'),
    ],
)
async def test_what_goes_wrong(site, path, status, body):
    reply = await site.ask(path)
    assert (reply.status, reply.body) == (status, body)


async def test_a_url_nobody_has(site):
    reply = await site.ask(where="z" * 32)
    assert (reply.status, reply.body) == (403, b'{"Message":null}')
    assert reply.headers["x-amzn-errortype"] == "AccessDeniedException"


async def test_a_url_of_an_alias_that_is_gone(site):
    assert (await site.ask(where=GONE)).status == 201
    assert site.invoker.calls[0][1] == "live"
    await site.catalog.commit([Delete("alias", "f:live")])
    reply = await site.ask(where=GONE)
    assert reply.status == 403
    assert json.loads(reply.body)["Message"].startswith("Forbidden. ")


async def test_a_url_is_there_as_soon_as_it_is_made_and_gone_when_it_is_deleted(site):
    new = "n" * 32
    await site.catalog.commit([put("function_url", "f:new", url(new))])
    assert (await site.ask(where=new)).status == 201
    await site.catalog.commit([Delete("function_url", "f:new")])
    assert (await site.ask(where=new)).status == 403


async def test_a_request_that_is_not_signed(site):
    reply = await site.ask(where=SIGNED)
    assert reply.status == 403
    assert json.loads(reply.body)["Message"].startswith("Forbidden. ")
    assert site.invoker.calls == []


async def test_pages_are_told_what_they_may(site):
    asking = {"Access_Control_Request_Method": "POST", "Origin": "https://a.example.com"}
    reply = await site.ask(where=PAGES, method="OPTIONS", **asking)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "https://a.example.com"
    assert reply.headers["access-control-allow-methods"] == "GET,POST"
    assert reply.headers["access-control-allow-headers"] == "x-a"
    assert reply.headers["access-control-max-age"] == "60"
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert site.invoker.calls == []
    reply = await site.ask(where=PAGES, method="OPTIONS", **{**asking, "Origin": "https://evil"})
    assert reply.status == 200
    assert "access-control-allow-origin" not in reply.headers
    assert "access-control-allow-methods" not in reply.headers
    reply = await site.ask(where=PAGES, Origin="https://b.example.com")
    assert reply.headers["access-control-allow-origin"] == "https://b.example.com"
    assert reply.headers["access-control-expose-headers"] == "x-b"
    assert reply.headers["vary"] == "Origin"
    reply = await site.ask(where=PAGES)
    assert "access-control-allow-origin" not in reply.headers


async def test_what_a_function_says_to_pages_counts_without_settings(site):
    reply = await site.ask(Origin="https://b.example.com")
    assert reply.headers["access-control-allow-origin"] == "*"
    reply = await site.ask("/x", method="OPTIONS", Access_Control_Request_Method="POST", Origin="o")
    assert reply.status == 201


async def test_a_request_too_large(site):
    reply = await site.ask(method="POST", Content_Length=str(6_291_457))
    assert reply.status == 413
    assert json.loads(reply.body) == {
        "Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    }
    assert reply.headers["x-amzn-errortype"] == "RequestEntityTooLargeException"
    reply = await site.ask(method="POST", body=b"\0" * 5_000_000)
    assert reply.status == 413


async def test_many_large_answers_at_once(site):
    """More than the link may leave unread: they go one after the other, and all arrive."""
    replies = await asyncio.gather(*(site.ask("/large") for _ in range(12)))
    assert [len(reply.body) for reply in replies] == [5_000_000] * 12


async def test_a_head_alone(site):
    reply = await site.ask(method="HEAD")
    assert (reply.status, reply.headers["content-length"]) == (201, "2")


async def test_a_function_may_take_longer_than_a_webhook(tmp_path):
    site = Site(tmp_path, is_apart=False)
    await site.start()
    site.ingress._server.limits = HttpLimits(handler_s=0.05, sweep_s=0.01)
    site.invoker.hold = asyncio.Event()
    asking = asyncio.create_task(site.ask())
    await asyncio.sleep(0.5)
    assert not asking.done()
    site.invoker.hold.set()
    assert (await asking).status == 201
    await site.stop()


async def test_draining_refuses_what_is_new_and_ends_what_runs(site):
    site.invoker.hold = asyncio.Event()
    asking = asyncio.create_task(site.ask())
    async with asyncio.timeout(30):
        while not site.invoker.calls:
            await asyncio.sleep(0.01)
        site.ingress.drain()
        while (await site.ask()).status != 503:
            await asyncio.sleep(0.01)
    site.invoker.hold.set()
    assert (await asking).status == 201


async def test_s1_a_request_whose_body_comes_after_a_drain_began_begins_nothing(site):
    client = await connect(site.address)
    host = f"Host: {PLAIN}.lambda-url.us-east-1.localhost"
    await client.send(f"POST / HTTP/1.1\r\n{host}\r\nContent-Length: 2\r\n\r\nh".encode())
    assert (await site.ask()).status == 201  # who asked before was heard before
    async with asyncio.timeout(PATIENCE_S):
        site.ingress.drain()
        while (await site.ask()).status != 503:
            await asyncio.sleep(0.01)
        called = len(site.invoker.calls)
        await client.send(b"i")
        reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (503, "close")
    assert int(reply.headers["retry-after"]) >= 1
    assert len(site.invoker.calls) == called
    await client.close()


def signed(path, where, secret="s3cret", service="lambda", body=b""):
    """Headers of a request as an unmodified client signs it."""
    host = f"{where}.lambda-url.us-east-1.localhost:1"
    request = AWSRequest("POST", f"http://{host}{path}", data=body, headers={"Host": host})
    SigV4Auth(Credentials("AKIA", secret), service, "us-east-1").add_auth(request)
    return {name: text for name, text in request.headers.items() if name != "Host"}


async def test_a_signature_is_checked_where_keys_are_known(tmp_path):
    secrets = {"AKIA": "s3cret"}
    site = Site(tmp_path, is_apart=False, secret_of=secrets.get)
    site.wall_ms = lambda: int(time.time() * 1000)
    await site.start()

    async def answer(sent=b"x", **how):
        headers = signed("/a%20b?q=1", SIGNED, body=b"x", **how)
        return await site.ask("/a%20b?q=1", SIGNED, "POST", sent, **headers)

    async def refusal(**how):
        reply = await answer(**how)
        assert reply.status == 403
        return reply.headers["x-amzn-errortype"], json.loads(reply.body)["message"]

    assert (await answer()).status == 201
    context = site.invoker.calls[0][2]["requestContext"]
    assert context["accountId"] == "000000000000"
    assert context["authorizer"]["iam"]["accessKey"] == "AKIA"
    mismatch = (
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details."
    )
    assert await refusal(secret="wrong") == ("InvalidSignatureException", mismatch)
    assert await refusal(sent=b"other") == ("InvalidSignatureException", mismatch)
    assert (await refusal(service="s3"))[0] == "InvalidSignatureException"
    del secrets["AKIA"]
    nobody = "The security token included in the request is invalid."
    assert await refusal() == ("UnrecognizedClientException", nobody)
    assert await refusal(secret="wrong") == ("UnrecognizedClientException", nobody)
    reply = await site.ask(where=SIGNED, Authorization="Bearer x")
    assert json.loads(reply.body)["Message"].startswith("Forbidden. ")
    assert len(site.invoker.calls) == 1
    await site.stop()


def statement(sid, qualifier=None, effect="Allow", **given):
    resource = function_arn("us-east-1", "000000000000", "f", qualifier)
    kept = Permission(
        function="f", qualifier=qualifier or "$LATEST", sid=sid, place=0,
        statement={**statement_of(sid, resource, {"Principal": "*", **given}), "Effect": effect},
    )  # fmt: skip
    return put("permission", permission_name(kept), kept)


OPEN = {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}
RUN = {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True}


async def test_where_keys_are_known_a_url_is_open_to_whom_its_policy_says(tmp_path):
    """Both statements for a caller without a signature, none for one of this account."""
    site = Site(tmp_path, is_apart=False, secret_of={"AKIA": "s3cret"}.get)
    site.wall_ms = lambda: int(time.time() * 1000)
    await site.start()

    async def statuses():
        headers = signed("/", SIGNED)
        return [
            (await site.ask(where=PLAIN)).status,
            (await site.ask(where=GONE)).status,
            (await site.ask("/", SIGNED, "POST", **headers)).status,
        ]

    assert await statuses() == [403, 403, 201]
    reply = await site.ask()
    assert reply.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert json.loads(reply.body)["Message"].startswith("Forbidden. ")
    assert len(site.invoker.calls) == 1
    await site.catalog.commit([statement("a", **OPEN)])
    assert await statuses() == [403, 403, 201]
    await site.catalog.commit([statement("b", **RUN)])
    assert await statuses() == [201, 403, 201]
    await site.catalog.commit([statement("a", "live", **OPEN), statement("b", "live", **RUN)])
    assert await statuses() == [201, 201, 201]
    await site.catalog.commit([statement("c", effect="Deny", Action="lambda:*")])
    assert await statuses() == [403, 201, 403]
    # Web pages are answered before anybody is asked who they are.
    asking = {"Access_Control_Request_Method": "POST", "Origin": "https://a.example.com"}
    assert (await site.ask(where=PAGES, method="OPTIONS", **asking)).status == 200
    await site.stop()


async def test_any_signature_is_good_where_the_api_takes_any_key(site):
    headers = signed("/", SIGNED, secret="whatever")
    assert (await site.ask("/", SIGNED, "POST", **headers)).status == 201


async def test_a_function_that_does_not_stream_answers_where_it_might(site):
    reply = await site.ask("/", STREAMS)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.body == b"whole"
