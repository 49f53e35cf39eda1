"""The stream engine, as playbooks: `event-source-mappings.md` 2 to 4, `reliability.md` 2."""

import pytest

from router.mapping import engine as e
from router.mapping.batching import ENVELOPE_BYTES
from router.mapping.shard import RunAhead
from router.model import limits
from router.model.errors import EngineError
from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    discard,
    discard_not_stored,
    discard_stored,
    drain,
    failed,
    fetch,
    fetch_failed,
    fetched,
    invoke,
    lane_keys,
    not_stored,
    nothing,
    opened,
    record,
    reported,
    resume,
    save,
    settings,
    stored,
    succeeded,
    throttled,
    tick,
)


def running(*positions, **spec) -> Play:
    """An engine that runs its first batch, of these records."""
    play = Play(**spec)
    play >> opened() << fetch(0)
    play >> fetched(*positions) << fetch(positions[-1]) << invoke(*positions)
    return play


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
    play >> stored() << save(30)
    play >> stored() << nothing


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


# Failures: P8 to P11, P14, P15, D8, D10.


def test_p8_two_retries_are_three_invocations():
    play = running(1, 2, retries_max=2)
    for attempt in (1, 2):
        play >> failed() << save(0, lane_position=0, head=LaneHead(1, 2, attempt))
        play >> stored() << nothing
        play.wake() << invoke(1, 2, attempt=attempt + 1)
    play >> failed() << discard(1, 2, count=3, to=2)
    assert play.last(e.Discard).outcome == Failed("ValueError")
    play >> discard_stored() << nothing


def test_no_limit_retries_for_ever_at_the_ceiling():
    play = running(1)
    for attempt in range(1, 30):
        before_ms = play.now_ms
        play >> failed() << save(0, head=LaneHead(1, 1, attempt))
        play >> stored() << nothing
        play.wake() << invoke(1, attempt=attempt + 1)
        waited_ms = play.now_ms - before_ms
        assert limits.BACKOFF_MS_MIN <= waited_ms <= limits.BACKOFF_MS_MAX
    assert waited_ms >= limits.BACKOFF_MS_MAX * 4 // 5


def test_a_retry_starts_only_after_its_failure_is_stored():
    play = running(1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play.at(10_000) >> tick << nothing
    play >> stored() << invoke(1, attempt=2)


def test_the_time_of_the_first_failure_is_stored_and_forgotten_with_the_batch():
    play = running(1)
    play.at(5) >> failed()
    assert play.out.pop().update.lane.head.first_failure_wall_ms == WALL_MS + 5
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=2)
    play >> failed()
    assert play.out.pop().update.lane.head.first_failure_wall_ms == WALL_MS + 5
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=3)
    play >> succeeded() << save(1)
    play >> stored() << nothing
    play >> fetched(2) << fetch(2) << invoke(2)
    play >> failed()
    assert play.out.pop().update.lane.head.first_failure_wall_ms == play.wall_ms


def test_p9_partial_success_resets_the_retry_budget():
    play = running(1, 2, 3, retries_max=3, batch_size=3)
    play >> reported(2) << save(2, lane_position=2, head=LaneHead(3, 3, 0))
    play >> stored() << invoke(3, attempt=1)
    for attempt in (1, 2, 3):
        play >> reported(0) << save(2, head=LaneHead(3, 3, attempt))
        play >> stored() << nothing
        play.wake() << invoke(3, attempt=attempt + 1)
    play >> reported(0) << discard(3, count=4, to=3)
    assert play.last(e.Discard).outcome == PartlySucceeded((0,))
    delivered = [c for c in play.seen if isinstance(c, e.Invoke) and c.records[-1].position == 3]
    assert len(delivered) == 5


