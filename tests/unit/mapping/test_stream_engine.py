"""The stream engine, as playbooks: reading, batches, lanes and what others ask."""

import pytest

from router.mapping import engine as e
from router.mapping.batching import ENVELOPE_BYTES
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import SETTLE_EVERY_MS
from router.model import limits
from router.model.errors import EngineError
from router.model.outcome import PartlySucceeded, Succeeded
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    discard,
    discard_stored,
    drain,
    failed,
    fetch,
    fetched,
    invoke,
    lane_keys,
    nothing,
    opened,
    record,
    reported,
    running,
    save,
    stored,
    succeeded,
    throttled,
    tick,
)

# The happy path.


def test_progress_is_stored_before_the_next_batch_of_a_lane_starts():
    play = Play(batch_size=2)
    play >> opened() << fetch(0, records_max=2_000, bytes_max=8 * limits.MIB)
    play >> fetched(1, 2, 3) << fetch(3) << invoke(1, 2, lane=0)
    play >> succeeded() << save(2, lane=0, lane_position=2)
    play >> stored() << invoke(3)
    play >> fetched(4) << fetch(4)
    play >> succeeded() << save(3)
    play >> stored() << invoke(4)
    play >> succeeded() << save(4)
    play >> stored() << nothing
    assert play.engine.next_wakeup_ms() is None


def test_an_empty_fetch_is_asked_for_again_and_stores_nothing():
    play = Play()
    play >> opened(position=7) << fetch(7)
    play >> fetched() << fetch(7)


def test_p20_a_stretch_without_records_moves_the_checkpoint():
    play = Play(factor=3)
    play >> opened(position=7, factor=3) << fetch(7)
    play >> fetched(read_to=20) << fetch(20) << save(20, lane=0, lane_position=7, factor=3)
    play >> fetched(read_to=30) << fetch(30)
    play >> stored() << nothing
    play.wake() << save(30)
    play >> stored() << nothing


def test_p20_where_nothing_passes_the_checkpoint_is_stored_once_a_second():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(read_to=100) << fetch(100) << save(100)
    play >> stored() << nothing
    started_ms = play.now_ms
    for read_to in range(200, 1_000, 100):
        play.at(play.now_ms + 10) >> fetched(read_to=read_to) << fetch(read_to) << nothing
    play.wake() << save(900)
    assert play.now_ms == started_ms + SETTLE_EVERY_MS


def test_p20_a_stretch_without_records_does_not_hold_up_what_waits_for_the_checkpoint():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(read_to=100) << fetch(100) << save(100)
    play >> stored() << nothing
    play >> fetched(read_to=200, is_end=True) << save(200)
    play >> stored() << nothing
    assert play.engine.is_finished("0")


def test_p20_a_record_after_a_stretch_without_any_carries_the_checkpoint():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(read_to=100) << fetch(100) << save(100)
    play >> stored() << nothing
    play >> fetched(read_to=200) << fetch(200) << nothing
    play >> fetched(201) << fetch(201) << invoke(201)
    play >> succeeded() << save(201)
    play >> stored() << nothing
    play.at(play.now_ms + SETTLE_EVERY_MS) >> tick << nothing


def test_a_lane_that_stores_for_the_shard_starts_its_next_batch_after_it():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(read_to=20) << fetch(20) << save(20)
    play >> fetched(21) << fetch(21)
    play >> stored() << invoke(21)


# Batches: D11.


def test_d11_a_window_closes_a_short_batch():
    play = Play(batch_size=10, window_ms=5_000)
    play >> opened() << fetch(0)
    play.at(1_000) >> fetched(1, 2) << fetch(2)
    assert play.engine.next_wakeup_ms() == 6_000
    play.at(5_999) >> tick << nothing
    play.at(6_000) >> tick << invoke(1, 2)


def test_a_window_starts_when_the_previous_invocation_ended():
    play = Play(batch_size=2, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1, 2) << fetch(2) << invoke(1, 2)
    play.at(1_000) >> succeeded() << save(2)
    play.at(1_500) >> stored() << nothing
    play.at(4_000) >> fetched(3) << fetch(3)
    play.at(5_999) >> tick << nothing
    play.at(6_000) >> tick << invoke(3)


