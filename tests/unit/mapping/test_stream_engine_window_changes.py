"""Windows whose state is large, that a restart finds, or whose settings change."""

from router.mapping import engine as e
from router.mapping.batching import ENVELOPE_BYTES
from router.model.outcome import Succeeded
from router.model.progress import LaneHead, LaneProgress
from router.model.window import Window
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    discard,
    discard_stored,
    drain,
    ended,
    failed,
    fetch,
    fetched,
    invoke,
    nothing,
    opened,
    resume,
    save,
    settings,
    stored,
    succeeded,
)
from tests.unit.mapping.window_play import (
    END,
    FRAME,
    NEXT,
    OVER_MS,
    START,
    W,
    at_wall,
    done,
    early,
    final,
    later,
    open_window,
    saved,
    windowed,
)

# The size of the state.


def test_a_state_over_the_limit_ends_the_window_early_and_it_goes_on_empty():
    big = b'{"n":"' + b"x" * 60 + b'"}'
    play = Play(tumbling_window_ms=W, state_bytes_max=50)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << windowed(1)
    play >> done(big) << saved(1, big)
    play >> stored() << early(big)
    play >> failed() << nothing
    play >> fetched(2) << fetch(2)
    play.wake() << early(big, attempt=2)
    play >> done(b'{"ignored":1}') << saved(1, b"{}")
    play >> stored() << windowed(2, state=b"{}")
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << nothing


def test_a_state_of_exactly_the_limit_goes_on():
    state = b'{"n":"' + b"x" * 42 + b'"}'
    play = open_window(state, state_bytes_max=len(state))
    play >> fetched(2) << fetch(2) << windowed(2, state=state)


def test_a_restart_makes_the_early_call_again():
    big = b'{"n":"' + b"x" * 60 + b'"}'
    play = Play(tumbling_window_ms=W, state_bytes_max=50)
    play >> later(Window(START, END, big)) << fetch(1) << early(big)


def test_d11_the_batch_leaves_room_for_the_state():
    state = b'{"n":"' + b"x" * 92 + b'"}'
    play = open_window(state, event_bytes_max=FRAME + len(state) + 200)
    play >> fetched(2, 3, 4) << fetch(4) << windowed(2, 3, state=state)
    play = open_window(state, event_bytes_max=FRAME + len(state) + 199)
    play >> fetched(2, 3, 4) << fetch(4) << windowed(2, state=state)


def test_a_record_that_only_the_state_leaves_no_room_for_is_not_given_up():
    state = b'{"n":"' + b"x" * 92 + b'"}'
    play = open_window(state, event_bytes_max=FRAME + 250)
    play >> fetched(at_wall(2, WALL_MS, size_bytes=248)) << fetch(2) << early(state)
    play >> done(b"{}") << saved(1, b"{}")
    play >> stored() << windowed(2)


def test_a_record_too_large_for_any_window_event_is_given_up_and_the_window_goes_on():
    play = open_window(event_bytes_max=FRAME + 250)
    play >> fetched(at_wall(2, WALL_MS, size_bytes=249)) << fetch(2)
    play << discard(2, condition="MaximumPayloadSizeExceeded", count=1, to=2)
    play >> discard_stored() << nothing
    play >> fetched(3) << fetch(3) << windowed(3, state=b'{"n":1}')
    assert FRAME > ENVELOPE_BYTES


# Restarts, drains, settings.


def test_a_restart_goes_on_with_the_stored_state():
    play = Play(tumbling_window_ms=W)
    play >> later(Window(START, END, b'{"n":7}'), 5) << fetch(5)
    play >> fetched(6) << fetch(6) << windowed(6, state=b'{"n":7}')


def test_a_restart_after_the_end_makes_the_final_call():
    play = Play(tumbling_window_ms=W)
    play.at(OVER_MS) >> later(Window(START, END, b'{"n":7}')) << fetch(1, wait_ms=1_000)
    play >> fetched() << fetch(1) << final(b'{"n":7}')


def test_a_late_record_after_a_closed_window_joins_the_next_one_also_after_a_restart():
    play = Play(tumbling_window_ms=W)
    play >> later(Window(START, END, None)) << fetch(1)
    play >> fetched(2) << fetch(2) << windowed(2, start=END, end=NEXT)


def test_a_part_found_in_the_store_is_formed_with_the_stored_state():
    play = Play(tumbling_window_ms=W)
    lane = LaneProgress(0, 1, LaneHead(2, 3, 1, (4,)), Window(START, END, b'{"n":1}'))
    play >> opened(1, lanes=(lane,)) << fetch(1)
    play >> fetched(2, 3, 4, 5) << fetch(5) << windowed(2, 3, state=b'{"n":1}', attempt=2)
    play >> done(b'{"n":3}') << saved(3, b'{"n":3}', head=LaneHead(4, 4, 0))
    play >> stored() << windowed(4, state=b'{"n":3}')


