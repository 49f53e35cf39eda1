"""A manager on a real store, catalog and dispatcher; only functions are played."""

import asyncio
import time

import msgspec

from router.app.connect import EmbeddedConnector, KindTable, QueueConnector, QueueMailbox
from router.dispatch.dispatcher import Dispatcher
from router.embedded.queues import EmbeddedQueues
from router.mapping.budget import Budget
from router.mapping.driver import SystemClock
from router.mapping.kinds.queue import QueueKind
from router.mapping.kinds.stream import StreamKind
from router.mapping.manager import MappingManager
from router.model.function import FunctionVersion, InvokeReply
from router.model.resources import Mapping, Webhook
from router.model.shard import KeyRanges, cut_anew
from router.model.webhook import Signature, WebhookSpec
from router.sources.sqs_format import SqsFormat
from router.store.base import CutStream, NewRecord
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S

SLOTS = 8
UUID = "00000000-0000-0000-0000-000000000001"
FUNCTION = FunctionVersion(
    name="f",
    arn="arn:aws:lambda:us-east-1:000000000000:function:f",
    runtime="python3.11",
    handler="app.handler",
    code_path="/code",
    code_hash="0",
)


def arn(name):
    return f"arn:aws:router:us-east-1:000000000000:webhook/{name}"


def webhook(name, shards=1):
    spec = WebhookSpec(
        name=name,
        arn=arn(name),
        path=f"/{name}",
        signature=Signature(scheme="none"),
        shards=shards,
    )
    return put("webhook", name, Webhook(spec=spec))


def mapping(source="a", *, event_source_arn=None, uuid=UUID, name="m", **settings):
    value = Mapping(
        uuid=uuid,
        name=name,
        function="f",
        event_source_arn=event_source_arn or arn(source),
        last_modified_ms=int(time.time() * 1000),
        **settings,
    )
    return put("mapping", uuid, value)


def shards_of(house, source):
    return house.catalog.webhooks[source].spec.stream_shards


class Functions:
    """Every function: notes the bodies it is given, and waits while the gate is shut."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen = []
        self.running = self.running_max = 0
        self.delay_s = 0.0

    async def invoke(self, request):
        event = msgspec.json.decode(request.payload)
        self.seen += [record["body"] for record in event["Records"]]
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await self.gate.wait()
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        return InvokeReply(payload=b"null")

    def is_shared(self, name, qualifier):
        return False

    def get_for_mapping(self, name, qualifier, *, draw=None):
        assert (name, qualifier) == ("f", None)
        return FUNCTION


class House:
    """A manager on a store."""

    def __init__(self, folder, buffer_bytes_max=1 << 40):
        self.folder = folder
        self.budget = Budget(buffer_bytes_max)
        self.functions = Functions()

    async def open(self):
        self.store = SqliteStore(self.folder)
        await self.store.open()
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.load()
        dispatcher = Dispatcher(self.functions, SLOTS)
        streams = StreamKind(
            self.catalog,
            self.store,
            EmbeddedConnector(self.catalog, self.store.streams),
            dispatcher,
            QueueMailbox(self.catalog),
            SystemClock(),
            self.budget,
        )
        self.manager = MappingManager(
            self.catalog,
            KindTable({"router": streams, "sqs": self._queue_kind(dispatcher)}),
            streams,
            dispatcher,
            self.functions,
            budget=self.budget,
            region="us-east-1",
            account="000000000000",
            backoff_ms_max=60_000,
        )
        await self.manager.start()

    def _queue_kind(self, dispatcher):
        self.queues = EmbeddedQueues(
            self.catalog,
            self.store.queues,
            SystemClock().wall_ms,
            region="us-east-1",
            account="000000000000",
        )
        connect = QueueConnector(self.queues).source
        return QueueKind(connect, SqsFormat, dispatcher, SystemClock(), self.budget, SLOTS)

    async def close(self):
        self.functions.gate.set()
        await self.manager.drain(5)
        await self.store.close()

    async def append(self, source, *bodies, shard=0):
        for body in bodies:
            await self.store.streams.append(
                NewRecord(
                    stream=arn(source),
                    shard=f"shardId-{shard:012d}",
                    event_id=body,
                    key="k",
                    arrival_ms=int(time.time() * 1000),
                    data=b'"body":"%b"}' % body.encode(),
                    size_bytes=200,
                )
            )

    async def append_keyed(self, source, key, body):
        """To the shard of its key, as ingress does."""
        spec = self.catalog.webhooks[source].spec
        await self.store.streams.append(
            NewRecord(
                stream=spec.arn,
                shard=KeyRanges(spec.stream_shards).shard_of(key),
                event_id=body,
                key=key,
                arrival_ms=int(time.time() * 1000),
                data=b'"body":"%b"}' % body.encode(),
                size_bytes=200,
            )
        )

    async def cut(self, source, count):
        """Change a webhook's Shards, as applying a template does."""
        before = self.catalog.webhooks[source].spec
        lineage = cut_anew(before.stream_shards, count)
        after = msgspec.structs.replace(before, shards=count, lineage=lineage)
        closes = tuple(shard.name for shard in before.stream_shards if not shard.is_closed)
        opens = tuple(shard.name for shard in lineage if not shard.is_closed)
        change = CutStream(before.arn, closes, opens)
        await self.catalog.commit([change, put("webhook", source, Webhook(spec=after))])

    async def sees(self, *bodies):
        """Wait until all of them reached the function since it was asked last; in this order."""
        async with asyncio.timeout(PATIENCE_S):
            while set(bodies) - set(self.functions.seen):
                await asyncio.sleep(0.005)
        assert [body for body in self.functions.seen if body in bodies] == list(bodies)

    async def settles(self, is_true):
        async with asyncio.timeout(PATIENCE_S):
            while not await is_true():
                await asyncio.sleep(0.005)

    async def position(self, shard=0):
        progress = await self.store.progress.load(UUID)
        found = progress.get(f"shardId-{shard:012d}")
        return None if found is None else found.position