def test_a_window_that_ran_out_empty_starts_again_with_the_next_record():
    play = Play(batch_size=2, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1, 2) << fetch(2) << invoke(1, 2)
    play >> succeeded() << save(2)
    play >> stored() << nothing
    assert play.engine.next_wakeup_ms() is None
    play.at(9_000) >> fetched(3) << fetch(3)
    assert play.engine.next_wakeup_ms() == 14_000


def test_a_window_that_ran_out_while_the_function_ran_waits_no_longer():
    play = Play(batch_size=2, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1, 2) << fetch(2) << invoke(1, 2)
    play >> fetched(3) << fetch(3)
    play >> succeeded() << save(2)
    play.at(5_000) >> stored() << invoke(3)


def test_a_record_behind_others_does_not_start_their_window_again():
    play = Play(batch_size=9, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play.at(5_000) >> tick << invoke(1)
    play >> fetched(2) << fetch(2)
    play.at(6_000) >> succeeded() << save(1)
    play.at(11_000) >> fetched(3) << fetch(3)
    play >> stored() << invoke(2, 3)


def test_size_closes_a_batch_before_its_window():
    play = Play(batch_size=2, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> fetched(2, 3) << fetch(3) << invoke(1, 2)


def test_p27_a_batch_ends_before_the_event_grows_too_large_and_order_is_kept():
    cap = ENVELOPE_BYTES + 300
    play = Play(batch_size=100, window_ms=5_000, event_bytes_max=cap)
    play >> opened() << fetch(0)
    play >> fetched(1, 2) << fetch(2)
    play >> fetched(3, 4) << fetch(4) << invoke(1, 2, 3)
    play >> succeeded() << save(3)
    play >> stored() << nothing
    play.at(5_000) >> tick << invoke(4)


def test_a_record_that_fits_no_event_is_given_up_alone_and_at_once():
    cap = ENVELOPE_BYTES + 300
    play = Play(batch_size=100, event_bytes_max=cap)
    play >> opened() << fetch(0)
    play >> fetched(1, record(2, size_bytes=301), record(3, size_bytes=300)) << fetch(3)
    play << invoke(1)
    play >> succeeded() << save(1)
    play >> stored() << discard(2, condition="MaximumPayloadSizeExceeded", count=1, to=2)
    assert play.last(e.Discard).outcome is None
    play >> discard_stored() << invoke(3)


# Order and lanes: D3, D5, D6, D12.


def test_d6_lanes_run_side_by_side_one_batch_each():
    first, second = lane_keys(2)
    play = Play(factor=2, batch_size=1)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, first)) << fetch(3)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> fetched(record(4, second)) << fetch(4)


def test_d3_the_shard_waits_for_its_lowest_unfinished_record_lanes_do_not():
    first, second = lane_keys(2)
    play = Play(factor=2, batch_size=1)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, second)) << fetch(3)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> succeeded(lane=1) << save(0, lane=1, lane_position=2, factor=2)
    play >> stored() << invoke(3, lane=1)
    play >> succeeded(lane=1) << save(0, lane=1, lane_position=3)
    play >> succeeded(lane=0) << save(3, lane=0, lane_position=1)
    play >> stored(lane=0) << nothing
    play >> stored(lane=1) << nothing


def test_d3_what_is_being_given_up_counts_only_for_its_own_update():
    first, second = lane_keys(2)
    play = Play(factor=2, retries_max=0)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, first)) << fetch(3)
    play << invoke(1, 3, lane=0) << invoke(2, lane=1)
    play >> failed(lane=0) << discard(1, 3, count=1, to=1, lane=0)
    play >> succeeded(lane=1) << save(0, lane=1)
    play >> stored() << nothing
    play >> discard_stored() << save(3)


