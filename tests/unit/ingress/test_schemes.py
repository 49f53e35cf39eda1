"""Every kind of sender from the socket to the real store, answered as it insists."""

import base64
import json
from urllib.parse import urlencode

import pytest

from router.config import StoreSettings
from router.ingress.listener import Ingress
from router.ingress.senders import default_dedup_key
from router.ingress.url_calls import LocalCaller
from router.model.errors import StoreFull
from router.model.shard import shard_id
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.sources.webhook_event import build_event
from router.store.sqlite.store import SqliteStore
from router.telemetry import metrics
from router.telemetry.metrics import REGISTRY
from tests.senders import digest_query, proof
from tests.unit.http.client import connect, no_function, post

ARN = "arn:aws:router:us-east-1:000000000000:webhook/"
KEY = "c2VjcmV0LWtleS1vZi0yNC1ieXRlcw=="
FORM = "application/x-www-form-urlencoded"
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "a"}
OPTIONS = {
    "twilio": {"public_url": "https://hooks.example.com/twilio"},
    "hmac-sha512": {
        "header": "X-Signature",
        "prefix": "sha512=",
        "encoding": "base64",
        "template": "{id}.{timestamp}.{body}",
        "id_header": "X-Id",
        "timestamp_header": "X-Timestamp",
    },
}


def spec(name, scheme=None, form="Any", **options):
    scheme = scheme or name
    secrets = () if scheme == "none" else ("old-" + KEY, KEY)
    if scheme in {"svix", "standard-webhooks"}:
        secrets = ("whsec_" + base64.b64encode(b"o" * 24).decode(), "whsec_" + KEY)
    key = default_dedup_key(scheme, form)
    return WebhookSpec(
        name=name,
        arn=ARN + name,
        path=f"/{name}",
        signature=Signature(scheme=scheme, secrets=secrets, **OPTIONS.get(scheme, {})),
        form=form,
        deduplicate=Deduplicate(key=key) if key else None,
        **options,
    )


SPECS = (
    *(spec(name) for name in ("github", "stripe", "slack", "shopify", "twilio", "svix")),
    *(spec(name) for name in ("standard-webhooks", "bearer", "hmac-sha512")),
    spec("events", "bearer", "CloudEvents", partition_key="cloudevent.subject", shards=4),
    spec("open", "none", "CloudEvents", allowed_origins=("good.example",), per_minute_max=3),
    spec("keyed", "slack", partition_key="$.k"),
)


def signed(name, body):
    scheme = {"keyed": "slack", "events": "bearer"}.get(name, name)
    url = f"https://hooks.example.com/twilio?{digest_query(body)}"
    secret = f"whsec_{KEY}" if scheme in {"svix", "standard-webhooks"} else KEY
    return proof(scheme, body, secret, url=url)


def counted(webhook, result):
    labels = {"webhook": webhook, "result": result}
    return REGISTRY.get_sample_value("router_webhook_requests_total", labels) or 0


