"""What every store promises about messages of standard queues (`bus-http-and-schedules.md` 6.3)."""

import asyncio

import orjson

from router.store.queues import QueueCounts, Redrive
from tests.unit.store.support import message


async def received(store, now_ms, *, count=10, visibility_ms=1_000, queue="q", redrive=None):
    return await store.queues.receive(queue, now_ms, count, visibility_ms, redrive)


def ids(messages):
    return [m.message_id for m in messages]


async def test_a_received_message_is_hidden_and_comes_back(store):
    await store.queues.send([message("m1")])
    (first,) = await received(store, 2_000)
    assert (first.body, first.attributes, first.sent_ms) == ("body of m1", b'{"a":1}', 1_000)
    assert (first.receive_count, first.first_received_ms) == (1, 2_000)
    assert await received(store, 2_999) == []
    (second,) = await received(store, 3_000)
    assert (second.id, second.receive_count, second.first_received_ms) == (first.id, 2, 2_000)
    assert second.token != first.token


async def test_a_receive_takes_at_most_what_was_asked_and_no_message_twice(store):
    await store.queues.send([message(f"m{n}") for n in range(25)])
    batches = await asyncio.gather(*(received(store, 2_000) for _ in range(4)))
    assert [len(batch) for batch in batches] == [10, 10, 5, 0]
    assert sorted(i for batch in batches for i in ids(batch)) == sorted(f"m{n}" for n in range(25))


async def test_a_hundred_come_in_the_order_they_were_sent_and_go_together(store):
    names = [f"m{n}" for n in range(150)]
    await store.queues.send([message(name, sent_ms=1_000) for name in names])
    found = await received(store, 2_000, count=100)
    assert ids(found) == names[:100]
    assert {m.receive_count for m in found} == {1}
    deletion = store.queues.delete("q", [m.id for m in found])
    _, rest = await asyncio.gather(deletion, received(store, 2_000, count=100))
    assert ids(rest) == names[100:]
    assert ids(await received(store, 9_000, count=100)) == names[100:]


async def test_a_delayed_message_waits_for_its_time(store):
    await store.queues.send([message("m1", visible_ms=5_000)])
    assert await received(store, 4_999) == []
    assert await store.queues.next_visible_ms("q", 1_000) == 5_000
    assert ids(await received(store, 5_000)) == ["m1"]
    assert await store.queues.next_visible_ms("q", 5_000) == 6_000
    assert await store.queues.next_visible_ms("q", 6_000) is None


async def test_deleting_is_final_and_repeatable(store):
    await store.queues.send([message("m1"), message("m2", queue="other")])
    (mine,) = await received(store, 2_000)
    (other,) = await received(store, 2_000, queue="other")
    await store.queues.delete("q", [mine.id, other.id])
    await store.queues.delete("q", [mine.id])
    assert await received(store, 9_000) == []
    assert ids(await received(store, 9_000, queue="other")) == ["m2"]


async def test_visibility_is_changed_by_the_last_receiver_only(store):
    await store.queues.send([message("m1")])
    (first,) = await received(store, 2_000)
    change = store.queues.change_visibility
    assert await change("q", first.id, first.token, 2_100, 9_000)
    assert await received(store, 8_999) == []
    (second,) = await received(store, 9_000)
    assert not await change("q", first.id, first.token, 9_100, 9_100)
    woken = []
    store.queues.subscribe("q", lambda: woken.append(1))
    assert await change("q", second.id, second.token, 9_100, 9_100)
    assert woken == [1]
    (third,) = await received(store, 9_100)
    # The time is over, nobody received it since: hidden again, as recorded on AWS.
    assert await change("q", third.id, third.token, 20_000, 30_000)
    assert await received(store, 29_999) == []
    await store.queues.delete("q", [third.id])
    assert not await change("q", third.id, third.token, 20_000, 30_000)
    assert not await change("elsewhere", third.id, third.token, 20_000, 30_000)