def test_d12_a_restart_skips_what_lanes_finished_above_the_shards_position():
    first, second = lane_keys(2)
    play = Play(factor=2)
    lanes = [LaneProgress(1, 3), LaneProgress(7, 99)]
    play >> opened(factor=2, lanes=lanes) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, second)) << fetch(3)
    play << invoke(1, lane=0)
    play >> fetched(record(4, second)) << fetch(4) << invoke(4, lane=1)


def test_a_stuck_lane_blocks_no_other_until_the_shard_holds_all_it_may():
    first, second = lane_keys(2)
    play = Play(RunAhead(4, 8 * limits.MIB), factor=2, batch_size=1)
    play >> opened(factor=2) << fetch(0, records_max=4)
    play >> fetched(record(1, first), record(2, second)) << fetch(2, records_max=2)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> fetched(record(3, first), record(4, first)) << nothing
    play >> succeeded(lane=1) << fetch(4, records_max=1) << save(0)
    play >> stored() << nothing
    play >> fetched(record(5, second)) << invoke(5, lane=1)


def test_l2_bytes_hold_back_the_fetch_and_a_quarter_is_worth_one():
    play = Play(RunAhead(1_000, 1_000), batch_size=1)
    play >> opened() << fetch(0, records_max=1_000, bytes_max=1_000)
    play >> fetched(record(1, size_bytes=400), record(2, size_bytes=351)) << invoke(1)
    play >> succeeded() << fetch(2, bytes_max=649) << save(1)


def test_a_full_shard_does_not_wait_for_windows():
    first, second = lane_keys(2)
    play = Play(RunAhead(2, 8 * limits.MIB), factor=2, batch_size=10, window_ms=300_000)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first)) << fetch(1)
    play >> fetched(record(2, second)) << invoke(1, lane=0) << invoke(2, lane=1)


def room(bytes_max: int | None):
    return lambda _: e.RoomChanged(bytes_max)


def test_l2_a_mapping_that_holds_more_than_its_room_reads_on_once_that_is_finished():
    play = Play(batch_size=1)
    play >> opened() << fetch(0)
    play >> room(1_000) << nothing
    play >> fetched(record(1, size_bytes=600), record(2, size_bytes=351)) << invoke(1)
    play >> succeeded() << fetch(2, bytes_max=649) << save(1)
    play >> fetched() << fetch(2, bytes_max=649)
    assert play.engine.held_bytes == 351


@pytest.mark.parametrize("held", [1, 2_000])
def test_l2_however_little_room_there_is_a_shard_that_holds_nothing_reads_a_record(held):
    """`bytes_max=1` is a whole record; the next one comes when it is finished."""
    play = Play(batch_size=10, window_ms=300_000)
    play >> room(1) << nothing
    play >> opened() << fetch(0, bytes_max=1)
    play >> fetched(record(1, size_bytes=held)) << invoke(1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=2)
    play >> succeeded() << fetch(1, bytes_max=1) << save(1)
    assert play.engine.held_bytes == 0


def test_l2_shards_share_the_room():
    play = Play()
    play >> room(1_000) << nothing
    play >> opened(shard="a") << fetch(0, shard="a", bytes_max=1_000)
    play >> opened(shard="b") << fetch(0, shard="b", bytes_max=500)
    play >> fetched(shard="a") << fetch(0, shard="a", bytes_max=500)