def test_a_tail_is_a_batch_of_its_own_and_waits_for_no_window():
    play = running(1, 2, 3, batch_size=3, window_ms=60_000)
    play >> fetched(4, 5) << fetch(5)
    play >> reported(1, 2) << save(1, head=LaneHead(2, 3, 0))
    play >> stored() << invoke(2, 3)
    play >> succeeded() << save(3)
    play >> stored() << nothing


def test_d9_everything_from_the_lowest_report_on_is_tried_again():
    play = running(1, 2, 3, 4)
    play >> reported(1, 3) << save(1, head=LaneHead(2, 4, 0))
    play >> stored() << invoke(2, 3, 4)


def test_p10_expired_records_go_the_fresh_ones_are_delivered():
    play = Play(record_age_ms_max=60_000)
    old = record(1, arrival_ms=WALL_MS - 60_000)
    play >> opened() << fetch(0)
    play >> fetched(old, 2, 3) << fetch(3)
    play << discard(1, condition="RecordAgeExceeded", count=1, to=1)
    play >> discard_stored() << invoke(2, 3, attempt=1)


def test_d10_age_is_looked_at_before_each_attempt():
    play = Play(record_age_ms_max=60_000)
    play >> opened() << fetch(0)
    play >> fetched(record(1, arrival_ms=WALL_MS - 59_600), 2) << fetch(2) << invoke(1, 2)
    play >> failed() << save(0, head=LaneHead(1, 2, 1))
    play >> stored() << nothing
    play.wake() << discard(1, condition="RecordAgeExceeded", count=2, to=1, head=LaneHead(2, 2, 1))
    assert play.last(e.Discard).outcome is None
    play >> discard_stored() << invoke(2, attempt=2)


def test_d10_an_expired_record_behind_a_younger_one_is_cut_out_in_order():
    play = Play(record_age_ms_max=60_000)
    old = record(2, arrival_ms=WALL_MS - 60_000)
    play >> opened() << fetch(0)
    play >> fetched(1, old, 3) << fetch(3) << invoke(1)
    play >> succeeded() << save(1, head=LaneHead(2, 3, 0))
    play >> stored() << discard(2, condition="RecordAgeExceeded", count=1, to=2)
    play >> discard_stored() << invoke(3)


def test_age_of_the_whole_batch():
    play = running(1, 2, record_age_ms_max=60_000)
    play.at(60_000) >> throttled() << nothing
    play.wake() << discard(1, 2, condition="RecordAgeExceeded", count=1, to=2)
    play >> discard_stored() << nothing


