"""Webhooks from the socket to the real store: 202 means durable, everything else means nothing."""

import asyncio
import hmac
import json
import uuid

import pytest
import structlog

from router.config import IngressSettings, StoreSettings
from router.http.values import Head, Request
from router.ingress.listener import Ingress, count_refused
from router.ingress.route import Route
from router.ingress.url_calls import LocalCaller
from router.ingress.webhooks import WebhookIngress
from router.model.errors import ConfigError, StoreError, StoreFull
from router.model.shard import KeyRanges, first_shards, shard_id
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.sources.webhook_event import build_event
from router.store.sqlite.store import SqliteStore
from router.telemetry import metrics
from router.telemetry.metrics import REGISTRY
from tests.unit.http.client import answered, connect, no_function, post

ARN = "arn:aws:router:us-east-1:000000000000:webhook/"
SECRETS = {"{{one}}": "first", "{{two}}": "second", "{{three}}": "whsec_Zmlyc3Q="}
BODY = json.dumps({"repository": {"full_name": "octo/hello"}, "n": 1}).encode()


def spec(name, **options):
    signature = Signature(scheme="github", secrets=("{{one}}", "{{two}}"))
    return WebhookSpec(
        **{"name": name, "arn": ARN + name, "path": f"/{name}", "signature": signature, **options}
    )


OPEN = Signature(scheme="none")
SPECS = (
    spec("github", partition_key="$.repository.full_name", shards=4),
    spec("dedup", deduplicate=Deduplicate(key="header.X-GitHub-Delivery", window_s=60)),
    spec("spread", signature=OPEN, partition_key="$.k", on_unkeyable="Spread", shards=2),
    spec("header", signature=OPEN, partition_key="header.X-Key"),
    spec("small", signature=OPEN, body_bytes_max=1_000),
    spec("large", signature=OPEN),
    spec("standard", signature=Signature(scheme="standard-webhooks", secrets=("{{three}}",))),
    spec("locked", signature=Signature(scheme="github", secrets=("{{absent}}",))),
)


def resolve(text):
    if text not in SECRETS:
        raise ConfigError(f"secret {text} is nowhere")
    return SECRETS[text]


def signed(body, secret="first", path="/github", **headers):
    digest = hmac.digest(secret.encode(), body, "sha256").hex()
    return post(body, path, X_Hub_Signature_256=f"sha256={digest}", **headers)


def index_of(key, shards):
    return int(KeyRanges(first_shards(shards)).shard_of(key).rpartition("-")[2])


def counted(webhook, result):
    labels = {"webhook": webhook, "result": result}
    return REGISTRY.get_sample_value("router_webhook_requests_total", labels) or 0


class Site:
    """A store, an ingress and one client."""

    def __init__(self, folder):
        self.store = SqliteStore(folder / "data", StoreSettings())

    async def start(self):
        await self.store.open()
        self.ingress = Ingress(
            self.store.streams, resolve, IngressSettings(), caller=LocalCaller(no_function)
        )
        self.ingress.set_webhooks(SPECS)
        self.address = await self.ingress.start("127.0.0.1", 0)
        self.client = await connect(self.address)

    async def stop(self):
        await self.client.close()
        await self.ingress.stop(1)
        await self.store.close()

    async def post(self, data):
        await self.client.send(data)
        return await self.client.reply()

    async def records(self, name, shard=0):
        read = self.store.streams.read
        return (await read(ARN + name, shard_id(shard), 0, 1_000, 1 << 23)).records


@pytest.fixture(autouse=True)
def counters_from_zero():
    metrics.WEBHOOK_REQUESTS.clear()
    metrics.WEBHOOK_UNKEYED.clear()


@pytest.fixture
async def site(tmp_path):
    running = Site(tmp_path)
    await running.start()
    yield running
    await running.stop()


async def test_202_names_an_event_that_is_stored(site):
    reply = await site.post(signed(BODY, path="/github?a=1&a=2&b", X_GitHub_Event="push"))
    assert reply.status == 202
    assert reply.headers["content-type"] == "application/json"
    event_id = json.loads(reply.body)["id"]
    assert uuid.UUID(event_id).version == 7
    index = index_of("octo/hello", 4)
    (record,) = await site.records("github", index)
    assert (record.event_id, record.key, record.position) == (event_id, "octo/hello", 1)
    (event,) = json.loads(build_event([record], shard_id(index)))["Records"]
    assert event.pop("approximateArrivalTimestamp") == record.arrival_ms / 1000
    headers = event.pop("headers")
    assert headers["x-github-event"] == "push"
    assert headers["host"] == "test"
    assert event == {
        "eventID": f"{shard_id(index)}:1",
        "sequenceNumber": "1",
        "eventSource": "router:webhook",
        "eventSourceARN": ARN + "github",
        "partitionKey": "octo/hello",
        "body": BODY.decode(),
        "isBase64Encoded": False,
        "queryStringParameters": {"a": "1,2", "b": ""},
        "httpMethod": "POST",
        "path": "/github",
        "sourceIp": "127.0.0.1",
    }
    assert counted("github", "accepted") == 1


