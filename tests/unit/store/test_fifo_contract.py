"""What every store promises about messages of FIFO queues (`bus-http-and-schedules.md` 6.3)."""

import asyncio

import orjson

from router.store.queues import QueueCounts, Redrive, Standing
from tests.unit.store.support import message


async def send(store, *texts, now_ms=1_000, queue="q.fifo", is_scope_group=False, **more):
    """Each text is `group:name` or `group:name:deduplication id`."""
    new = []
    for text in texts:
        group, name, *deduplication = text.split(":")
        new.append(
            message(
                name,
                queue=queue,
                sent_ms=now_ms,
                group_id=group,
                deduplication_id=deduplication[0] if deduplication else name,
                **more,
            )
        )
    return await store.queues.fifo.send(new, now_ms, is_scope_group=is_scope_group)


async def receive(store, now_ms, count=10, visibility_ms=1_000, queue="q.fifo", **more):
    return await store.queues.fifo.receive(queue, now_ms, count, visibility_ms, **more)


def ids(messages):
    return [m.message_id for m in messages]


async def delete(store, now_ms, *messages, queue="q.fifo"):
    pairs = [(m.id, m.token) for m in messages]
    return await store.queues.fifo.delete(queue, pairs, now_ms)


async def hide(store, now_ms, message, visible_ms):
    change = store.queues.fifo.change_visibility
    return await change("q.fifo", message.id, message.token, now_ms, visible_ms)


async def test_one_receive_fills_up_from_a_group_before_the_next(store):
    await send(store, "g1:1", "g2:2", "g1:3", "g1:4")
    assert ids(await receive(store, 2_000)) == ["1", "3", "4", "2"]


async def test_a_group_in_flight_blocks_itself_and_nobody_else(store):
    await send(store, "a:a1", "a:a2", "b:b1")
    assert ids(await receive(store, 2_000, 1)) == ["a1"]
    assert ids(await receive(store, 2_000)) == ["b1"]
    await send(store, "a:a3", "c:c1")
    assert ids(await receive(store, 2_100)) == ["c1"]
    assert await receive(store, 2_999) == []
    assert ids(await receive(store, 3_000)) == ["a1", "a2", "a3", "b1"]


async def test_extending_the_second_lets_the_first_come_back_alone(store):
    await send(store, "g:foo", "g:bar", "g:baz")
    _foo, bar, _baz = await receive(store, 2_000)
    assert await hide(store, 2_100, bar, 9_000) is Standing.HELD
    assert ids(await receive(store, 3_000)) == ["foo"]
    assert ids(await receive(store, 9_000)) == ["foo", "bar", "baz"]


async def test_extending_the_first_hides_all(store):
    await send(store, "g:foo", "g:bar", "g:baz")
    foo, _bar, _baz = await receive(store, 2_000)
    await hide(store, 2_100, foo, 9_000)
    assert await receive(store, 8_999) == []
    assert ids(await receive(store, 9_000)) == ["foo", "bar", "baz"]


async def test_the_first_made_visible_comes_at_once_while_the_second_is_in_flight(store):
    await send(store, "g:foo", "g:bar", "g:baz")
    foo, _bar = await receive(store, 2_000, 2)
    await hide(store, 2_100, foo, 2_100)
    (again,) = await receive(store, 2_100)
    assert (again.message_id, again.receive_count) == ("foo", 2)


async def test_deleting_one_leaves_the_group_blocked_by_the_others(store):
    await send(store, "g:foo", "g:bar", "g:baz", "g:later")
    foo, bar, baz = await receive(store, 2_000, 3)
    assert await delete(store, 2_100, foo) == [Standing.HELD]
    assert await receive(store, 2_200) == []
    # The oldest one left is visible: it comes, though a later one is in flight.
    await hide(store, 2_300, bar, 2_300)
    assert ids(await receive(store, 2_300)) == ["bar"]
    assert await delete(store, 2_400, baz) == [Standing.HELD]
    assert await receive(store, 2_400) == []
    assert ids(await receive(store, 3_300)) == ["bar", "later"]


async def test_a_delayed_message_holds_up_its_group_only(store):
    await send(store, "g:slow", visible_ms=5_000)
    await send(store, "g:quick", "h:other")
    assert ids(await receive(store, 2_000)) == ["other"]
    assert await store.queues.fifo.next_ready_ms("q.fifo", 2_000) == 3_000
    assert ids(await receive(store, 5_000)) == ["other", "slow", "quick"]