def test_t1_a_jump_of_the_wall_clock_changes_nothing_but_ages():
    play = running(1, 2, record_age_ms_max=60_000)
    play.wall_shift_ms = -86_400_000
    play >> failed() << save(0, head=LaneHead(1, 2, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, 2, attempt=2)


def test_p14_bisect_without_retries_finds_the_poison_record():
    play = running(1, 2, 3, 4, is_bisecting=True, retries_max=0)
    play >> failed() << save(0, head=LaneHead(1, 2, 0, (4,)))
    play >> stored() << invoke(1, 2)
    play >> failed() << save(0, head=LaneHead(1, 1, 0, (2, 4)))
    play >> stored() << invoke(1)
    play >> succeeded() << save(1, head=LaneHead(2, 2, 0, (4,)))
    play >> stored() << invoke(2)
    play >> failed() << discard(2, count=1, to=2, head=LaneHead(3, 4, 0))
    play >> discard_stored() << invoke(3, 4)
    play >> succeeded() << save(4)
    play >> stored() << nothing


def test_p14_throttles_neither_bisect_nor_count():
    play = running(1, 2, is_bisecting=True, retries_max=0)
    for _ in range(3):
        play >> throttled() << nothing
        play.wake() << invoke(1, 2, attempt=1)
    play >> succeeded() << save(2)


def test_throttles_wait_longer_each_time_and_a_run_ends_that():
    play = running(1)
    waits_ms = []
    for _ in range(3):
        before_ms = play.now_ms
        play >> throttled() << nothing
        play.wake() << invoke(1)
        waits_ms.append(play.now_ms - before_ms)
    assert 500 <= waits_ms[0] < 1_000 <= waits_ms[1] < 2_000 <= waits_ms[2] < 4_000
    play >> succeeded() << save(1)
    play >> stored() << nothing
    play >> fetched(2) << fetch(2) << invoke(2)
    before_ms = play.now_ms
    play >> throttled() << nothing
    play.wake() << invoke(2)
    assert play.now_ms - before_ms < 1_000


def test_p15_a_function_error_halves_a_report_cuts():
    play = running(1, 2, 3, 4, is_bisecting=True, is_reporting_failures=True)
    play >> failed() << save(0, head=LaneHead(1, 2, 0, (4,)))
    play >> stored() << invoke(1, 2)
    play >> succeeded() << save(2, head=LaneHead(3, 4, 0))
    play >> stored() << invoke(3, 4)
    play >> fetched(5, 6, 7) << fetch(7)
    play >> reported(1) << save(3, head=LaneHead(4, 4, 0))
    play >> stored() << invoke(4)


def test_a_report_of_the_first_record_is_a_failure_and_halves():
    play = running(1, 2, 3, is_bisecting=True, retries_max=0)
    play >> reported(0, 2) << save(0, head=LaneHead(1, 1, 0, (3,)))
    play >> stored() << invoke(1)


def test_an_invalid_response_is_retried_but_never_halved():
    play = running(1, 2, 3, is_bisecting=True, retries_max=1)
    play >> failed(is_invalid_response=True) << save(0, head=LaneHead(1, 3, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, 2, 3, attempt=2)
    play >> failed(is_invalid_response=True) << discard(1, 2, 3, count=2, to=3)


def test_d8_a_half_starts_with_a_full_budget():
    play = running(1, 2, is_bisecting=True, retries_max=1)
    play >> failed() << save(0, head=LaneHead(1, 1, 0, (2,)))
    play >> stored() << invoke(1, attempt=1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1, (2,)))
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=2)
    play >> failed() << discard(1, count=2, to=1, head=LaneHead(2, 2, 0))
    play >> discard_stored() << invoke(2, attempt=1)


# Recovery of a lane head: design 7a.


def recovered(head: LaneHead, *positions, **spec) -> Play:
    play = Play(**spec)
    play >> opened(lanes=[LaneProgress(0, 0, head)]) << fetch(0)
    return play


def test_d10_a_restart_does_not_reset_a_budget():
    play = recovered(LaneHead(1, 2, 2), retries_max=2)
    play >> fetched(1, 2, 3) << fetch(3) << invoke(1, 2, attempt=3)
    play >> failed() << discard(1, 2, count=3, to=2)
    play >> discard_stored() << invoke(3, attempt=1)


def test_a_head_is_formed_when_all_of_it_is_read_again():
    play = recovered(LaneHead(1, 3, 1, (4, 5)), window_ms=60_000)
    play >> fetched(1, 2) << fetch(2)
    play >> fetched(3, 4, 5, 6) << fetch(6) << invoke(1, 2, 3, attempt=2)
    play >> succeeded() << save(3, head=LaneHead(4, 4, 0, (5,)))
    play >> stored() << invoke(4, attempt=1)
    play >> succeeded() << save(4, head=LaneHead(5, 5, 0))
    play >> stored() << invoke(5)


def test_a_head_waits_in_the_store_while_the_shard_moves():
    play = recovered(LaneHead(5, 6, 1, (9,)))
    play >> fetched(read_to=3) << fetch(3) << save(3, head=LaneHead(1, 6, 1, (9,)))
    play >> stored() << nothing
    play >> fetched(5, 6) << fetch(6) << invoke(5, 6, attempt=2)
    play >> succeeded() << save(6, head=LaneHead(7, 9, 0))