async def test_accepted_records_survive_the_store(site, tmp_path):
    ids = [json.loads((await site.post(signed(BODY))).body)["id"] for _ in range(5)]
    await site.stop()
    again = Site(tmp_path)
    await again.start()
    site.__dict__.update(again.__dict__)
    stored = await site.records("github", index_of("octo/hello", 4))
    assert [record.event_id for record in stored] == ids


async def test_records_of_a_key_keep_their_order(site):
    """D5 at the door: pipelined requests of one connection are stored in order."""
    bodies = [json.dumps({"repository": {"full_name": "a/b"}, "n": n}).encode() for n in range(30)]
    await site.client.send(b"".join(signed(body) for body in bodies))
    for _ in bodies:
        assert (await site.client.reply()).status == 202
    stored = await site.records("github", index_of("a/b", 4))
    event = json.loads(build_event(stored, "s"))
    assert [record["body"].encode() for record in event["Records"]] == bodies


async def test_either_live_secret_is_accepted(site):
    assert (await site.post(signed(BODY, "first"))).status == 202
    assert (await site.post(signed(BODY, "second"))).status == 202


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (post(BODY, "/github"), "signature_missing"),
        (signed(BODY, "third"), "signature_invalid"),
        (signed(BODY)[:-1] + b"?", "signature_invalid"),
        (post(BODY, "/standard"), "signature_missing"),
        (post(BODY, "/standard", webhook_id="m", webhook_signature="v1,x"), "timestamp_missing"),
        (
            post(
                BODY,
                "/standard",
                webhook_id="m",
                webhook_signature="v1,x",
                webhook_timestamp="1614265330",
            ),
            "timestamp_too_old",
        ),
        (
            post(
                BODY,
                "/standard",
                webhook_id="m",
                webhook_signature="v1,x",
                webhook_timestamp="99999999999",
            ),
            "timestamp_too_new",
        ),
    ],
)
async def test_not_genuine_is_401_and_stores_nothing(site, data, reason):
    name = "standard" if b"/standard" in data else "github"
    reply = await site.post(data)
    assert reply.status == 401
    assert json.loads(reply.body)["reason"] == reason
    assert counted(name, reason) == 1
    assert await site.store.streams.stats(ARN + name) == []


async def test_a_duplicate_gets_the_first_one_s_id(site):
    first = await site.post(signed(BODY, path="/dedup", X_GitHub_Delivery="d1"))
    again = await site.post(signed(b"other", path="/dedup", X_GitHub_Delivery="d1"))
    other = await site.post(signed(BODY, path="/dedup", X_GitHub_Delivery="d2"))
    bare = [await site.post(signed(BODY, path="/dedup")) for _ in range(2)]
    assert {reply.status for reply in (first, again, other, *bare)} == {202}
    assert again.body == first.body
    assert len({first.body, other.body, *[reply.body for reply in bare]}) == 4
    assert len(await site.records("dedup")) == 4
    assert counted("dedup", "duplicate") == 1


async def test_duplicates_at_the_same_moment(site):
    data = signed(BODY, path="/dedup", X_GitHub_Delivery="same")
    clients = [await connect(site.address) for _ in range(20)]
    for client in clients:
        await client.send(data)
    bodies = {(await client.reply()).body for client in clients}
    assert len(bodies) == 1
    assert len(await site.records("dedup")) == 1
    for client in clients:
        await client.close()


async def test_unkeyable_bodies(site):
    reply = await site.post(signed(b"not json"))
    assert (reply.status, counted("github", "unkeyable")) == (400, 1)
    assert (await site.post(post(b"not json", "/spread"))).status == 202
    assert (await site.post(post(b"\xff\xfe", "/spread"))).status == 202
    assert (await site.post(signed(b"\xff\xfe"))).status == 400
    stored = [*await site.records("spread", 0), *await site.records("spread", 1)]
    assert all(record.key == record.event_id for record in stored)
    bodies = {
        (r["body"], r["isBase64Encoded"]) for r in json.loads(build_event(stored, "s"))["Records"]
    }
    assert bodies == {("not json", False), ("//4=", True)}


