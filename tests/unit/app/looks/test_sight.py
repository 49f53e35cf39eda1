"""Snapshots of mappings on a real store: what they say, and what they never say."""

import pytest

from router.app.admin import Admin
from router.app.looks.asked import Asked
from router.app.looks.details import Details, function_settings
from router.app.looks.sight import Gatherer
from router.destinations.lane import Trouble
from router.model.event_invoke import EventInvoke
from router.model.resources import Function, Queue
from router.model.version import Alias, Version
from router.store.base import Address, OutboxDepth
from router.store.catalog import put
from router.store.queues import NewMessage
from router.telemetry import metrics, recent
from tests.unit.mapping.house import UUID, House, mapping, webhook
from tests.unit.ops import made

FAILED = "arn:aws:sqs:us-east-1:000000000000:failed"
ELSEWHERE = "arn:aws:sqs:us-east-1:000000000000:elsewhere"


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


class Courier:
    """Somebody whose deliveries fail."""

    depths = (OutboxDepth(Address(ELSEWHERE), rows=3, oldest_ms=made.WALL_MS - 5, has_due=False),)

    def trouble(self, address):
        assert address.destination == ELSEWHERE
        return Trouble("unreachable", "no route", made.WALL_MS - 2)


class Looker:
    def __init__(self, house):
        self.admin = Admin(house.catalog, house.store, house.manager, dict, self.wall_ms)
        self.problems = {"hook": "no secret"}
        self.asked = Asked(
            house.catalog,
            house.store,
            house.manager,
            measure=house.manager.measure,
            oldest_ms=self.admin.oldest_ms,
            webhook_problems=lambda: self.problems,
            wall_ms=self.wall_ms,
        )
        self.gatherer = Gatherer(
            house.catalog,
            house.manager,
            Courier(),
            self.asked,
            router=made.router,
            problems=lambda: {"f": "KeyError"},
            waiting=lambda: {"f": 4},
            now_ms=lambda: made.BEGIN_MS,
            wall_ms=self.wall_ms,
        )

    def wall_ms(self):
        return made.WALL_MS

    async def look(self, *, is_shown=True):
        return await self.gatherer.snapshot(is_shown=is_shown)


def function(name="f", **more):
    facts = {"runtime": "python3.12", "handler": "app.handler", "role": "r", "code_path": "/c",
             "code_hash": "0", "last_modified_ms": 1, "revision_id": "1"}  # fmt: skip
    return Function(name=name, **facts | more)


async def test_a_mapping_that_runs_and_one_that_is_off(house):
    looker = Looker(house)
    house.functions.gate.clear()
    off = "00000000-0000-0000-0000-000000000002"
    await house.catalog.commit(
        [
            webhook("a"),
            put("function", "f", function()),
            mapping("a", batch_size=1, name="looked-at"),
            mapping("a", uuid=off, name="off", is_enabled=False),
        ]
    )
    await house.append("a", "a1", "a2")
    await house.sees("a1")
    metrics.RECORDS_FAILED.labels("looked-at").inc(2)
    busy, idle = (await looker.look()).mappings
    assert (busy.name, busy.state, busy.in_flight, busy.held) == ("looked-at", "Enabled", 1, 2)
    assert (busy.lag, busy.failed, busy.is_orphan) == (2, 2, False)
    assert busy.oldest_ms is not None
    assert (idle.state, idle.is_enabled, idle.in_flight, idle.lag) == ("Disabled", False, 0, 2)
    assert idle.oldest_ms is not None  # looked for in its source


async def test_an_orphan_and_what_functions_tell(house):
    looker = Looker(house)
    version = Version(number=3, function=function())
    alias = Alias(function="f", name="live", version="3", revision_id="1")
    await house.catalog.commit([webhook("a"), mapping("a")])
    (orphan,) = (await looker.look()).mappings
    assert orphan.is_orphan
    await house.catalog.commit(
        [
            put("function", "f", function(reserved_concurrency=0)),
            put("version", "f:3", version),
            put("alias", "f:live", alias),
        ]
    )
    (told,) = (await looker.look()).functions
    assert (told.versions, told.aliases, told.reserved) == (1, ("live",), 0)
    assert (told.problem, told.waiting) == ("KeyError", 4)