def test_a_head_whose_records_are_gone_is_forgotten():
    play = recovered(LaneHead(1, 2, 2, (4,)), retries_max=2)
    play >> fetched(3, 4, 5) << fetch(5) << invoke(3, 4, attempt=1)
    play = recovered(LaneHead(1, 2, 2, (4,)), retries_max=2)
    play >> fetched(5) << fetch(5) << invoke(5, attempt=1)


def test_a_head_below_the_shards_position_is_history():
    play = Play(retries_max=2)
    play >> opened(position=4, lanes=[LaneProgress(0, 2, LaneHead(3, 4, 2))]) << fetch(4)
    play >> fetched(5) << fetch(5) << invoke(5, attempt=1)


def test_a_head_partly_below_the_shards_position_keeps_its_parts():
    play = Play(retries_max=2)
    play >> opened(position=4, lanes=[LaneProgress(0, 2, LaneHead(3, 4, 2, (6,)))]) << fetch(4)
    play >> fetched(5, 6, 7) << fetch(7) << invoke(5, 6, attempt=1)


def test_a_head_with_a_spent_budget_is_given_up_without_another_attempt():
    play = recovered(LaneHead(1, 2, 3), retries_max=1)
    play >> fetched(1, 2) << fetch(2) << discard(1, 2, count=3, to=2)
    assert play.last(e.Discard).outcome is None


def test_a_head_larger_than_the_batch_size_is_cut_to_it():
    play = recovered(LaneHead(1, 3, 1), batch_size=2)
    play >> fetched(1, 2, 3) << fetch(3) << invoke(1, 2, attempt=2)
    play >> succeeded() << save(2, head=LaneHead(3, 3, 0))
    play >> stored() << invoke(3, attempt=1)


def test_a_head_is_read_again_however_much_the_shard_holds():
    """Otherwise a lane could wait for records that its shard has no room to read."""
    first, second = lane_keys(2)
    play = Play(RunAhead(2, 8 * limits.MIB), factor=2, batch_size=2)
    head = LaneHead(1, 5, 1)
    play >> opened(factor=2, lanes=[LaneProgress(0, 0, head)]) << fetch(0)
    play >> fetched(record(1, first), record(2, second)) << fetch(2) << invoke(2, lane=1)
    play >> fetched(record(3, second)) << fetch(3)
    play >> fetched(record(5, first)) << invoke(1, 5, lane=0, attempt=2)


def test_a_shard_that_ends_below_a_stored_head_lets_the_lane_go_on():
    play = recovered(LaneHead(1, 9, 1))
    play >> fetched(1, 2, is_end=True) << invoke(1, 2, attempt=2)
    play >> succeeded() << save(9)
    play >> stored() << nothing


# Commands that fail.


def test_a_failed_fetch_is_asked_for_again_after_a_back_off():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetch_failed() << nothing
    play.wake() << fetch(0)
    first_ms = play.now_ms
    play >> fetch_failed() << nothing
    play.wake() << fetch(0)
    assert 500 <= first_ms < play.now_ms - first_ms
    play >> fetched(1) << fetch(1) << invoke(1)


def test_a_failed_save_is_asked_for_again_with_what_is_known_by_then():
    first, second = lane_keys(2)
    play = Play(factor=2)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second)) << fetch(2)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> succeeded(lane=1) << save(0, lane=1)
    play >> not_stored() << nothing
    play >> succeeded(lane=0) << save(2, lane=0)
    play >> stored() << nothing
    play.wake() << save(2, lane=1, lane_position=2)
    play >> stored() << nothing


def test_a_save_that_succeeds_ends_the_row_of_failures():
    play = running(1, batch_size=1)
    play >> fetched(2) << fetch(2)
    play >> succeeded() << save(1)
    for _ in range(2):
        play >> not_stored() << nothing
        play.wake() << save(1)
    play >> stored() << invoke(2)
    before_ms = play.now_ms
    play >> throttled() << nothing
    play.wake() << invoke(2)
    assert play.now_ms - before_ms < 1_000


