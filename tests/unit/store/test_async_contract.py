"""What every store promises about events that nobody waits for."""

import asyncio

import pytest

from router.config import StoreSettings
from router.model.limits import ASYNC_WAIT_MS_MAX, MIB
from router.store.asynchronous import Claim, EventsFull, EventsWaiting, Finished, NewEvent, PutBack
from router.store.base import Address, EnqueuedMessage, OutboxRow
from tests.unit.store.support import update

TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"
FAR_MS = 10**15


def event(request_id, function="f", payload=b"{}", accepted_ms=100, **members):
    return NewEvent(
        request_id=request_id, function=function, payload=payload, accepted_ms=accepted_ms,
        **members,
    )  # fmt: skip


def row(body=b"why", destination=TOPIC, **members):
    return OutboxRow(function="f", destination=destination, body=body, records=1, **members)


def claim(function="f", events_max=10, bytes_max=MIB, until_ms=FAR_MS):
    return Claim(function, events_max, bytes_max, until_ms)


async def take(store, *claims, now_ms=100):
    cycle = await store.asynchronous.cycle((), (), claims or (claim(),), now_ms)
    return cycle.taken


async def ids(store, now_ms=100, **members):
    (taken,) = await take(store, claim(**members), now_ms=now_ms)
    return [one.request_id for one in taken.events]


async def finish(store, *finished):
    return await store.asynchronous.cycle(finished, (), (), 100)


async def test_an_event_comes_back_whole_and_once(store):
    await store.asynchronous.enqueue(
        event("r-1", payload=b'{"a":1}', qualifier="live", trace_id="Root=1", accepted_ms=90)
    )
    (taken,) = await take(store)
    (one,) = taken.events
    assert (one.request_id, one.function, one.qualifier) == ("r-1", "f", "live")
    assert (one.payload, one.trace_id, one.age_ms) == (b'{"a":1}', "Root=1", 10)
    assert (one.attempts, one.held_up, one.has_response) == (0, 0, False)
    assert taken.due_in_ms == FAR_MS - 100, "it would come back by itself"
    assert await ids(store) == []
    await finish(store, Finished(one.id))
    assert await ids(store, now_ms=10_000) == []
    assert store.asynchronous.waiting() == {}


async def test_the_same_request_id_is_the_same_event_while_it_waits(store):
    await asyncio.gather(*(store.asynchronous.enqueue(event("r-1")) for _ in range(3)))
    await store.asynchronous.enqueue(event("r-1", payload=b"other"))
    assert store.asynchronous.waiting() == {"f": EventsWaiting(1, 2)}
    (taken,) = await take(store)
    assert [one.payload for one in taken.events] == [b"{}"]
    await finish(store, Finished(taken.events[0].id))
    await store.asynchronous.enqueue(event("r-1"))
    assert await ids(store) == ["r-1"]


async def test_each_functions_events_are_apart(store):
    for number in range(3):
        await store.asynchronous.enqueue(event(f"f-{number}"))
        await store.asynchronous.enqueue(event(f"g-{number}", "g"))
    of_f, of_g, of_h = await take(store, claim(events_max=2), claim("g"), claim("h"))
    assert [one.request_id for one in of_f.events] == ["f-0", "f-1"]
    assert of_f.due_in_ms == 0
    assert [one.request_id for one in of_g.events] == ["g-0", "g-1", "g-2"]
    assert (of_h.events, of_h.due_in_ms) == ([], None)


async def test_a_claim_brings_no_more_bytes_than_asked_for_but_one_event(store):
    for number in range(4):
        await store.asynchronous.enqueue(event(f"r-{number}", payload=b"x" * 100))
    assert await ids(store, bytes_max=250) == ["r-0", "r-1"]
    assert await ids(store, bytes_max=1) == ["r-2"]


async def test_what_is_put_back_comes_when_it_is_due(store):
    await store.asynchronous.enqueue(event("r-1"))
    (taken,) = await take(store)
    back = PutBack(taken.events[0].id, 700, attempts=1, held_up=0, response=b"said")
    (again,) = (await store.asynchronous.cycle((), (back,), (claim(),), 699)).taken
    assert (again.events, again.due_in_ms) == ([], 1)
    (again,) = await take(store, now_ms=700)
    (one,) = again.events
    assert (one.attempts, one.held_up, one.has_response) == (1, 0, True)
    assert await store.asynchronous.response(one.id) == b"said"
    back = PutBack(one.id, 700, attempts=1, held_up=4)
    await store.asynchronous.cycle((), (back,), (), 700)
    (again,) = await take(store, now_ms=700)
    assert (again.events[0].held_up, again.events[0].has_response) == (4, True)
    assert await store.asynchronous.response(999) is None


async def test_for_how_long_what_is_due_first_has_waited(store):
    queue = store.asynchronous
    assert await queue.overdue_ms(500) == {}
    for request_id, function, accepted_ms in (("1", "f", 100), ("2", "f", 300), ("3", "g", 200)):
        await queue.enqueue(event(request_id, function, accepted_ms=accepted_ms))
    assert await queue.overdue_ms(100) == {}
    assert await queue.overdue_ms(500) == {"f": 400, "g": 300}
    assert await ids(store, now_ms=500, events_max=1) == ["1"]
    assert await queue.overdue_ms(500) == {"f": 200, "g": 300}
    assert await ids(store, now_ms=500) == ["2"]
    assert await queue.overdue_ms(500) == {"g": 300}


async def test_a_claim_that_runs_out_ends(store):
    await store.asynchronous.enqueue(event("r-1"))
    assert await ids(store, until_ms=700) == ["r-1"]
    assert await ids(store, now_ms=699) == []
    assert await ids(store, now_ms=700) == ["r-1"]


