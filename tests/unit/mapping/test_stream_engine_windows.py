"""Tumbling windows of the stream engine, told as a play (contract, section 6; P30)."""

import pytest

from router.mapping import engine as e
from router.model import limits
from router.model.errors import EngineError
from router.model.outcome import Failed, NotRun
from router.model.progress import LaneHead, LaneProgress
from router.model.window import Window
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    Stated,
    discard,
    discard_stored,
    drain,
    ended,
    failed,
    fetch,
    fetched,
    nothing,
    opened,
    resume,
    stored,
    succeeded,
    throttled,
    tick,
)
from tests.unit.mapping.window_play import (
    END,
    NEXT,
    OVER_MS,
    START,
    W,
    at_wall,
    done,
    filtered,
    final,
    open_window,
    partly,
    saved,
    windowed,
)

# The life of a window.


def test_the_state_goes_from_call_to_call_and_is_stored_with_the_position():
    play = open_window()
    play >> fetched(2, 3) << fetch(3) << windowed(2, 3, state=b'{"n":1}')
    play >> done(b'{"n":3}') << saved(3, b'{"n":3}')
    play >> stored() << nothing


def test_a_record_of_a_later_window_ends_the_one_before_it_first():
    play = open_window()
    play >> fetched(at_wall(2, END)) << fetch(2) << final(b'{"n":1}')
    play >> done(b"{}") << saved(1, None)
    play >> stored() << windowed(2, start=END, end=NEXT)


def test_a_batch_never_mixes_windows():
    play = Play(tumbling_window_ms=W, batch_size=10)
    play >> opened() << fetch(0)
    play >> fetched(1, 2, at_wall(3, END), at_wall(4, WALL_MS)) << fetch(4) << windowed(1, 2)
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << final(b'{"n":2}')
    play >> done(b"{}") << saved(2, None)
    play >> stored() << windowed(3, 4, start=END, end=NEXT)  # 4 came late and joins


