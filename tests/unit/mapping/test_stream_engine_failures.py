"""The stream engine, as playbooks: failures, restarts and commands that fail."""

from router.mapping import engine as e
from router.mapping.shard import RunAhead
from router.model import limits
from router.model.outcome import Failed, PartlySucceeded
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    discard,
    discard_not_stored,
    discard_stored,
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
    running,
    save,
    stored,
    succeeded,
    throttled,
    tick,
)

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