async def test_a_group_handed_out_before_goes_to_the_back(store):
    await send(store, *(f"a:a{n}" for n in range(3)), "b:b0", now_ms=1_000)
    seen = []
    now_ms = 2_000
    for _ in range(4):
        now_ms += 1
        (one,) = await receive(store, now_ms, 1)
        seen.append(one.message_id)
        await delete(store, now_ms, one)
    assert seen == ["a0", "b0", "a1", "a2"]


async def test_concurrent_receives_never_share_a_group(store):
    await send(store, *(f"g{n % 7}:m{n}" for n in range(70)))
    batches = await asyncio.gather(*(receive(store, 2_000) for _ in range(9)))
    assert sorted(i for batch in batches for i in ids(batch)) == sorted(f"m{n}" for n in range(70))
    assert [len(batch) for batch in batches] == [10] * 7 + [0] * 2


async def test_a_receipt_counts_until_the_visibility_timeout(store):
    await send(store, "g:m")
    (first,) = await receive(store, 2_000)
    assert await delete(store, 3_000, first) == [Standing.EXPIRED]
    assert await hide(store, 3_000, first, 9_000) is Standing.EXPIRED
    (second,) = await receive(store, 3_000)
    assert await delete(store, 3_500, first) == [Standing.EXPIRED]
    await hide(store, 3_500, second, 9_000)
    # Extensions count.
    assert await delete(store, 8_000, second) == [Standing.HELD]
    assert await delete(store, 9_500, second) == [Standing.GONE]
    assert await hide(store, 8_000, second, 9_000) is Standing.GONE
    assert await delete(store, 8_000, second, queue="none.fifo") == [Standing.GONE]


async def test_a_duplicate_is_not_stored_and_answered_as_the_first(store):
    first, again = await send(store, "g:m1:d", "g:m2:d")
    assert again == first
    (got,) = await receive(store, 2_000)
    assert got.id == first.number
    await delete(store, 2_000, got)
    # Also after the first one is gone, for five minutes, in any group.
    assert await send(store, "h:m3:d", now_ms=300_999) == [first]
    (new,) = await send(store, "h:m4:d", now_ms=301_000)
    assert (new.message_id, new.number > first.number) == ("m4", True)


async def test_with_scope_group_only_the_same_group_repeats(store):
    one, other, again = await send(store, "g:m1:d", "h:m2:d", "g:m3:d", is_scope_group=True)
    assert (one.message_id, other.message_id, again.message_id) == ("m1", "m2", "m1")


async def test_what_was_deduplicated_survives_a_restart_and_goes_after_its_time(store, reopen):
    (first,) = await send(store, "g:m1:d")
    store = await reopen()
    assert await send(store, "g:m2:d", now_ms=2_000) == [first]
    assert await store.queues.expire(301_000) == 0
    assert [one.message_id for one in await send(store, "g:m3:d", now_ms=2_000)] == ["m3"]


async def test_an_attempt_repeated_gets_the_same_messages_hidden_anew(store, reopen):
    await send(store, "g:m1", "g:m2", "h:m3")
    first = await receive(store, 2_000, attempt_id="try")
    store = await reopen()
    again = await receive(store, 2_500, attempt_id="try")
    assert again == first
    assert await receive(store, 3_499) == []
    assert {m.receive_count for m in await receive(store, 3_500, attempt_id="try")} == {2}


async def test_an_attempt_begins_anew_once_a_message_was_deleted_or_changed(store):
    await send(store, "g:m1", "h:m2")
    first, second = await receive(store, 2_000, attempt_id="try")
    await delete(store, 2_100, first)
    assert await receive(store, 2_200, attempt_id="try") == []
    await hide(store, 2_300, second, 2_300)
    (again,) = await receive(store, 2_300, attempt_id="try")
    assert (again.message_id, again.receive_count) == ("m2", 2)
    await hide(store, 2_400, again, 9_000)
    assert await receive(store, 2_500, attempt_id="try") == []


async def test_an_attempt_is_forgotten_after_five_minutes(store):
    await send(store, "g:m1")
    await receive(store, 2_000, visibility_ms=900_000, attempt_id="try")
    assert await receive(store, 302_000, attempt_id="try") == []