async def test_a_missing_key_is_spread_and_counted(site):
    name = "router_webhook_unkeyed_records_total"
    for _ in range(40):
        assert (await site.post(signed(b'{"zen": "no repository"}'))).status == 202
    assert REGISTRY.get_sample_value(name, {"webhook": "github"}) == 40
    counts = [len(await site.records("github", shard)) for shard in range(4)]
    assert sum(counts) == 40
    assert sum(1 for count in counts if count) >= 2


async def test_a_header_as_key_needs_no_json(site):
    assert (await site.post(post(b"\x00\xff", "/header", X_Key="k"))).status == 202
    (record,) = await site.records("header")
    assert record.key == "k"


async def test_paths_and_methods(site):
    assert (await site.post(post(BODY, "/unknown"))).status == 404
    for path in ("/github/", "//github", "/GitHub", "/%67ithub", "/github%2F", "/x/../github"):
        assert (await site.post(signed(BODY, path=path))).status == 404
    for method in (b"GET", b"PUT", b"DELETE", b"OPTIONS"):
        reply = await site.post(post(b"", "/github").replace(b"POST", method, 1))
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
    await site.client.send(b"HEAD /github HTTP/1.1\r\nHost: t\r\n\r\n")
    assert (await site.client.reply(has_body=False)).status == 405


async def test_a_removed_webhook_is_404_and_can_come_back(site):
    """Not 410: its sender would switch it off for good."""
    site.ingress.set_webhooks([])
    assert (await site.post(signed(BODY))).status == 404
    site.ingress.set_webhooks(SPECS)
    assert (await site.post(signed(BODY))).status == 202


async def test_any_content_type_is_taken_as_it_comes(site):
    headers = {"Content_Type": "nonsense/;;", "Content_Encoding": "gzip"}
    assert (await site.post(signed(b"\x1f\x8b", path="/dedup", **headers))).status == 202
    (record,) = await site.records("dedup")
    assert json.loads(b"{" + record.data)["body"] == "H4s="


async def test_each_webhook_has_its_own_body_limit(site):
    assert (await site.post(post(b"x" * 1_000, "/small"))).status == 202
    assert (await site.post(post(b"x" * 1_001, "/small"))).status == 413
    assert counted("small", "body_too_large") == 1
    assert len(await site.records("small")) == 1


async def test_a_body_that_no_event_could_hold_is_refused(site):
    """Control characters take six bytes each in JSON: it would be stored and never invoked."""
    assert (await site.post(post(b"\x01" * 2_000_000, "/large"))).status == 413
    assert (await site.post(post(b"\x01" * 1_000_000, "/large"))).status == 202
    assert (await site.post(post(b"\xff" * 4_800_000, "/large"))).status == 413
    (record,) = await site.records("large")
    assert len(build_event([record], shard_id(0))) <= 6 * 1024 * 1024


async def test_too_many_query_parameters(site):
    reply = await site.post(post(b"{}", "/small?" + "a&" * 300))
    assert (reply.status, counted("small", "bad_query")) == (400, 1)


async def test_without_its_secret_a_webhook_accepts_nothing(site):
    with structlog.testing.capture_logs() as logs:
        reply = await site.post(signed(BODY, path="/locked"))
        await site.post(signed(BODY, path="/locked"))
    assert (reply.status, counted("locked", "secret_unusable")) == (500, 2)
    assert [line["event"] for line in logs] == ["webhook_secret_unusable"]
    assert await site.store.streams.stats(ARN + "locked") == []


async def test_routes_are_swapped_at_once(site):
    site.ingress.set_webhooks([spec("github", signature=OPEN)])
    assert (await site.post(post(BODY, "/github"))).status == 202
    assert (await site.post(post(BODY, "/small"))).status == 404
    with pytest.raises(ConfigError, match="github and other"):
        site.ingress.set_webhooks([spec("github"), spec("other", path="/github")])
    with pytest.raises(ConfigError, match=r"\$\.\."):
        site.ingress.set_webhooks([spec("github", partition_key="$..x")])
    assert (await site.post(post(BODY, "/github"))).status == 202


async def test_d1_nothing_is_accepted_into_a_stream_that_is_gone_meanwhile(site):
    """The webhook is removed while a record waits for its commit."""
    waiting = asyncio.create_task(site.post(signed(BODY)))
    while not site.store._writer.operations_open:
        await asyncio.sleep(0)
    site.ingress.set_webhooks([])
    reply = await waiting
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert counted("github", "changed") == 1