def test_a_window_that_is_followed_does_not_wait_for_the_batching_window():
    play = Play(tumbling_window_ms=W, batch_size=10, window_ms=30_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> fetched(2) << fetch(2)
    play.at(10) >> fetched(at_wall(3, END)) << fetch(3) << windowed(1, 2)


def test_nor_when_the_clock_was_set_back_after_the_record_that_follows_it():
    play = Play(tumbling_window_ms=W, batch_size=10, window_ms=30_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play.at(10) >> fetched(at_wall(2, END), at_wall(3, WALL_MS)) << fetch(3) << windowed(1)


def test_a_window_that_is_over_does_not_wait_for_the_batching_window():
    play = Play(tumbling_window_ms=W, batch_size=10, window_ms=300_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1, wait_ms=OVER_MS)
    play.at(OVER_MS - 1) >> fetched() << fetch(1)
    play.at(OVER_MS) >> fetched() << fetch(1) << windowed(1)
    play >> done(b'{"n":1}') << saved(1, b'{"n":1}')
    play >> stored() << final(b'{"n":1}')


def test_a_final_call_does_not_make_what_waits_wait_longer():
    """D11: the batching window goes on from the end of the last batch."""
    play = Play(tumbling_window_ms=W, batch_size=10, window_ms=5_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play.at(5_000) >> tick << windowed(1)
    play.at(5_010) >> done(b'{"n":1}') << saved(1, b'{"n":1}')
    play >> stored() << nothing
    play.at(6_000) >> fetched(at_wall(2, END)) << fetch(2) << final(b'{"n":1}')
    play.at(7_000) >> done(b"{}") << saved(1, None)
    play >> stored() << nothing
    play.at(10_010) >> tick << windowed(2, start=END, end=NEXT)


def test_a_quiet_source_ends_the_window_once_its_time_and_a_grace_are_over():
    play = open_window()
    play.at(OVER_MS - 1) >> fetched() << fetch(1)
    play.at(OVER_MS) >> fetched() << fetch(1) << final(b'{"n":1}')
    play >> done(b"{}") << saved(1, None)
    play >> stored() << nothing
    play.at(OVER_MS + 90_000) >> fetched() << fetch(1)


def test_no_window_ends_by_the_clock_while_something_of_it_is_in_work():
    play = open_window()
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play.at(OVER_MS) >> fetched() << fetch(2)
    play.at(OVER_MS + 5) >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << final(b'{"n":2}')


def test_a_fetch_that_a_drain_cut_short_is_no_quiet_however_late_it_is_answered():
    """Records of the window may have been in its hands."""
    play = open_window()
    play.at(OVER_MS) >> drain << nothing
    play >> resume << nothing
    play >> fetched() << fetch(1) << nothing
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')


def test_records_that_come_after_the_quiet_are_waited_for_again():
    play = open_window()
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play.at(OVER_MS) >> fetched() << fetch(2)
    play >> fetched(3) << fetch(3)
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << windowed(3, state=b'{"n":2}')
    play >> done(b'{"n":3}') << saved(3, b'{"n":3}')
    play >> stored() << nothing
    play >> fetched() << fetch(3) << final(b'{"n":3}')


DAY_MS = 86_400_000


def test_t1_a_window_of_a_clock_that_was_a_day_ahead_ends_with_the_next_record():
    """Else the records of a whole day would go into one window, and it would tell nothing."""
    play = open_window()
    play.wall_shift_ms = -DAY_MS
    behind = at_wall(2, WALL_MS - DAY_MS)
    play >> fetched(behind) << fetch(2) << final(b'{"n":1}')
    play >> done(b"{}") << saved(1, None)
    start = START - DAY_MS
    play >> stored() << windowed(2, start=start, end=start + W)
    play >> done(b'{"n":1}') << saved(2, b'{"n":1}', start=start, end=start + W)


def test_t1_or_once_the_source_is_quiet():
    play = open_window()
    play.wall_shift_ms = -DAY_MS
    play.at(20_000) >> fetched() << fetch(1) << final(b'{"n":1}')


def test_t1_a_clock_that_was_set_back_a_little_only_makes_records_late():
    play = open_window()
    play.wall_shift_ms = -10 * W
    play.at(20_000) >> fetched() << fetch(1) << nothing
    play >> fetched(at_wall(2, WALL_MS - 10 * W)) << fetch(2) << windowed(2, state=b'{"n":1}')


def test_a_stretch_that_filters_left_out_is_no_quiet_but_its_time_counts():
    """The stream is read on past the window's end, whatever passes."""
    play = open_window()
    play.at(OVER_MS) >> fetched(read_to=9) << fetch(9) << saved(9, b'{"n":1}')
    play >> stored() << nothing
    play >> filtered(20, END - 1) << fetch(20) << nothing
    play >> filtered(30, END) << fetch(30) << final(b'{"n":1}')


def test_a_closed_shard_ends_its_window_before_its_children_start():
    """A closing shard ends its window; children begin with fresh state."""
    play = Play(tumbling_window_ms=W)
    play >> opened() << fetch(0)
    play >> opened(shard="1", parents=("0",)) << nothing
    play >> fetched(1, is_end=True) << windowed(1)
    play >> done(b'{"n":1}') << saved(1, b'{"n":1}')
    play >> stored() << final(b'{"n":1}')
    play >> ended(Failed("E")) << nothing
    play.wake() << final(b'{"n":1}', attempt=2)
    play >> done(b"{}") << saved(1, None)
    play >> stored() << fetch(0, shard="1")
    play >> fetched(1, shard="1") << fetch(1, shard="1")
    play << Stated("fresh state", lambda c: c.shard == "1" and c.window.state == b"{}")


def test_p28_after_a_restart_a_child_says_nothing_of_its_window_before_its_parent_is_finished():
    """That its parent was finished before, the engine learns from the parent's next fetch."""
    play = Play(tumbling_window_ms=W, state_bytes_max=3)
    play >> opened(7) << fetch(7)
    large = LaneProgress(0, 1, window=Window(START, END, b'{"n":1}'))
    play >> opened(1, shard="1", parents=("0",), lanes=(large,)) << nothing
    play >> fetched(is_end=True) << fetch(1, shard="1")
    play << Stated("its early end", lambda c: c.shard == "1" and c.window.is_terminated_early)


def test_a_window_that_handled_nothing_has_no_final_call():
    play = Play(tumbling_window_ms=W, retries_max=0)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << windowed(1)
    play >> failed() << discard(1, count=1, to=1)
    play >> discard_stored() << nothing
    play.at(OVER_MS) >> fetched() << fetch(1)
    play >> fetched(at_wall(2, END)) << fetch(2) << windowed(2, start=END, end=NEXT)


def test_a_fetch_waits_no_longer_than_until_the_window_is_over():
    wide = 7 * W
    end = (WALL_MS // wide + 1) * wide
    over_ms = end - WALL_MS + limits.WINDOW_GRACE_MS
    longest = limits.FETCH_WAIT_MS
    play = Play(tumbling_window_ms=wide)
    play >> opened() << fetch(0, wait_ms=longest)
    play >> fetched(1) << fetch(1, wait_ms=longest)
    play << windowed(1, start=end - wide, end=end)
    play >> done(b'{"n":1}')
    play.out.clear()
    play >> stored() << nothing
    play.at(over_ms - 5_000) >> fetched() << fetch(1, wait_ms=5_000)
    play.at(over_ms - 1) >> fetched() << fetch(1, wait_ms=limits.WINDOW_FETCH_WAIT_MS_MIN)
    play.at(over_ms) >> fetched() << fetch(1, wait_ms=longest)
    play << final(b'{"n":1}', end - wide, end)


def test_a_fetch_knows_of_the_window_of_a_batch_that_still_runs():
    play = Play(tumbling_window_ms=W)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1, wait_ms=OVER_MS) << windowed(1)
    play.at(500) >> fetched() << fetch(1, wait_ms=OVER_MS - 500)


def test_a_fetch_knows_of_the_last_window_behind_a_batch_that_is_held_up():
    """A stuck batch of a window that is over, and behind it records of one that is not."""
    play = Play(tumbling_window_ms=W, batch_size=1)
    play >> opened() << fetch(0)
    play >> fetched(1, 2) << fetch(2) << windowed(1)
    play.at(OVER_MS + W - 5_000) >> fetched(at_wall(3, END)) << fetch(3, wait_ms=5_000)


def test_while_a_batch_of_an_ended_window_runs_the_source_is_not_asked_all_the_time():
    play = open_window()
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play.at(OVER_MS) >> fetched() << fetch(2, wait_ms=limits.FETCH_WAIT_MS)


# Failures.


def test_p30_the_final_call_is_made_until_it_succeeds_and_blocks_the_shard():
    play = open_window(retries_max=0, record_age_ms_max=W)
    play >> fetched(at_wall(2, END)) << fetch(2) << final(b'{"n":1}')
    for attempt in range(2, 6):
        play >> failed() << nothing
        play.wake() << final(b'{"n":1}', attempt=attempt)
    play >> throttled() << nothing
    play.wake() << final(b'{"n":1}', attempt=5)
    play >> done(b"{}") << saved(1, None)
    play >> stored() << windowed(2, start=END, end=NEXT)


def test_a_final_call_backs_off_like_any_other():
    play = open_window()
    play >> fetched(at_wall(2, END)) << fetch(2) << final(b'{"n":1}')
    waits = []
    for attempt in range(2, 12):
        play >> ended(NotRun("throttled") if attempt % 2 else Failed("E")) << nothing
        waits.append(play.engine.next_wakeup_ms() - play.now_ms)
        play.wake()
        play.out.clear()
    assert 500 <= waits[0] <= 625
    assert waits[:7] == sorted(waits[:7])
    assert 48_000 <= waits[-1] <= limits.BACKOFF_MS_MAX


def test_a_failed_attempt_leaves_the_state_as_it_was():
    play = open_window(retries_max=2)
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play >> failed() << saved(1, b'{"n":1}', head=LaneHead(2, 2, 1))
    play >> stored() << nothing
    play.wake() << windowed(2, state=b'{"n":1}', attempt=2)
    play >> throttled() << nothing
    play.wake() << windowed(2, state=b'{"n":1}', attempt=2)


def test_p9_after_a_partial_success_the_tail_gets_the_returned_state():
    play = open_window(is_reporting_failures=True)
    play >> fetched(2, 3, 4) << fetch(4) << windowed(2, 3, 4, state=b'{"n":1}')
    play >> partly(1, state=b'{"n":2}') << saved(2, b'{"n":2}', head=LaneHead(3, 4, 0))
    play >> stored() << windowed(3, 4, state=b'{"n":2}')


def test_p15_a_report_of_the_first_record_moves_nothing():
    play = open_window(is_reporting_failures=True)
    play >> fetched(2, 3) << fetch(3) << windowed(2, 3, state=b'{"n":1}')
    play >> partly(0, state=b'{"n":9}') << saved(1, b'{"n":1}', head=LaneHead(2, 3, 1))
    play >> stored() << nothing
    play.wake() << windowed(2, 3, state=b'{"n":1}', attempt=2)


def test_p14_the_second_half_gets_the_state_of_the_first():
    play = open_window(is_bisecting=True)
    play >> fetched(2, 3) << fetch(3) << windowed(2, 3, state=b'{"n":1}')
    play >> failed() << saved(1, b'{"n":1}', head=LaneHead(2, 2, 0, (3,)))
    play >> stored() << windowed(2, state=b'{"n":1}')
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}', head=LaneHead(3, 3, 0))
    play >> stored() << windowed(3, state=b'{"n":2}')


def test_a_discard_leaves_the_state_as_it_was():
    play = open_window(retries_max=0)
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play >> failed() << discard(2, count=1, to=2)
    assert play.last(e.Discard).update.lane.window == Window(START, END, b'{"n":1}')
    play >> discard_stored() << nothing
    play >> fetched(3) << fetch(3) << windowed(3, state=b'{"n":1}')


def test_a_success_without_state_is_a_contradiction():
    play = Play(tumbling_window_ms=W)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << windowed(1)
    with pytest.raises(EngineError, match="no state"):
        play >> succeeded()
