"""What `router mappings describe --lanes` shows of a queue."""

from tests.unit.mapping.queue_play import QueuePlay


def rows(play):
    return [
        (lane.lane, lane.state, lane.records, lane.attempts)
        for lane in play.engine.lanes(play.now_ms)
    ]


def test_a_group_is_one_lane_whatever_it_is_in():
    play = QueuePlay(fifo=True, batch_size=3)
    play.receives("A1", "B1", "A2", "A3", "C1").invokes("A1", "B1", "A2").starts()
    assert rows(play) == [
        ("A", "running", 3, 0),
        ("B", "running", 1, 0),
        ("C", "waiting", 1, 0),
    ]
    play.ends().deletes("A1", "B1", "A2")
    assert rows(play) == [("A", "waiting", 1, 0), ("C", "waiting", 1, 0)]


def test_messages_without_a_group_are_shown_by_batch():
    play = QueuePlay(batch_size=2, window_ms=1_000)
    play.receives("1", "2").invokes("1", "2").starts()
    play.receives("3").ticks()
    assert rows(play) == [("", "running", 2, 0), ("", "gathering", 1, 0)]
    assert play.engine.lanes(play.now_ms)[0].oldest_arrival_ms is not None
    assert play.engine.lanes(play.now_ms)[0].position is None


def test_a_batch_that_found_no_slot_rests():
    play = QueuePlay(batch_size=1)
    play.receives("1").invokes("1").is_throttled()
    ((state, attempts, rest_ms),) = [
        (lane.state, lane.attempts, lane.rest_ms) for lane in play.engine.lanes(play.now_ms)
    ]
    assert (state, attempts) == ("waiting", 1)
    assert play.now_ms + rest_ms == play.engine.next_wakeup_ms()