async def test_a_webhook_with_its_counts_and_its_problem(house):
    looker = Looker(house)
    await house.catalog.commit([webhook("hook", shards=2)])
    for result, count in (("accepted", 5), ("duplicate", 2), ("bad_signature", 1)):
        metrics.WEBHOOK_REQUESTS.labels("hook", result).inc(count)
    (told,) = (await looker.look()).webhooks
    assert (told.accepted, told.duplicates, told.refused) == (5, 2, {"bad_signature": 1})
    assert (told.problem, told.shards, told.scheme) == ("no secret", 2, "none")


async def test_destinations_are_those_that_somebody_names(house):
    looker = Looker(house)
    failed = Queue(name="failed", arn=FAILED, created_s=1, modified_s=1)
    policy = f'{{"deadLetterTargetArn": "{FAILED}", "maxReceiveCount": 3}}'
    source = Queue(
        name="jobs", arn=FAILED.replace("failed", "jobs"), created_s=1, modified_s=1,
        attributes={"RedrivePolicy": policy},
    )  # fmt: skip
    good = EventInvoke(function="f", qualifier="$LATEST", on_success=source.arn, last_modified_ms=1)
    await house.catalog.commit(
        [
            webhook("a"),
            mapping("a", destination_arn=FAILED),
            put("queue", "failed", failed),
            put("queue", "jobs", source),
            put("event_invoke", "f:$LATEST", good),
        ]
    )
    message = NewMessage(
        queue="failed", message_id="1", body="secret", sent_ms=7, visible_ms=7, expires_ms=1 << 60
    )
    await house.store.queues.send([message])
    told = {it.address: it for it in (await looker.look()).destinations}
    assert set(told) == {FAILED, source.arn, ELSEWHERE}
    assert (told[FAILED].kept, told[FAILED].kept_oldest_ms) == (1, 7)
    assert told[FAILED].users == ("jobs", "m")
    assert [told[it].is_read for it in (FAILED, source.arn)] == [False, True]
    assert told[ELSEWHERE].waiting == 3
    assert told[ELSEWHERE].trouble == "unreachable: no route"
    assert "secret" not in repr(told)


async def test_for_the_past_alone_nothing_is_asked_that_only_pages_show(house):
    looker = Looker(house)
    queue = Queue(name="failed", arn=FAILED, created_s=1, modified_s=1)
    await house.catalog.commit(
        [webhook("a"), mapping("a", destination_arn=FAILED), put("queue", "failed", queue)]
    )
    made_of = await looker.look(is_shown=False)
    assert made_of.destinations == []
    assert looker.asked.queues == {}


def test_of_a_functions_variables_only_the_names_are_told():
    told = function_settings(function(environment={"B": "value-b", "A": "value-a"}))
    assert ("EnvironmentVariables", "A, B") in told
    assert "value-" not in repr(told)


async def test_details_of_a_mapping_and_a_function(house):
    looker = Looker(house)
    details = Details(
        house.catalog, house.manager, looker.admin, region="us-east-1", account="000000000000"
    )
    alias = Alias(
        function="f", name="live", version="3", weights={"4": 0.1}, revision_id="1",
        description="the one",
    )  # fmt: skip
    await house.catalog.commit(
        [
            webhook("a"),
            put("function", "f", function()),
            put("alias", "f:live", alias),
            *(
                put("version", f"f:{n}", Version(number=n, function=function(description=f"v{n}")))
                for n in (3, 4)
            ),
            mapping("a", batch_size=7),
        ]
    )
    recent.BATCHES.of(UUID).note(recent.Attempt(1, "succeeded", 1.0, "r1"))
    told = await details.mapping(UUID)
    assert ("BatchSize", 7) in told.settings
    assert [name for name, *_ in told.shards] == ["shardId-000000000000"]
    assert told.recent[0].request_id == "r1"
    assert await details.mapping("none") is None
    of_function = await details.function("f")
    assert of_function.mappings == [(UUID, "m")]
    assert of_function.versions == [
        ("live", "alias of 3, 10% to version 4", "the one"),
        ("4", "published version", "v4"),
        ("3", "published version", "v3"),
    ]
    assert await details.function("none") is None
