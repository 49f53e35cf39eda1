"""A stream is cut anew while its webhook takes in: nothing is lost, nothing lands behind an end."""

import asyncio
import json

import msgspec
import pytest

from router.config import StoreSettings
from router.http.server import HttpServer
from router.http.values import Head, HttpLimits, Request
from router.ingress.listener import count_refused
from router.ingress.webhooks import WebhookIngress
from router.model.shard import KeyRanges, cut_anew
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.store.base import CutStream
from router.store.sqlite.store import SqliteStore
from tests.unit.http.client import answered, connect, post

KEYS = [f"key-{number}" for number in range(40)]
SPEC = WebhookSpec(
    name="hook",
    arn="arn:aws:router:us-east-1:000000000000:webhook/hook",
    path="/hook",
    signature=Signature(scheme="none"),
    partition_key="$.k",
    shards=4,
    deduplicate=Deduplicate(key="header.X-Id"),
)


class Streams:
    """The store's streams, with something that happens right after the next append set out."""

    def __init__(self, streams):
        self._streams = streams
        self.shards = []
        self.then = None

    def append_nowait(self, record):
        self.shards.append(record.shard)
        future = self._streams.append_nowait(record)
        then, self.then = self.then, None
        if then is not None:
            then()
        return future

    def append_all_nowait(self, records):
        future = self._streams.append_all_nowait(records)
        self.shards += [record.shard for record in records]
        then, self.then = self.then, None
        if then is not None:
            then()
        return future


class Site:
    """A webhook on a store."""

    def __init__(self, folder):
        self.store = SqliteStore(folder / "data", StoreSettings())
        self.spec = SPEC

    async def open(self):
        await self.store.open()
        self.streams = Streams(self.store.streams)
        self.ingress = WebhookIngress(self.streams, [SPEC], str)

    def cut(self, count):
        """The new webhook, and what makes it so in the store."""
        before = self.spec.stream_shards
        lineage = cut_anew(before, count)
        self.spec = msgspec.structs.replace(self.spec, shards=count, lineage=lineage)
        return CutStream(
            SPEC.arn,
            tuple(shard.name for shard in before if not shard.is_closed),
            tuple(shard.name for shard in lineage if not shard.is_closed),
        )

    def show(self):
        self.ingress.set_webhooks([self.spec])

    async def post(self, key="a", number=0, event=""):
        body = json.dumps({"k": key, "n": number}).encode()
        headers = {"x-id": event} if event else {}
        head = Head("POST", "/hook", "", headers, None, len(body), "::1")
        return await answered(self.ingress, Request(head, body))

    async def records(self, shard):
        return (await self.store.streams.read(SPEC.arn, shard, 0, 10_000, 1 << 23)).records


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    await site.open()
    yield site
    await site.store.close()


async def test_d1_d5_a_record_that_meets_a_closed_shard_goes_to_the_one_that_follows(site):
    old = KeyRanges(site.spec.stream_shards).shard_of("a")
    await site.store.metadata.apply([site.cut(7)])
    site.streams.then = site.show
    response = await site.post()
    assert response.status == 202
    new = KeyRanges(site.spec.stream_shards).shard_of("a")
    assert site.streams.shards == [old, new]
    (stored,) = await site.records(new)
    assert response.body == b'{"id":"%b"}' % stored.event_id.encode()
    assert await site.records(old) == []
    assert site.ingress.waiting == 0


async def test_d1_d5_a_batch_that_meets_closed_shards_goes_on_as_a_whole(site):
    """Also where only some of its shards are closed, and some of its events are repetitions."""
    site.spec = msgspec.structs.replace(
        SPEC,
        form="CloudEvents",
        partition_key="cloudevent.subject",
        deduplicate=Deduplicate(key=("cloudevent.source", "cloudevent.id")),
    )
    site.show()

    async def send(first, last):
        events = [
            {"specversion": "1.0", "id": str(n), "source": "s", "type": "t", "subject": f"k{n % 9}"}
            for n in range(first, last)
        ]
        body = json.dumps(events).encode()
        headers = {"content-type": "application/cloudevents-batch+json"}
        head = Head("POST", "/hook", "", headers, None, len(body), "::1")
        response = await answered(site.ingress, Request(head, body))
        assert response.status == 202
        return json.loads(response.body)["ids"]

    ids = await send(0, 50)
    await site.store.metadata.apply([site.cut(7)])
    site.streams.then = site.show
    again = await send(40, 100)
    assert again[:10] == ids[40:]
    stored = {}
    for shard in site.spec.stream_shards:  # parents before their children
        for record in await site.records(shard.name):
            stored.setdefault(record.key, []).append(record.event_id)
    everything = ids + again[10:]
    assert stored == {f"k{n}": everything[n::9] for n in range(9)}
    assert site.ingress.waiting == 0


async def test_a_record_that_finds_no_open_shard_is_asked_for_again_later(site):
    """Tries are bounded; the answer says nothing was kept."""
    await site.store.metadata.apply([site.cut(2)])
    response = await site.post()
    assert (response.status, ("retry-after", "1") in response.headers) == (503, True)
    assert len(site.streams.shards) == 3
    assert site.ingress.waiting == 0
    site.show()
    assert (await site.post()).status == 202


async def test_a_webhook_removed_before_the_second_try_takes_nothing(site):
    await site.store.metadata.apply([site.cut(2)])
    site.streams.then = lambda: site.ingress.set_webhooks([])
    assert (await site.post()).status == 503
    assert len(site.streams.shards) == 1


async def test_a_repetition_is_told_across_the_change(site):
    """Deduplication is the stream's: the first answer counts, whatever shard it led to."""
    first = await site.post(event="d-1")
    await site.store.metadata.apply([site.cut(7)])
    before = await site.post(event="d-1")
    site.show()
    after = await site.post(event="d-1")
    assert first.body == before.body == after.body
    # A refused try must not pass for the first one.
    await site.store.metadata.apply([site.cut(3)])
    site.streams.then = site.show
    second = await site.post(event="d-2")
    again = await site.post(event="d-2")
    assert second.status == 202
    assert second.body == again.body


async def test_d5_every_key_keeps_its_order_while_shards_change_under_load(site):
    """Each key posts its next record once the last one is accepted; the shards change 20 times."""
    accepted = {key: [] for key in KEYS}
    is_over = asyncio.Event()

    async def send(key):
        while not is_over.is_set():
            response = await site.post(key, len(accepted[key]))
            if response.status == 202:
                accepted[key].append(json.loads(response.body)["id"])

    async with asyncio.TaskGroup() as senders:
        for key in KEYS:
            senders.create_task(send(key))
        for count in (7, 2, 1, 5, 3) * 4:
            await asyncio.sleep(0.01)
            await site.store.metadata.apply([site.cut(count)])
            site.show()
        is_over.set()
    found = {key: [] for key in KEYS}
    for shard in site.spec.stream_shards:  # parents before their children
        for record in await site.records(shard.name):
            found[record.key].append(record.event_id)
    assert found == accepted
    assert len(set(site.streams.shards)) > 40


async def test_over_a_socket_the_client_sees_one_answer(site):
    server = HttpServer(site.ingress, HttpLimits(), count_refused)
    client = await connect(await server.start("127.0.0.1", 0))
    await site.store.metadata.apply([site.cut(7)])
    site.streams.then = site.show
    await client.send(post(b'{"k":"a"}', "/hook") + post(b'{"k":"b"}', "/hook"))
    assert [(await client.reply()).status, (await client.reply()).status] == [202, 202]
    assert len(site.streams.shards) == 3
    await client.close()
    await server.stop(1)
