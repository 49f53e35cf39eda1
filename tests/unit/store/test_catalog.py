"""The catalog: durable, then visible, then known; all three or none."""

import asyncio

import pytest

from router.model.errors import StoreError
from router.model.resources import Queue
from router.store.base import Delete
from router.store.catalog import KINDS, Catalog, CatalogError, put

QUEUE = Queue(name="q", arn="arn:aws:sqs:us-east-1:000000000000:q", created_s=1, modified_s=1)


class SlowMetadata:
    """Writes when told to; as the real one, also when its caller was cancelled."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.written = []
        self.error = None

    async def load(self):
        return ()

    async def apply(self, changes):
        async def write():
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.written.append(changes)

        await asyncio.shield(asyncio.ensure_future(write()))


@pytest.fixture
def metadata():
    return SlowMetadata()


@pytest.fixture
def catalog(metadata):
    return Catalog(metadata)


async def test_a_change_is_durable_then_visible_then_known(catalog, metadata):
    heard = []
    catalog.listen(lambda changes: heard.append((list(metadata.written), dict(catalog.queues))))
    metadata.gate.set()
    changes = [put("queue", "q", QUEUE)]
    await catalog.commit(changes)
    assert heard == [([changes], {"q": QUEUE})]
    await catalog.commit([Delete("queue", "q")])
    assert catalog.queues == {}


async def test_what_is_written_becomes_known_also_when_its_caller_left(catalog, metadata):
    """Else what runs and what is stored differ until the next start."""
    heard = []
    catalog.listen(heard.append)
    changes = [put("queue", "q", QUEUE)]
    committing = asyncio.ensure_future(catalog.commit(changes))
    following = asyncio.ensure_future(catalog.commit([Delete("queue", "q")]))
    for _ in range(2):  # impatient callers cancel twice
        await asyncio.sleep(0.01)
        committing.cancel()
    await asyncio.sleep(0.01)
    assert heard == []  # nobody else may change anything before it is known what came of it
    metadata.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await following
    assert heard == [changes, [Delete("queue", "q")]]
    assert catalog.queues == {}


async def test_a_change_that_failed_after_its_caller_left_is_not_known(catalog, metadata):
    metadata.error = StoreError("the disk is broken")
    committing = asyncio.ensure_future(catalog.commit([put("queue", "q", QUEUE)]))
    await asyncio.sleep(0.01)
    committing.cancel()
    metadata.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert catalog.queues == {}


async def test_a_listener_that_tells_others_is_waited_for(catalog, metadata):
    gate, known = asyncio.Event(), []

    async def tell():
        await gate.wait()
        known.append("told")

    catalog.listen(lambda _: tell())
    metadata.gate.set()
    committing = asyncio.ensure_future(catalog.commit([put("queue", "q", QUEUE)]))
    await asyncio.sleep(0.01)
    assert not committing.done()
    gate.set()
    await committing
    assert known == ["told"]


def test_every_kind_has_a_table(catalog):
    for kind in KINDS:
        assert catalog.table(kind) == {}
    with pytest.raises(CatalogError, match="unknown kind 'dream'"):
        catalog.table("dream")