async def test_a_message_received_too_often_moves_and_its_group_goes_on(store):
    await send(store, "g:m1", "g:m2", now_ms=1_000)
    redrive = Redrive("dead.fifo", 1, 90_000)
    assert ids(await receive(store, 2_000, 1, redrive=redrive)) == ["m1"]
    woken = []
    store.queues.subscribe("dead.fifo", lambda: woken.append(1))
    assert ids(await receive(store, 3_000, 1, redrive=redrive)) == ["m2"]
    assert woken == [1]
    (moved,) = await receive(store, 3_500, queue="dead.fifo")
    # The count goes on, the time of sending is new, and so is its place.
    assert (moved.message_id, moved.receive_count, moved.sent_ms) == ("m1", 2, 3_000)
    system = orjson.loads(moved.system)
    assert system["DeadLetterQueueSourceArn"] == "q.fifo"
    assert system["MessageDeduplicationId"] == "m1"
    assert await store.queues.counts("q.fifo", 3_500) == QueueCounts(0, 1, 0)


async def test_many_spent_messages_move_in_one_receive(store):
    await send(store, *(f"g:m{n}" for n in range(250)))
    await receive(store, 2_000, 250)
    redrive = Redrive("dead.fifo", 1, 90_000)
    await send(store, "g:fresh", now_ms=2_500)
    assert ids(await receive(store, 3_000, redrive=redrive)) == ["fresh"]
    moved = await receive(store, 3_000, 250, queue="dead.fifo")
    assert ids(moved) == [f"m{n}" for n in range(250)]


async def test_expired_messages_let_their_group_go_on(store):
    await send(store, "g:old", expires_ms=5_000)
    await send(store, "g:young", expires_ms=99_000)
    assert ids(await receive(store, 2_000, 1, visibility_ms=90_000)) == ["old"]
    assert await store.queues.fifo.next_ready_ms("q.fifo", 2_000) == 5_000
    assert ids(await receive(store, 5_000)) == ["young"]
    await send(store, "h:gone", expires_ms=6_000)
    assert await store.queues.expire(6_000) == 1
    assert await store.queues.counts("q.fifo", 6_000) == QueueCounts(1, 0, 0)


async def test_purge_forgets_what_was_deduplicated(store):
    await send(store, "g:m1:d")
    await receive(store, 2_000)
    await store.queues.purge("q.fifo")
    (new,) = await send(store, "g:m2:d", now_ms=2_100)
    assert new.message_id == "m2"
    assert ids(await receive(store, 2_200)) == ["m2"]


async def test_who_waits_is_woken_when_a_group_goes_on(store):
    await send(store, "g:m1", "g:m2")
    woken = []
    store.queues.subscribe("q.fifo", lambda: woken.append(1))
    (first,) = await receive(store, 2_000, 1)
    await delete(store, 2_100, first)
    assert woken == [1]
    (second,) = await receive(store, 2_100, 1)
    await hide(store, 2_200, second, 2_200)
    assert woken == [1, 1]


async def test_too_many_in_flight_are_not_handed_out(store, monkeypatch):
    monkeypatch.setattr(store.queues._in_flight, "limit", 15)
    await send(store, *(f"g{n}:m{n}" for n in range(20)))
    first = await receive(store, 2_000)
    assert len(await receive(store, 2_000)) == 5
    assert await receive(store, 2_000) == []
    await delete(store, 2_000, *first)
    assert len(await receive(store, 2_000)) == 5


async def test_a_new_delay_holds_for_what_was_never_received(store):
    await send(store, "g:m1", visible_ms=50_000)
    await send(store, "h:m2")
    await receive(store, 2_000, visibility_ms=9_000)
    await store.queues.retime("q.fifo", delay_ms=3_000)
    assert ids(await receive(store, 4_000)) == ["m1"]


async def test_what_is_remembered_goes_in_bounded_steps(store):
    for start in range(0, 3_000, 500):
        await send(store, *(f"g:m{n}" for n in range(start, start + 500)), expires_ms=2_000)
    await send(store, "g:kept", now_ms=9_000)
    assert await store.queues.expire(301_000) == 3_000
    (again,) = await send(store, "g:again:kept", now_ms=9_500)
    assert again.message_id == "kept"
    (new,) = await send(store, "g:new:m1", now_ms=9_500)
    assert new.message_id == "new"
    await store.queues.purge("q.fifo")
    assert await receive(store, 9_900) == []