def test_d7_a_discard_that_was_not_stored_is_asked_for_again():
    play = running(1, retries_max=0)
    play >> fetched(2) << fetch(2)
    play >> failed() << discard(1, count=1, to=1)
    play >> discard_not_stored() << nothing
    play.wake() << discard(1, count=1, to=1)
    play >> discard_stored() << invoke(2)


# Settings.


def test_settings_hold_from_the_next_batch_on():
    play = running(1, 2, batch_size=2)
    play >> fetched(3, 4, 5) << fetch(5)
    play >> settings(batch_size=3) << nothing
    play >> succeeded() << save(2)
    play >> stored() << invoke(3, 4, 5)


def test_a_shorter_window_holds_at_once_for_a_batch_that_is_not_closed():
    play = Play(batch_size=9, window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> settings(batch_size=9) << invoke(1)


def test_a_lowered_limit_frees_a_stuck_lane():
    play = running(1)
    for attempt in (1, 2):
        play >> failed() << save(0, head=LaneHead(1, 1, attempt))
        play >> stored() << nothing
        play.wake() << invoke(1, attempt=attempt + 1)
    play >> failed() << save(0, head=LaneHead(1, 1, 3))
    play >> stored() << nothing
    play >> settings(retries_max=0) << nothing
    play.wake() << discard(1, count=3, to=1)


def test_another_factor_waits_until_the_old_lanes_are_empty():
    first, second = lane_keys(2)
    play = Play(factor=2, batch_size=1)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, second)) << fetch(3)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> settings(factor=1, batch_size=1) << nothing
    play >> fetched(record(4, first)) << nothing
    play >> succeeded(lane=0) << save(1, lane=0, factor=2)
    play >> stored() << invoke(4, lane=0)
    play >> succeeded(lane=1) << save(2, lane=1, factor=2)
    play >> stored() << invoke(3, lane=1)
    play >> succeeded(lane=1) << save(3, lane=1, factor=2)
    play >> stored() << nothing
    play >> succeeded(lane=0) << save(4, lane=0, factor=2)
    play >> stored() << fetch(4)
    play >> fetched(record(5, second)) << fetch(5) << invoke(5, lane=0)
    play >> succeeded() << save(5, lane=0, lane_position=5, factor=1)


def test_another_factor_is_taken_at_once_by_a_quiet_shard():
    first, second = lane_keys(2)
    play = Play()
    play >> opened() << fetch(0)
    play >> settings(factor=2) << nothing
    play >> fetched(record(1, first), record(2, second)) << fetch(2)
    play << invoke(1, lane=0) << invoke(2, lane=1)