class Site:
    """A store, an ingress and one client."""

    async def start(self, folder):
        self.store = SqliteStore(folder / "data", StoreSettings())
        await self.store.open()
        self.ingress = Ingress(self.store.streams, str, caller=LocalCaller(no_function))
        self.ingress.set_webhooks(SPECS)
        self.client = await connect(await self.ingress.start("127.0.0.1", 0))

    async def stop(self):
        await self.client.close()
        await self.ingress.stop(1)
        await self.store.close()

    async def send(self, data):
        await self.client.send(data)
        return await self.client.reply()

    async def post(self, name, body, query="", *, secret=True, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if name == "twilio":
            query = digest_query(body)
        proof = signed(name, body) if secret else {}
        path = f"/{name}?{query}" if query else f"/{name}"
        return await self.send(post(body, path, **{**proof, **headers}))

    async def records(self, name, shards=1):
        """The records of a webhook as a function gets them."""
        found = []
        for shard in map(shard_id, range(shards)):
            read = await self.store.streams.read(ARN + name, shard, 0, 10_000, 1 << 26)
            found += json.loads(build_event(read.records, shard))["Records"]
        return found


@pytest.fixture(autouse=True)
def counters_from_zero():
    metrics.WEBHOOK_REQUESTS.clear()
    metrics.WEBHOOK_UNKEYED.clear()


@pytest.fixture
async def site(tmp_path):
    running = Site()
    await running.start(tmp_path)
    yield running
    await running.stop()


BODY = {"id": "evt_1", "event_id": "Ev1", "n": 1}
PLAIN = ["github", "stripe", "slack", "shopify", "twilio", "svix", "standard-webhooks"]


@pytest.mark.parametrize("name", [*PLAIN, "bearer", "hmac-sha512"])
async def test_genuine_is_stored_and_answered(site, name):
    """With the second of two live secrets; D1: what is answered 2xx is there."""
    reply = await site.post(name, BODY)
    assert reply.status == (200 if name in {"slack", "shopify"} else 202)
    (record,) = await site.records(name)
    assert json.loads(record["body"]) == BODY
    if name == "twilio":
        assert b"<Response>" in reply.body
    else:
        assert json.loads(reply.body)["id"]


@pytest.mark.parametrize("name", [*PLAIN, "bearer", "hmac-sha512"])
async def test_not_genuine_is_401_and_stores_nothing(site, name):
    replies = [await site.post(name, BODY, secret=False)]
    if name != "bearer":
        body = json.dumps(BODY).encode()
        other = signed(name, body)
        query = f"?{digest_query(body)}" if name == "twilio" else ""
        replies.append(await site.send(post(body + b" ", f"/{name}{query}", **other)))
    for reply in replies:
        assert reply.status == 401
        assert json.loads(reply.body)["reason"] in metrics_reasons(name)
    assert await site.records(name) == []


def metrics_reasons(name):
    known = ("signature_missing", "signature_invalid", "token_missing", "body_unsigned")
    reasons = {reason for reason in known if counted(name, reason)}
    assert reasons
    return reasons


@pytest.mark.parametrize("name", PLAIN)
async def test_a_repetition_is_told_by_what_the_sender_says(site, name):
    """The default of `Deduplicate.Key`: answered alike, stored once."""
    first = await site.post(name, BODY)
    again = await site.post(name, BODY)
    assert (again.status, again.body) == (first.status, first.body)
    assert len(await site.records(name)) == 1
    assert counted(name, "duplicate") == 1


async def test_slack_s_challenge_is_answered_when_it_is_signed(site):
    body = {"type": "url_verification", "challenge": "c1"}
    reply = await site.post("slack", body)
    assert (reply.status, json.loads(reply.body)) == (200, {"challenge": "c1"})
    assert (await site.post("slack", body, secret=False)).status == 401
    assert await site.records("slack") == []
    assert counted("slack", "handshake") == 1


async def test_slack_is_kept_from_repeating_what_will_never_be_taken(site):
    reply = await site.post("keyed", b"no json")
    assert (reply.status, reply.headers["x-slack-no-retry"]) == (400, "1")
    assert "x-slack-no-retry" not in (await site.post("keyed", {}, secret=False)).headers


async def test_slack_commands_come_as_forms(site):
    reply = await site.post("slack", b"command=%2Fgo&text=x", Content_Type=FORM)
    assert (reply.status, reply.body) == (200, b"")
    (record,) = await site.records("slack")
    assert record["body"] == "command=%2Fgo&text=x"


async def test_github_s_ping_is_an_event(site):
    reply = await site.post("github", {"zen": "z"}, X_GitHub_Event="ping")
    assert reply.status == 202
    (record,) = await site.records("github")
    assert record["headers"]["x-github-event"] == "ping"


async def test_twilio_s_forms(site):
    fields = {"MessageSid": "SM1", "From": "+1415", "Body": "hi é"}
    body = urlencode(fields).encode()
    made = proof("twilio", body, KEY, url="https://hooks.example.com/twilio", form=True)
    headers = {"Content_Type": FORM, "X-Twilio-Signature": made["X-Twilio-Signature"]}
    assert (await site.send(post(body, "/twilio", **headers))).status == 202
    # Behind a proxy that is not to be believed.
    lying = {**headers, "X_Forwarded_Host": "other.example", "X_Forwarded_Proto": "http"}
    assert (await site.send(post(body, "/twilio", **lying))).status == 202
    assert (await site.send(post(body, "/twilio?x=1", **headers))).status == 401
    assert len(await site.records("twilio")) == 2


async def test_a_bearer_token_is_not_kept(site):
    assert (await site.post("bearer", BODY, "access_token=x&a=1")).status == 202
    reply = await site.send(post(b"{}", f"/bearer?access_token={KEY}&a=2"))
    assert reply.status == 202
    records = await site.records("bearer")
    assert KEY not in json.dumps(records)
    assert [record["queryStringParameters"] for record in records] == [{"a": "1"}, {"a": "2"}]
    assert all("authorization" not in record["headers"] for record in records)
    refused = await site.post("bearer", BODY, secret=False)
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_cloudevents_binary_and_structured(site):
    binary = {"ce_id": "b", "ce_source": "/s", "ce_type": "t", "ce_specversion": "1.0"}
    replies = [
        await site.post("events", b"\xff", Content_Type="image/png", **binary),
        await site.post("events", EVENT, Content_Type="application/cloudevents+json"),
    ]
    assert [reply.status for reply in replies] == [202, 202]
    found = await site.records("events", 4)
    one, two = sorted(found, key=lambda record: record["isBase64Encoded"])
    assert json.loads(one["body"]) == EVENT
    assert one["partitionKey"] == "a"
    assert (two["body"], two["headers"]["ce-id"]) == ("/w==", "b")


async def test_a_cloudevent_is_a_repetition_by_source_and_id_in_any_mode(site):
    kind = "application/cloudevents+json"
    first = await site.post("events", EVENT, Content_Type=kind)
    binary = {f"ce_{name}": value for name, value in EVENT.items()}
    again = await site.post("events", b"data", Content_Type="text/plain", **binary)
    batch = "application/cloudevents-batch+json"
    many = await site.post("events", [EVENT, {**EVENT, "id": "2"}], Content_Type=batch)
    other = await site.post("events", {**EVENT, "source": "/o"}, Content_Type=kind)
    first_id = json.loads(first.body)["id"]
    assert json.loads(again.body)["id"] == json.loads(many.body)["ids"][0] == first_id
    assert other.status == 202
    assert len(await site.records("events", 4)) == 3


async def test_a_batch_is_one_answer_and_a_record_for_each_event(site):
    events = [{**EVENT, "id": str(n), "subject": f"s{n % 5}"} for n in range(50)]
    kind = "application/cloudevents-batch+json"
    reply = await site.post("events", events, Content_Type=kind)
    ids = json.loads(reply.body)["ids"]
    assert (reply.status, len(set(ids))) == (202, 50)
    records = await site.records("events", 4)
    stored = [json.loads(record["body"]) for record in records]
    assert sorted(stored, key=lambda event: int(event["id"])) == events
    assert {record["headers"]["content-type"] for record in records} == {
        "application/cloudevents+json"
    }
    for subject in {event["subject"] for event in events}:
        mine = [json.loads(r["body"])["id"] for r in records if r["partitionKey"] == subject]
        assert mine == sorted(mine, key=int)
    again = await site.post("events", events, Content_Type=kind)
    assert json.loads(again.body)["ids"] == ids
    assert counted("events", "accepted") == counted("events", "duplicate") == 1
    empty = await site.post("events", [], Content_Type=kind)
    assert (empty.status, json.loads(empty.body)) == (202, {"ids": []})


@pytest.mark.parametrize(
    "events",
    [
        [EVENT, {**EVENT, "id": ""}],
        [EVENT, {**EVENT, "specversion": "2"}],
        [EVENT, {**EVENT, "id": "2", "data": '"' * 2_000_000}],
        [{**EVENT, "id": str(n)} for n in range(1_001)],
    ],
)
async def test_a_batch_is_stored_whole_or_not_at_all(site, events):
    reply = await site.post("events", events, Content_Type="application/cloudevents-batch+json")
    assert reply.status in {400, 413}
    assert await site.records("events", 4) == []


async def test_a_batch_the_store_refuses_is_503(site, monkeypatch):
    def full(_records):
        raise StoreFull("full")

    monkeypatch.setattr(site.store.streams, "append_all_nowait", full)
    reply = await site.post("events", [EVENT], Content_Type="application/cloudevents-batch+json")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


async def test_what_is_no_cloudevent(site):
    assert (await site.post("events", EVENT, Content_Type="application/json")).status == 400
    reply = await site.post("events", b"x", Content_Type="application/cloudevents+avro")
    assert (reply.status, json.loads(reply.body)["reason"]) == (415, "format_unknown")
    assert counted("events", "format_unknown") == 1
    assert await site.records("events", 4) == []


def options(name, **headers):
    return post(b"", f"/{name}", **headers).replace(b"POST", b"OPTIONS", 1)


async def test_senders_of_cloudevents_ask_first(site):
    reply = await site.send(options("events", WebHook_Request_Origin="a.example"))
    assert (reply.status, reply.headers["allow"]) == (200, "POST, OPTIONS")
    assert reply.headers["webhook-allowed-origin"] == "*"
    assert reply.headers["webhook-allowed-rate"] == "*"
    good = await site.send(
        options("open", WebHook_Request_Origin="good.example", WebHook_Request_Rate="1000")
    )
    assert good.headers["webhook-allowed-origin"] == "good.example"
    assert good.headers["webhook-allowed-rate"] == "3"
    bad = await site.send(options("open", WebHook_Request_Origin="bad.example"))
    assert "webhook-allowed-origin" not in bad.headers
    assert (await site.send(options("github", WebHook_Request_Origin="a.example"))).status == 405
    gets = post(b"", "/events").replace(b"POST", b"GET", 1)
    assert (await site.send(gets)).headers["allow"] == "POST, OPTIONS"
    assert counted("open", "handshake") == 2


async def test_more_than_the_rate_is_429(site):
    binary = {"ce_source": "/s", "ce_type": "t", "ce_specversion": "1.0"}
    replies = [await site.post("open", b"", ce_id=str(n), **binary) for n in range(4)]
    assert [reply.status for reply in replies] == [202, 202, 202, 429]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 20
    assert len(await site.records("open")) == 3
    assert counted("open", "rate") == 1