async def test_a_record_under_way_is_accepted_when_its_stream_stays(site):
    waiting = asyncio.create_task(site.post(signed(BODY)))
    while not site.store._writer.operations_open:
        await asyncio.sleep(0)
    site.ingress.set_webhooks([spec("github", path="/moved", signature=OPEN, shards=4)])
    assert (await waiting).status == 202


async def test_draining_refuses_new_requests(site):
    """S1: 503 with Retry-After once the router stops."""
    site.ingress.drain()
    reply = await site.post(signed(BODY))
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert await site.store.streams.stats(ARN + "github") == []


async def test_a_full_store_is_503_and_loses_nothing(tmp_path):
    store = SqliteStore(tmp_path / "data", StoreSettings(bytes_max=1 << 20))
    await store.open()
    ingress = Ingress(store.streams, resolve, caller=LocalCaller(no_function))
    ingress.set_webhooks(SPECS)
    client = await connect(await ingress.start("127.0.0.1", 0))
    accepted, refused = [], None
    for _ in range(400):
        await client.send(post(b"x" * 100_000, "/large"))
        reply = await client.reply()
        if reply.status != 202:
            refused = reply
            break
        accepted.append(json.loads(reply.body)["id"])
    assert refused is not None
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    stored = (await store.streams.read(ARN + "large", shard_id(0), 0, 1_000, 1 << 30)).records
    assert [record.event_id for record in stored] == accepted
    await client.close()
    await ingress.stop(1)
    await store.close()


class Failing:
    """A store that says no, or says nothing until told to."""

    def __init__(self, error=None):
        self.error = error
        self.gate = asyncio.Event()

    def append_nowait(self, record):
        return asyncio.ensure_future(self.fail())

    async def fail(self):
        await self.gate.wait()
        raise self.error


def request(name, body=BODY):
    head = Head("POST", f"/{name}", "", {"host": "t"}, None, len(body), "::1")
    return Request(head, body)


@pytest.mark.parametrize(
    ("error", "result"), [(StoreFull("full"), "store_full"), (StoreError("broken"), "store_failed")]
)
async def test_what_is_not_stored_is_not_accepted(error, result):
    streams = Failing(error)
    streams.gate.set()
    webhooks = WebhookIngress(streams, [spec("failing", signature=OPEN)], resolve)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            response = await answered(webhooks, request("failing"))
            assert response.status == 503
            assert ("retry-after", "1") in response.headers
    assert counted("failing", result) == 3
    assert len(logs) == (result == "store_failed")
    assert webhooks.waiting == 0


async def test_requests_waiting_for_their_commit_are_bounded():
    streams = Failing(StoreFull("full"))
    webhooks = WebhookIngress(streams, [spec("bounded", signature=OPEN)], resolve, waiting_max=3)
    waiting = [asyncio.create_task(answered(webhooks, request("bounded"))) for _ in range(3)]
    await asyncio.sleep(0)
    assert webhooks.waiting == 3
    assert webhooks.on_head(request("bounded").head).status == 503
    assert (await answered(webhooks, request("bounded"))).status == 503
    assert counted("bounded", "overloaded") == 2
    streams.gate.set()
    await asyncio.gather(*waiting)
    assert webhooks.waiting == 0


def test_a_rotated_secret_is_seen_without_a_restart():
    values = {"ref": "old"}
    signature = Signature(scheme="github", secrets=("ref",))
    route = Route(spec("rotating", signature=signature), values.__getitem__)

    def refusal(secret, now_s):
        digest = hmac.digest(secret.encode(), BODY, "sha256").hex()
        headers = {"x-hub-signature-256": f"sha256={digest}"}
        head = Head("POST", "/rotating", "", headers, None, len(BODY), "::1")
        return route.scheme(now_s).refusal(head, BODY, 0)

    assert refusal("old", 0) is None
    values["ref"] = "new"
    assert refusal("old", 29) is None
    assert refusal("new", 31) is None
    assert refusal("old", 31) == "signature_invalid"


def test_a_secret_taken_away_is_not_remembered():
    values = {"ref": "old"}

    def take(text):
        if text not in values:
            raise ConfigError("nowhere")
        return values[text]

    route = Route(spec("revoked", signature=Signature(scheme="github", secrets=("ref",))), take)
    assert route.scheme(0) is not None
    values.clear()
    assert route.scheme(31) is None
    values["ref"] = "back"
    assert route.scheme(32) is None
    assert route.scheme(34) is not None


def test_refusals_before_a_webhook_is_known_are_counted():
    name = "router_ingress_refused_total"
    before = REGISTRY.get_sample_value(name, {"reason": "malformed"}) or 0
    count_refused("malformed")
    assert REGISTRY.get_sample_value(name, {"reason": "malformed"}) == before + 1