def test_draining_makes_no_final_call_and_resuming_does():
    play = open_window()
    play >> drain << nothing
    assert play.engine.is_drained
    play.at(OVER_MS) >> fetched() << nothing
    play >> resume << fetch(1, wait_ms=1_000)
    play >> fetched() << fetch(1) << final(b'{"n":1}')
    play >> drain << nothing
    assert not play.engine.is_drained
    play >> failed() << nothing
    assert play.engine.is_drained
    play >> resume << nothing
    play.wake() << final(b'{"n":1}', attempt=2)


def test_the_answer_of_a_fetch_that_a_drain_ended_says_nothing_about_the_source():
    play = open_window()
    play.at(OVER_MS) >> drain << nothing
    play >> fetched() << nothing
    play >> resume << fetch(1)


def test_windows_need_one_lane_and_take_it_when_the_old_ones_are_empty():
    play = Play(factor=3)
    play >> opened(factor=3) << fetch(0)
    play >> fetched(1) << fetch(1) << invoke(1)
    play >> settings(tumbling_window_ms=W, factor=3) << nothing
    play >> fetched(2) << nothing
    play >> succeeded() << save(1, factor=3)
    play >> stored() << invoke(2)  # read under the old lane map: ordinary
    assert play.last(e.Invoke).window is None
    play >> succeeded() << save(2, factor=3)
    play >> stored() << fetch(2)
    play >> fetched(3) << fetch(3) << windowed(3)
    play >> done(b'{"n":1}') << saved(3, b'{"n":1}')
    assert play.last(e.SaveProgress).update.factor == 1


def test_switched_off_the_window_ends_after_the_running_batch_and_then_lanes_come_back():
    play = open_window(factor=3)
    play >> fetched(2) << fetch(2) << windowed(2, state=b'{"n":1}')
    play >> fetched(3) << fetch(3)
    play >> settings(factor=3) << nothing
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << final(b'{"n":2}')
    play >> ended(Succeeded(b"{}")) << saved(2, None)
    play >> stored() << invoke(3)
    assert play.last(e.Invoke).window is None
    play >> succeeded() << save(3, factor=1)
    play >> stored() << nothing
    play >> fetched() << fetch(3)
    play >> fetched(4) << fetch(4) << invoke(4)
    play >> succeeded() << save(4, factor=3)


def test_switched_off_and_on_the_next_window_comes_after_the_last_one():
    """Also through another lane map: the same window is never opened twice."""
    play = open_window()
    play >> settings(factor=3) << final(b'{"n":1}')
    play >> done(b"{}") << saved(1, None)
    play >> stored() << nothing
    play >> fetched(2) << fetch(2) << invoke(2)
    play >> succeeded() << save(2, factor=3)
    play >> stored() << nothing
    play >> settings(tumbling_window_ms=W, factor=3) << nothing
    play >> fetched(3) << fetch(3) << windowed(3, start=END, end=NEXT)


def test_another_width_holds_from_the_next_window_on():
    play = open_window()
    play >> settings(tumbling_window_ms=10 * W) << nothing
    play >> fetched(2, at_wall(3, END)) << fetch(3) << windowed(2, state=b'{"n":1}')
    play >> done(b'{"n":2}') << saved(2, b'{"n":2}')
    play >> stored() << final(b'{"n":2}')
    play >> done(b"{}") << saved(2, None)
    wide_end = (END // (10 * W) + 1) * 10 * W
    play >> stored() << windowed(3, start=END, end=wide_end)


def test_a_batch_that_is_tried_again_keeps_its_window_though_settings_change():
    play = Play(tumbling_window_ms=W)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << windowed(1)
    play >> settings() << nothing
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> stored() << nothing
    play.wake() << windowed(1, attempt=2)
    play >> done(b'{"n":1}') << saved(1, b'{"n":1}')
    play >> stored() << final(b'{"n":1}')


def test_a_wall_clock_that_jumps_hastens_or_delays_the_end_and_loses_nothing():
    """T1: order and state do not hang on the wall clock."""
    play = open_window()
    play.wall_shift_ms = 10 * W
    play >> fetched() << fetch(1) << final(b'{"n":1}')
    play.wall_shift_ms = -10 * W
    play >> done(b"{}") << saved(1, None)
    play >> stored() << nothing
    play >> fetched(at_wall(2, WALL_MS - 10 * W)) << fetch(2)
    play << windowed(2, start=END, end=NEXT)


def test_a_step_that_is_not_stored_is_asked_for_again_with_the_same_window():
    play = open_window()
    play >> fetched(at_wall(2, END)) << fetch(2) << final(b'{"n":1}')
    play >> done(b"{}") << saved(1, None)
    play >> (lambda p: e.ProgressFailed(p.take(e.SaveProgress).command_id, "full")) << nothing
    play.wake() << saved(1, None)
    play >> stored() << windowed(2, start=END, end=NEXT)