def test_a_waiting_factor_does_not_wait_for_windows():
    play = Play(window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> settings(window_ms=60_000, factor=2) << nothing
    play >> fetched() << invoke(1, lane=0)
    play >> succeeded() << save(1, factor=1)
    play >> stored() << fetch(1)


def test_a_factor_that_comes_back_in_time_changes_nothing():
    play = running(1, batch_size=1)
    play >> settings(factor=2) << nothing
    play >> fetched(2) << nothing
    play >> settings(batch_size=1) << fetch(2)
    play >> succeeded() << save(1, factor=1)


def test_a_restart_with_another_factor_reads_past_the_old_lanes_first():
    first, second = lane_keys(2)
    play = Play(factor=1)
    play >> opened(factor=2, lanes=[LaneProgress(1, 4)]) << fetch(0)
    play >> fetched(record(1, first), record(2, second)) << fetch(2) << invoke(1, lane=0)
    play >> fetched(record(4, second), record(6, second)) << invoke(6, lane=1)
    play >> succeeded(lane=0) << save(5, lane=0, factor=2)
    play >> stored() << nothing
    play >> succeeded(lane=1) << save(6, lane=1, factor=2)
    play >> stored() << fetch(6)
    play >> fetched(record(7, first), record(8, second)) << fetch(8) << invoke(7, 8, lane=0)


def test_a_restart_with_another_factor_and_nothing_ahead_takes_it_at_once():
    first, second = lane_keys(2)
    play = Play(factor=2)
    play >> opened(position=9, factor=1, lanes=[LaneProgress(0, 9)]) << fetch(9)
    play >> fetched(record(10, first), record(11, second)) << fetch(11)
    play << invoke(10, lane=0) << invoke(11, lane=1)


# Drain.


def test_s1_a_drain_starts_nothing_and_waits_for_what_runs():
    play = running(1, batch_size=1)
    play >> fetched(2) << fetch(2)
    assert not play.engine.is_drained
    play >> drain << nothing
    assert not play.engine.is_drained
    play >> succeeded() << save(1)
    assert not play.engine.is_drained
    play >> not_stored() << nothing
    assert not play.engine.is_drained
    play.wake() << save(1)
    play >> stored() << nothing
    assert play.engine.is_drained
    play >> fetched(3) << nothing
    play.at(play.now_ms + 100_000) >> tick << nothing
    play >> resume << fetch(3) << invoke(2)
    assert not play.engine.is_drained


def test_a_drain_stops_retries_but_not_discards():
    play = running(1, retries_max=1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> drain << nothing
    play >> stored() << nothing
    assert play.engine.is_drained
    assert play.engine.next_wakeup_ms() is None
    play >> resume << nothing
    play.wake() << invoke(1, attempt=2)
    play >> drain << nothing
    play >> failed() << discard(1, count=2, to=1)
    assert not play.engine.is_drained
    play >> discard_stored() << nothing
    assert play.engine.is_drained


def test_a_drain_leaves_windows_and_empty_stretches_alone():
    play = Play(window_ms=1_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> drain << nothing
    play.at(2_000) >> fetched(read_to=9) << nothing
    play >> opened(shard="1") << nothing
    assert play.engine.is_drained
    play >> resume << fetch(9) << invoke(1) << fetch(0, shard="1")


def test_a_fetch_ended_by_a_drain_is_no_failure():
    play = Play()
    play >> opened() << fetch(0)
    play >> drain << nothing
    play >> fetch_failed() << nothing
    play >> resume << fetch(0)


# Lineage.


def test_p28_a_child_is_not_read_while_its_parent_has_a_batch_in_retry():
    play = Play()
    play >> opened(shard="a") << fetch(0, shard="a")
    play >> opened(shard="b") << fetch(0, shard="b")
    play >> opened(shard="c", parents=("a", "b")) << nothing
    play >> fetched(shard="b", is_end=True) << nothing
    play >> fetched(1, shard="a", is_end=True) << invoke(1, shard="a")
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=2, shard="a")
    play >> succeeded() << save(1)
    play >> stored() << fetch(0, shard="c")
    play >> fetched(1, shard="c") << fetch(1, shard="c") << invoke(1, shard="c")
    assert play.engine.position("a") == 1


def test_a_child_opened_before_its_parent_waits_for_it():
    play = Play()
    play >> opened(shard="c", parents=("a",)) << nothing
    play >> opened(position=5, shard="a") << fetch(5, shard="a")
    play >> fetched(shard="a", is_end=True) << fetch(0, shard="c")
    play >> opened(shard="d", parents=("a",)) << fetch(0, shard="d")


def test_an_end_that_lies_past_the_last_record_is_stored_first():
    play = Play()
    play >> opened(shard="c", parents=("0",)) << nothing
    play >> opened() << fetch(0)
    play >> fetched(read_to=4, is_end=True) << save(4)
    play >> stored() << fetch(0, shard="c")


def test_an_end_does_not_wait_for_windows():
    play = Play(window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1, is_end=True) << invoke(1)


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
