"""What the CLI asks of a running router about a mapping at work."""

import pytest

from router.app.admin import Admin
from router.model.errors import NotFound
from router.model.resources import Mapping, Queue
from router.store.catalog import put
from router.store.queues import NewMessage
from tests.unit.mapping.house import UUID, House, mapping, webhook

QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"
NOW_MS = 4_000_000_000_000
"""Long after anything a test does."""


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


@pytest.fixture
def admin(house):
    return Admin(house.catalog, house.store, house.manager, dict, lambda: NOW_MS)


async def test_a_mapping_that_runs_tells_its_lanes_and_its_oldest_record(house, admin):
    house.functions.gate.clear()
    await house.catalog.commit([webhook("a"), mapping("a", batch_size=1)])
    await house.append("a", "a1", "a2")
    await house.sees("a1")
    told = await admin.describe_mapping({"UUID": UUID})
    (lane,) = told["Lanes"]
    assert (told["Lag"], told["InFlight"], told["Held"], told["BusyLanes"]) == (2, 1, 2, 1)
    assert told["LastError"] is None
    assert told["OldestRecordAgeSeconds"] == lane["OldestRecordAgeSeconds"] > 1_000
    assert (lane["State"], lane["Records"], lane["Lane"]) == ("running", 2, "0")
    house.functions.gate.set()
    await house.sees("a2")

    async def is_done():
        return (await admin.describe_mapping({"UUID": UUID}))["OldestRecordAgeSeconds"] is None

    await house.settles(is_done)


async def test_a_mapping_at_rest_tells_what_waits_for_it(house, admin):
    await house.catalog.commit([webhook("a"), mapping("a", is_enabled=False)])
    assert (await admin.describe_mapping({"UUID": UUID}))["OldestRecordAgeSeconds"] is None
    await house.append("a", "a1")
    told = await admin.describe_mapping({"UUID": UUID})
    assert (told["Lag"], told["Lanes"]) == (1, [])
    assert told["OldestRecordAgeSeconds"] > 1_000


async def test_of_a_queue_the_oldest_message_counts_read_or_not(house, admin):
    queue = Queue(name="jobs", arn=QUEUE, created_s=1, modified_s=1)
    await house.catalog.commit([put("queue", "jobs", queue)])
    reader = Mapping(uuid=UUID, name="m", function="f", event_source_arn=QUEUE, last_modified_ms=1)
    nothing_read = house.manager.view(UUID)
    assert await admin.oldest_ms(reader, nothing_read) is None
    message = NewMessage(
        queue="jobs", message_id="1", body="b", sent_ms=5, visible_ms=5, expires_ms=NOW_MS
    )
    await house.store.queues.send([message])
    assert await admin.oldest_ms(reader, nothing_read) == 5


async def test_the_last_error_says_when(house, admin):
    await house.catalog.commit([webhook("a"), mapping("a")])

    async def runs():
        return house.manager._runs[UUID].life is not None

    await house.settles(runs)
    house.manager._runs[UUID].life.shell.went_wrong("cannot read: the disk is gone")
    error = (await admin.describe_mapping({"UUID": UUID}))["LastError"]
    assert error["Text"] == "cannot read: the disk is gone"
    assert error["AgoSeconds"] > 1_000


async def test_a_mapping_nobody_knows(admin):
    with pytest.raises(NotFound):
        await admin.describe_mapping({"UUID": "x"})