def test_l2_a_stuck_lane_leaves_its_neighbours_the_room_that_comes_back():
    first, second = lane_keys(2)
    play = Play(factor=2)
    play >> opened(factor=2) << fetch(0)
    play >> room(1_000) << nothing
    play >> fetched(record(1, first, size_bytes=900)) << invoke(1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> room(2_000) << fetch(1, bytes_max=1_100)
    play >> fetched(record(2, second)) << fetch(2, bytes_max=1_000) << invoke(2, lane=1)


def test_a_drain_is_not_ended_by_room():
    play = Play()
    play >> room(1) >> opened() << fetch(0)
    play >> drain << nothing
    play >> room(None) << nothing


# What others ask.


def test_position_and_held_records_tell_lag():
    play = running(1, 2)
    assert (play.engine.position("0"), play.engine.held_records) == (0, 2)
    play >> succeeded() << save(2)
    assert (play.engine.position("0"), play.engine.held_records) == (0, 0)
    play >> stored() << nothing
    assert play.engine.position("0") == 2
    assert play.engine.position("unknown") == 0


# Contradictions.


def refused(play: Play, event, now_ms: int = 0) -> None:
    with pytest.raises(EngineError):
        play.engine.handle(event, now_ms, WALL_MS)


def test_answers_nobody_waits_for_are_refused():
    play = running(1)
    invoke_id = play.last(e.Invoke).command_id
    fetch_id = play.last(e.Fetch).command_id
    for event in (
        e.InvocationFinished(99, Succeeded()),
        e.RecordsFetched(invoke_id, (), 1),
        e.ProgressStored(invoke_id),
        e.ProgressFailed(invoke_id, "x"),
        e.DiscardStored(invoke_id),
        e.DiscardFailed(fetch_id, "x"),
        e.FetchFailed(invoke_id, "x"),
        e.InvocationFinished(fetch_id, Succeeded()),
    ):
        refused(play, event)
    play >> succeeded() << save(1)
    refused(play, e.InvocationFinished(invoke_id, Succeeded()))


def test_time_does_not_go_back():
    play = Play()
    play.at(10) >> opened() << fetch(0)
    refused(play, e.Tick(), now_ms=9)


def test_a_shard_opens_once():
    play = Play()
    play >> opened() << fetch(0)
    refused(play, opened()(play))
    play >> fetched(is_end=True) << nothing
    refused(play, opened()(play))


def test_reports_outside_the_batch_are_refused():
    for indexes in ((), (2,), (-1,)):
        play = running(1, 2)
        command_id = play.last(e.Invoke).command_id
        refused(play, e.InvocationFinished(command_id, PartlySucceeded(indexes)))


def test_records_read_before_or_out_of_order_are_refused():
    for positions, read_to in (((5,), 5), ((6,), 5), ((7, 6), 7), ((6, 6), 6), ((), 4)):
        play = Play()
        play >> opened(position=5) << fetch(5)
        command_id = play.last(e.Fetch).command_id
        records = tuple(record(position) for position in positions)
        refused(play, e.RecordsFetched(command_id, records, read_to))


# Promises told whole.


def test_d2_nothing_is_acknowledged_that_no_call_handled():
    """What is stored as finished was in a call that succeeded and did not list it."""
    play = Play(batch_size=4, is_reporting_failures=True)
    play >> opened() << fetch(0)
    play >> fetched(1, 2, 3, 4) << fetch(4) << invoke(1, 2, 3, 4)
    play >> reported(2) << save(2, head=LaneHead(3, 4, 0))
    play >> stored() << invoke(3, 4)
    play >> throttled() << nothing
    play.wake() << invoke(3, 4)
    play >> failed(is_invalid_response=True) << save(2, head=LaneHead(3, 4, 1))
    play >> stored() << nothing
    play.wake() << invoke(3, 4, attempt=2)
    play >> succeeded() << save(4)


def test_d5_a_retry_repeats_and_neither_skips_nor_swaps():
    play = Play(batch_size=2)
    play >> opened() << fetch(0)
    play >> fetched(1, 2, 3, 4) << fetch(4) << invoke(1, 2)
    play >> failed() << save(0, head=LaneHead(1, 2, 1))
    play >> stored() << nothing
    play.at(400) >> fetched(5) << fetch(5)
    play.wake() << invoke(1, 2, attempt=2)
    play >> succeeded() << save(2)
    play >> stored() << invoke(3, 4)


def test_p29_what_is_enabled_again_goes_on_after_the_last_finished_record():
    play = Play(batch_size=2)
    play >> opened() << fetch(0)
    play >> fetched(1, 2, 3) << fetch(3) << invoke(1, 2)
    play >> drain << nothing
    play >> succeeded() << save(2)
    play >> stored() << nothing
    assert play.engine.is_drained
    lanes = (play.last(e.SaveProgress).update.lane,)
    again = Play(batch_size=2)
    again >> opened(2, lanes=lanes) << fetch(2)
    again >> fetched(3) << fetch(3) << invoke(3)