async def test_d1_claims_end_with_the_router_that_had_them(store, reopen, backend):
    backend.now_ms = 100
    for number in range(3):
        await store.asynchronous.enqueue(event(f"r-{number}"))
    (taken,) = await take(store, claim(events_max=2))
    back = PutBack(taken.events[0].id, 60_100, attempts=1, held_up=0, response=b"no")
    await store.asynchronous.cycle((), (back,), (), 100)
    store = await reopen()
    assert store.asynchronous.waiting() == {"f": EventsWaiting(3, 8)}
    assert sorted(await ids(store)) == ["r-1", "r-2"], "the wait of the first goes on"
    assert await ids(store, now_ms=60_100) == ["r-0"]


async def test_t1_a_clock_set_back_while_away_does_not_hold_an_event_up(store, reopen, backend):
    await store.asynchronous.enqueue(event("r-1"))
    (taken,) = await take(store)
    back = PutBack(taken.events[0].id, ASYNC_WAIT_MS_MAX + 50, attempts=1, held_up=0)
    await store.asynchronous.cycle((), (back,), (), 100)
    backend.now_ms = 49
    store = await reopen()
    assert await ids(store, now_ms=49) == ["r-1"]


@pytest.mark.parametrize("by_ms", [86_400_000, -86_400_000])
async def test_t1_a_clock_that_is_set_moves_events_along(store, by_ms):
    start_ms = 10 * 86_400_000
    for number in range(2):
        await store.asynchronous.enqueue(event(f"r-{number}", accepted_ms=start_ms))
    (taken,) = await take(store, claim(events_max=1, until_ms=start_ms + 90_000), now_ms=start_ms)
    back = PutBack(taken.events[0].id, start_ms + 60_000, attempts=1, held_up=0)
    await store.asynchronous.cycle((), (back,), (), start_ms)
    await store.clock_set(by_ms, start_ms + by_ms)
    assert await ids(store, now_ms=start_ms + by_ms) == ["r-1"]
    assert await ids(store, now_ms=start_ms + by_ms + 59_999) == []
    (taken,) = await take(store, now_ms=start_ms + by_ms + 60_000)
    assert [(one.request_id, one.age_ms) for one in taken.events] == [("r-0", 60_000)]


async def test_d7_an_end_and_what_goes_on_its_way_are_one(store):
    woken = []
    store.asynchronous.subscribe(woken.append)
    await store.asynchronous.enqueue(event("r-1"))
    (taken,) = await take(store)
    end = Finished(
        taken.events[0].id,
        (row(b"why", attributes=b'{"a":1}', trace_header="Root=1", letter_id="l"),),
        (EnqueuedMessage(queue="dlq", body="letter", attributes=b'{"b":2}', trace_header="T"),),
        (event("r-2", "g"),),
    )
    await finish(store, end)
    await finish(store, end)
    (waiting,) = await store.outbox.due(Address(TOPIC), FAR_MS, 9)
    assert (waiting.function, waiting.mapping, waiting.letter_id) == ("f", "", "l")
    assert (waiting.attributes, waiting.trace_header) == (b'{"a":1}', "Root=1")
    (message,) = await store.queues.peek("dlq", 9)
    assert (message.body, message.attributes) == ("letter", b'{"b":2}')
    assert message.system == b'{"AWSTraceHeader":"T"}'
    assert await ids(store, function="g") == ["r-2"]
    assert woken == ["f", "g"]
    assert store.asynchronous.waiting() == {"g": EventsWaiting(1, 2)}


async def test_l4_an_end_whose_destination_is_full_waits_alone(backend):
    store = backend.make(StoreSettings(outbox_bytes_max=MIB))
    await store.open()
    await store.progress.discard("m", update(1), row(b"x" * MIB), None)
    for number in range(2):
        await store.asynchronous.enqueue(event(f"r-{number}"))
    (taken,) = await take(store)
    full, fitting = taken.events
    cycle = await finish(store, Finished(full.id, (row(),)), Finished(fitting.id))
    assert cycle.refused == [full.id]
    assert store.asynchronous.waiting() == {"f": EventsWaiting(1, 2)}
    (large,) = await store.outbox.due(Address(TOPIC), FAR_MS, 9)
    await store.outbox.delivered(large.id)
    assert (await finish(store, Finished(full.id, (row(),)))).refused == []
    assert store.asynchronous.waiting() == {}
    await store.close()


async def test_what_may_wait_for_a_function_is_bounded(backend):
    store = backend.make(StoreSettings(async_bytes_max=MIB))
    await store.open()
    await store.asynchronous.enqueue(event("r-1", payload=b"x" * 2 * MIB))
    for _ in range(2):
        with pytest.raises(EventsFull, match="ROUTER_STORE_ASYNC_BYTES_MAX"):
            await store.asynchronous.enqueue(event("r-2"))
        await store.asynchronous.enqueue(event("r-2", "g"))
        await store.close()
        store = backend.make(StoreSettings(async_bytes_max=MIB))
        await store.open()
    (taken,) = await take(store)
    await finish(store, Finished(taken.events[0].id))
    await store.asynchronous.enqueue(event("r-2b", payload=b"x" * MIB))
    (taken,) = await take(store)
    back = PutBack(taken.events[0].id, 0, attempts=1, held_up=0, response=b"x" * MIB)
    await store.asynchronous.cycle((), (back,), (), 100)
    assert store.asynchronous.waiting()["f"] == EventsWaiting(1, 2 * MIB)
    back = PutBack(taken.events[0].id, 0, attempts=2, held_up=0, response=b"")
    await store.asynchronous.cycle((), (back,), (), 100)
    assert store.asynchronous.waiting()["f"] == EventsWaiting(1, MIB)
    await store.close()