async def test_a_message_received_too_often_moves_to_the_dead_letter_queue(store):
    await store.queues.send([message("m1"), message("m2")])
    await received(store, 2_000, count=1)
    await received(
        store, 3_000, count=1, redrive=Redrive("dlq", 1, 90_000)
    )  # m2: the longest visible
    woken = []
    store.queues.subscribe("dlq", lambda: woken.append(1))
    assert await received(store, 9_000, redrive=Redrive("dlq", 1, 90_000)) == []
    assert woken == [1]
    moved = await received(store, 9_000, queue="dlq")
    assert sorted(ids(moved)) == ["m1", "m2"]
    # The count goes on, the time of sending stays, and it names where it came from.
    assert {m.receive_count for m in moved} == {2}
    assert {m.sent_ms for m in moved} == {1_000}
    assert {orjson.loads(m.system)["DeadLetterQueueSourceArn"] for m in moved} == {"q"}
    assert (await store.queues.counts("q", 9_000)) == QueueCounts(0, 0, 0)


async def test_a_moved_message_keeps_its_age_by_the_other_queues_retention(store):
    await store.queues.send([message("m1", sent_ms=1_000, expires_ms=9_000)])
    await received(store, 2_000)
    assert await received(store, 8_000, redrive=Redrive("dlq", 1, 20_000)) == []
    assert await store.queues.expire(20_999) == 0
    assert ids(await received(store, 20_999, queue="dlq", visibility_ms=0)) == ["m1"]
    assert await received(store, 21_000, queue="dlq") == []


async def test_messages_behind_spent_ones_are_handed_out_in_the_same_receive(store):
    await store.queues.send([message(f"spent{n}") for n in range(15)])
    await received(store, 2_000)
    await received(store, 2_000)
    await store.queues.send([message("fresh", sent_ms=3_500)])
    assert ids(await received(store, 4_000, redrive=Redrive("dlq", 1, 90_000))) == ["fresh"]
    assert (await store.queues.counts("dlq", 4_000)).visible == 15


async def test_counts_tell_visible_in_flight_and_delayed_apart(store):
    assert await store.queues.counts("q", 0) == QueueCounts(0, 0, 0)
    await store.queues.send([message("a"), message("b"), message("c", visible_ms=50_000)])
    await received(store, 2_000, count=1)
    assert await store.queues.counts("q", 2_500) == QueueCounts(1, 1, 1)
    assert await store.queues.counts("q", 60_000) == QueueCounts(3, 0, 0)


async def test_peek_takes_nothing(store):
    await store.queues.send([message("a"), message("b")])
    assert ids(await store.queues.peek("q", 1)) == ["a"]
    assert {m.receive_count for m in await received(store, 2_000)} == {1}


async def test_purge_removes_hidden_and_delayed_messages_too_and_no_later_one(store):
    await store.queues.send([message("a"), message("b", visible_ms=50_000)])
    (hidden,) = await received(store, 2_000)
    await store.queues.purge("q")
    await store.queues.send([message("later", sent_ms=2_100)])
    assert ids(await received(store, 99_000)) == ["later"]
    assert not await store.queues.change_visibility("q", hidden.id, hidden.token, 3_000, 3_000)


async def test_expired_messages_are_not_handed_out_and_go(store):
    await store.queues.send([message(f"old{n}", expires_ms=5_000) for n in range(2_500)])
    await store.queues.send([message("young", expires_ms=9_000)])
    assert ids(await received(store, 5_000)) == ["young"]
    assert await store.queues.expire(5_000) == 2_500
    assert await store.queues.expire(5_000) == 0
    assert await store.queues.counts("q", 7_000) == QueueCounts(1, 0, 0)


async def test_sending_wakes_who_waits_for_the_queue(store):
    woken = []
    end = store.queues.subscribe("q", lambda: woken.append("q"))
    store.queues.subscribe("other", lambda: woken.append("other"))
    await store.queues.send([message("a"), message("b")])
    end()
    await store.queues.send([message("c"), message("d", queue="other")])
    assert woken == ["q", "other"]
