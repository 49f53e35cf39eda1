"""The rules of `event-source-mappings.md` 2, 4 and 8 for queues, one by one."""

import pytest

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.model.errors import EngineError
from router.model.limits import EVENT_BYTES_MAX, MIB
from router.model.outcome import PartlySucceeded
from router.model.resources import Pollers
from tests.unit.mapping.queue_play import QueuePlay, message


@pytest.fixture
def play():
    return QueuePlay()


def names(count, first=1):
    return tuple(str(number) for number in range(first, first + count))


# Life of a message


def test_window_0_sends_what_one_receive_returned_and_deletes_it(play):
    play.receives("1", "2").invokes("1", "2").does_nothing()
    play.starts().at(50).ends().deletes("1", "2").deleted().does_nothing()
    assert play.engine.held_bytes == 0
    assert play.engine.held_records == 0


def test_p25_what_failed_is_left_and_nothing_is_asked_for_it(play):
    play.receives("1", "2").invokes("1", "2").starts().fails().does_nothing()
    assert play.engine.held_records == 0
    play.at(60_000).ticks().does_nothing()


def test_d9_exactly_the_reported_messages_are_left(play):
    play.receives("1", "2", "3").invokes("1", "2", "3").starts().reports(1)
    play.deletes("1", "3").deleted().does_nothing()
    assert play.engine.held_records == 0


def test_p20_what_filters_left_out_is_deleted_and_takes_no_place(play):
    play.receives("1", left_out=("8", "9")).deletes("8", "9").invokes("1")
    play.deleted().starts().ends().deletes("1")


def test_p20_a_receive_of_which_nothing_passed_invokes_nothing(play):
    play.receives(left_out=("1", "2")).deletes("1", "2").deleted().does_nothing()
    assert play.receives_open


def test_an_outcome_outside_the_batch_is_a_contradiction(play):
    play.receives("1").invokes("1").starts()
    with pytest.raises(EngineError):
        play.ends(PartlySucceeded((1,)))


@pytest.mark.parametrize(
    "event",
    [
        q.MessagesReceived(99),
        q.ReceiveFailed(99, ""),
        q.InvocationStarted(99),
        q.MessagesDeleted(99),
        q.DeleteFailed(99, ""),
    ],
)
def test_an_answer_that_nobody_waits_for_is_a_contradiction(play, event):
    with pytest.raises(EngineError):
        play.engine.handle(event, 0, 0)


def test_time_never_goes_back(play):
    play.at(10).ticks()
    with pytest.raises(EngineError):
        play.at(9).ticks()


# Batches


def test_a_batch_is_gathered_from_several_receives_until_it_is_full():
    play = QueuePlay(batch_size=12, window_ms=5_000)
    play.receives(*names(10)).does_nothing()
    play.receives(*names(2, 11)).invokes(*names(12))


def test_receives_of_a_large_batch_are_as_large_as_the_source_takes_and_side_by_side():
    play = QueuePlay(batch_size=100, window_ms=5_000, concurrency_max=2)
    play.receives(*names(10))
    assert [command.messages_max for command in play.open[q.Receive]] == [10, 10]
    play.receives(*names(10, 11)).receives(*names(10, 21))
    assert play.receives_open == 8
    assert sum(command.messages_max for command in play.open[q.Receive]) <= 200 - 30


def test_p26_d11_a_window_closes_a_short_batch():
    play = QueuePlay(batch_size=100, window_ms=5_000)
    play.at(1_000).receives("1").does_nothing()
    play.at(3_000).receives("2").does_nothing()
    assert play.engine.next_wakeup_ms() == 6_000
    play.at(5_999).ticks().does_nothing()
    play.at(6_000).ticks().invokes("1", "2")


def test_a_window_starts_when_the_invocation_before_ended():
    play = QueuePlay(batch_size=100, window_ms=5_000)
    play.receives("1").at(5_000).ticks().invokes("1").starts()
    play.at(6_000).ends().deletes("1").deleted()
    play.at(8_000).receives("2").does_nothing()
    assert play.engine.next_wakeup_ms() == 11_000


def test_p27_what_exceeds_6_mib_opens_the_next_batch(play):
    large = [message(str(number), size_bytes=MIB) for number in range(1, 8)]
    play.receives(*large).invokes(*names(5)).invokes("6", "7")


def test_p27_exactly_6_mib_is_full():
    play = QueuePlay(batch_size=100, window_ms=5_000)
    room = EVENT_BYTES_MAX - len(b'{"Records":[]}')
    play.receives(message("1", size_bytes=room - 100), message("2", size_bytes=100))
    play.invokes("1", "2")


def test_p27_fifo_the_rest_of_a_group_waits_for_what_was_in_front_of_it():
    play = QueuePlay(fifo=True)
    play.receives(*(message(f"G{number}", size_bytes=2 * MIB) for number in range(1, 5)))
    play.invokes("G1", "G2").starts().does_nothing()
    play.ends().deletes("G1", "G2").does_nothing()
    play.deleted().invokes("G3", "G4")


def test_settings_hold_for_what_is_gathered_already():
    play = QueuePlay(batch_size=100, window_ms=60_000)
    play.receives("1").does_nothing()
    play.at(100).changes(batch_size=10, window_ms=0).invokes("1")


# FIFO


def test_p24_several_groups_in_one_batch():
    play = QueuePlay(fifo=True)
    play.receives("A1", "B1", "A2").invokes("A1", "B1", "A2")


def test_p24_d6_a_group_is_never_in_two_batches():
    play = QueuePlay(fifo=True)
    play.receives("A1", "B1").invokes("A1", "B1").starts()
    play.receives("A2", "C1").does_nothing()
    play.receives("D1").invokes("D1").starts(1)
    play.ends().deletes("A1", "B1").deleted().invokes("A2", "C1")


def test_p24_a_partial_failure_takes_along_what_waits_of_that_group_only():
    play = QueuePlay(fifo=True, is_reporting_failures=True)
    play.receives("A1", "B1").invokes("A1", "B1").starts()
    play.receives("A2", "B2", "C1").does_nothing()
    play.reports(0).deletes("B1").deleted().invokes("B2", "C1")
    assert play.engine.held_records == 2


def test_p24_a_function_error_fails_every_group_of_the_batch():
    play = QueuePlay(fifo=True)
    play.receives("A1", "B1").invokes("A1", "B1").starts()
    play.receives("A2", "B2").does_nothing()
    play.fails().does_nothing()
    assert play.engine.held_records == 0


def test_d5_a_group_that_lost_its_turn_is_not_overtaken_by_its_rest():
    play = QueuePlay(fifo=True)
    play.receives(message("A1", until_ms=1_000), message("A2", until_ms=60_000), "B1")
    play.invokes("A1", "A2", "B1").is_throttled()
    play.at(1_000).ticks().invokes("B1", attempt=2)


def test_d5_what_waits_behind_a_message_that_is_not_hidden_any_more_is_left_with_it():
    play = QueuePlay(fifo=True)
    large = {"size_bytes": 3 * MIB - 100}
    play.receives(
        message("G1", until_ms=1_000, **large), message("G2", **large), message("G3", **large)
    )
    play.invokes("G1", "G2").is_throttled().does_nothing()
    play.at(1_000).ticks().does_nothing()
    assert play.engine.held_records == 0


def test_d5_a_group_goes_on_when_what_is_handled_is_gone_from_the_queue():
    """It could come again, behind what was after it."""
    play = QueuePlay(fifo=True)
    large = {"size_bytes": 3 * MIB - 100}
    play.receives(*(message(f"G{number}", **large) for number in range(1, 5)))
    play.invokes("G1", "G2").starts().ends().deletes("G1", "G2").delete_fails().does_nothing()
    play.at(5_000).ticks().deletes("G1", "G2").deleted(1).does_nothing()
    play.at(10_000).ticks().deletes("G2").deleted().invokes("G3", "G4")


def test_d5_behind_a_message_that_could_not_be_deleted_nothing_overtakes_it():
    play = QueuePlay(fifo=True)
    large = {"size_bytes": 3 * MIB - 100}
    g1, g2 = message("G1", until_ms=1_000, **large), message("G2", until_ms=1_000, **large)
    play.receives(g1, g2, message("G3", **large), message("H1"))
    play.invokes("G1", "G2").starts().ends().deletes("G1", "G2").delete_fails()
    play.at(5_000).ticks().deletes("G1", "G2").delete_fails()
    play.at(10_000).ticks().deletes("G1", "G2").delete_fails().invokes("H1")
    assert play.engine.held_records == 1, "G3 comes again by itself, behind both"


def test_fifo_the_last_receipt_is_the_one_that_counts():
    play = QueuePlay(fifo=True)
    play.receives("A1").invokes("A1").starts()
    play.at(31_000).receives(again("A1"), again("A2")).does_nothing()
    play.ends().deletes_receipts("r2-A1").does_nothing()
    play.deleted().invokes("A2")


# Throttles


def test_of_a_standard_queue_only_what_is_not_hidden_any_more_is_dropped(play):
    play.receives(message("1", until_ms=1_000), "2").invokes("1", "2").is_throttled()
    play.at(1_000).ticks().invokes("2", attempt=2)


def test_a_batch_that_was_received_again_meanwhile_is_tried_with_the_newer_receipts(play):
    play.receives(*names(10)).starts().ends().left.clear()
    assert play.receives_open > 1
    play.receives("a").invokes("a").receives(again("a")).is_throttled().does_nothing()
    play.at(700).ticks().invokes("a", attempt=2)
    play.starts().ends().deletes_receipts("r2-a").does_nothing()
    assert play.engine.held_bytes == 0


def test_a_throttled_batch_is_tried_again_while_it_is_hidden(play):
    play.receives("1", "2").invokes("1", "2").is_throttled().does_nothing()
    due_ms = play.engine.next_wakeup_ms()
    assert 500 <= due_ms <= 625
    play.at(due_ms).ticks().invokes("1", "2", attempt=2)
    play.starts().ends().deletes("1", "2")


def test_a_throttled_batch_is_dropped_when_its_visibility_timeout_ends(play):
    play.receives("1").invokes("1").is_throttled()
    for _attempt in range(20):
        if (due_ms := play.engine.next_wakeup_ms()) is None or due_ms >= 30_000:
            break
        play.at(due_ms).ticks()
        play.left.clear()
        play.is_throttled()
    play.at(due_ms).ticks().does_nothing()
    assert play.now_ms == 30_000
    assert play.engine.held_records == 0
    assert play.engine.held_bytes == 0
    assert play.receives_open, "it goes on with what comes"


def test_while_a_batch_is_throttled_nothing_is_received(play):
    play.receives("1").invokes("1").is_throttled()
    seen = play.receives_seen
    play.at(100).ticks()
    assert play.receives_seen == seen


def test_while_a_batch_waits_for_its_turn_nothing_is_received(play):
    play.receives("1").invokes("1")
    assert play.receives_open == 0
    play.at(10_000).ticks()
    assert play.receives_open == 0
    play.starts()
    assert play.receives_open == 1, "one after the other where turns are rare"


def test_a_batch_runs_at_least_once_however_short_the_visibility_timeout(play):
    play.receives(message("1", until_ms=0)).invokes("1")


# Concurrency


def test_it_begins_with_five_batches_at_most(play):
    for _round in range(20):
        if play.receives_open == 0:
            break
        play.receives(*names(10, 10 * _round)).starts(-1)
        play.left.clear()
    assert len(play.open[q.Invoke]) == 5


def test_8_3_no_more_is_received_than_maximum_concurrency_can_run():
    play = QueuePlay(concurrency_max=2)
    play.receives("1", "2").starts()
    while play.receives_open:
        play.receives("3", "4").starts(-1)
    assert len(play.open[q.Invoke]) == 2
    play.ends()
    assert play.receives_open == 1


def test_concurrency_grows_by_300_a_minute_while_messages_remain():
    play = QueuePlay(slots=1_000)
    for second in range(61):
        play.at(1_000 * second)
        play.receives(*names(10, 100 * second)).starts().ends()
    assert 300 <= play.engine._pace.batches_max <= 310


def test_a_quiet_queue_brings_it_back_to_five():
    play = QueuePlay(slots=1_000)
    for second in range(11):
        play.at(1_000 * second).receives(*names(10, 100 * second)).starts().ends()
    assert play.engine._pace.batches_max > 50
    play.at(31_000).receives()
    assert play.engine._pace.batches_max == 5


def test_function_errors_slow_it_down_but_not_with_reports():
    for is_reporting, batches in ((False, 2), (True, 5)):
        play = QueuePlay(is_reporting_failures=is_reporting)
        play.receives("1").starts().fails()
        assert play.engine._pace.batches_max == batches


def test_provisioned_pollers_set_floor_and_ceiling():
    play = QueuePlay(slots=1_000, pollers=Pollers(2, 3))
    assert play.engine._pace.batches_max == 20
    for second in range(11):
        play.at(1_000 * second).receives(*names(10, 100 * second)).starts().ends()
    assert play.engine._pace.batches_max == 30
    play.at(12_000).receives("1200").starts().fails()
    assert play.engine._pace.batches_max == 20


def test_an_idle_queue_has_one_receive_open(play):
    for round_ms in range(20_000, 200_000, 20_000):
        assert play.receives_open == 1
        play.at(round_ms).receives().does_nothing()


def test_a_queue_that_does_not_wait_is_not_asked_all_the_time(play):
    play.at(10).receives()
    assert play.receives_open == 0
    assert play.engine.next_wakeup_ms() == 510
    play.at(510).ticks()
    assert play.receives_open == 1


def test_k4_a_queue_that_cannot_be_read_is_asked_again_after_a_back_off(play):
    for _miss in range(12):
        play.cannot_receive()
        assert play.receives_open == 0
        due_ms = play.engine.next_wakeup_ms()
        assert 0 < due_ms - play.now_ms <= 5_000
        play.at(due_ms).ticks()
        assert play.receives_open == 1


# Bounds


def test_l2_little_room_still_lets_one_message_through():
    play = QueuePlay()
    play.receives("1").has_room(1).starts().ends()
    assert play.receives_open == 1
    assert play.open[q.Receive][0].messages_max >= 1
    play.receives("2").starts()
    assert play.receives_open == 0, "a message at a time"


def test_l2_no_more_is_asked_for_than_has_room(play):
    play.has_room(3 * MIB)
    play.receives(message("1", size_bytes=MIB)).starts()
    assert sum(command.messages_max for command in play.open[q.Receive]) <= 2


# Deletions


def test_a_deletion_that_fails_is_tried_again_while_the_message_is_hidden(play):
    play.receives("1", "2", "3").invokes("1", "2", "3").starts().ends()
    play.deletes("1", "2", "3").deleted(1).does_nothing()
    play.at(play.engine.next_wakeup_ms()).ticks().deletes("2").delete_fails()
    play.at(29_999).ticks().deletes("2").delete_fails()
    assert play.engine.next_wakeup_ms() is None
    play.at(90_000).ticks().does_nothing()


def test_d6_fifo_what_is_handled_and_received_again_goes_by_its_newer_receipt():
    """It is not run again, and no receive of it is in vain: that one's receipt deletes it."""
    play = QueuePlay(fifo=True)
    play.receives("A1", "B1").invokes("A1", "B1").starts().ends().deletes("A1", "B1")
    play.at(31_000).receives(again("A1"), again("A2")).does_nothing()
    play.deleted(0).deletes_receipts("r2-A1").does_nothing()
    assert play.engine.held_records == 1
    play.deleted().invokes("A2")


def test_d6_fifo_a_newer_receipt_is_tried_at_once_and_as_often_as_the_first():
    play = QueuePlay(fifo=True)
    play.receives("A1").invokes("A1").starts().ends().deletes("A1").delete_fails()
    play.at(29_000).ticks().deletes("A1").delete_fails().at(29_900).ticks().does_nothing()
    play.receives(again("A1"), again("A2")).deletes_receipts("r2-A1").delete_fails().does_nothing()
    play.at(70_000).ticks().deletes_receipts("r2-A1").delete_fails()
    play.at(89_900).ticks().deletes_receipts("r2-A1").delete_fails().does_nothing()
    assert play.engine.held_records == 0, "A2 comes again by itself, behind A1"
    play.receives(again("A1")).invokes("A1")


def test_d6_what_is_handled_is_not_run_again_when_it_is_received_while_its_deletion_waits(play):
    """Of a standard queue a deletion by any receipt may be the one that counts."""
    play.receives("1", "2").invokes("1", "2").starts().ends().deletes("1", "2")
    play.at(31_000).receives(again("1")).deletes_receipts("r2-1").does_nothing()
    play.deleted().deleted().receives(again("1")).invokes("1")


def test_a_drain_waits_for_what_goes_by_a_newer_receipt():
    play = QueuePlay(fifo=True)
    play.receives("A1").invokes("A1").starts().ends().deletes("A1")
    play.at(31_000).receives(again("A1")).drains()
    play.open[q.Receive].clear()
    play.deleted(0).deletes_receipts("r2-A1")
    assert not play.engine.is_drained
    play.deleted()
    assert play.engine.held_bytes == 0


def test_a_deletion_is_tried_three_times_also_after_the_timeout(play):
    play.receives("1").invokes("1").starts().at(40_000).ends().deletes("1").delete_fails()
    play.at(45_000).ticks().deletes("1").delete_fails()
    play.at(50_000).ticks().deletes("1").delete_fails()
    play.at(90_000).ticks().does_nothing()


def test_nothing_is_received_while_very_many_wait_for_their_deletion():
    play = QueuePlay(batch_size=10)
    many = tuple(str(number) for number in range(10_000))
    play.receives(left_out=many)
    assert play.receives_open == 0
    play.deleted()
    assert play.receives_open > 0


# Receipts that expire


def again(name):
    return message(name, until_ms=90_000, receipt=f"r2-{name}")


def test_a_message_received_again_while_it_runs_waits_for_what_becomes_of_it(play):
    play.receives("1", "2").invokes("1", "2").starts()
    play.at(31_000).receives(again("1"), "3").invokes("3").starts(1)
    play.ends().deletes_receipts("r-1", "r2-1", "r-2").does_nothing()
    play.ends().deletes("3")
    assert play.engine.held_bytes == 0


def test_a_message_received_again_runs_again_when_it_failed(play):
    play.receives("1", "2").invokes("1", "2").starts()
    play.at(31_000).receives(again("1")).does_nothing()
    play.fails().invokes("1").starts().ends().deletes_receipts("r2-1")
    assert play.engine.held_bytes == 0


@pytest.mark.parametrize("fifo", [False, True])
def test_p24_a_receipt_that_is_over_as_well_runs_nothing(fifo):
    """Others may have the message by then."""
    name = "A1" if fifo else "1"
    play = QueuePlay(fifo=fifo)
    play.receives(name).invokes(name).starts()
    play.at(31_000).receives(again(name)).does_nothing()
    play.at(91_000).fails().does_nothing()
    assert (play.engine.held_records, play.engine.held_bytes) == (0, 0)


def test_d5_fifo_a_group_received_again_keeps_its_order():
    play = QueuePlay(fifo=True)
    play.receives("A1").invokes("A1").starts()
    play.at(31_000).receives(again("A1"), again("A2")).does_nothing()
    play.fails().invokes("A1")
    assert play.engine.held_records == 1, "A2 comes again by itself, behind A1"


def test_a_newer_receipt_takes_the_place_of_one_that_waits(play):
    play.receives("1").invokes("1").is_throttled()
    play.open[q.Receive].append(q.Receive(77, 10))
    play.engine._receives[77] = (10, 0)
    play.at(400).receives(message("1", until_ms=90_000, receipt="r2-1", size_bytes=103))
    play.at(700).ticks().invokes("1", attempt=2)
    play.starts().ends().deletes_receipts("r2-1")
    assert play.engine.held_bytes == 0


# Drain


def test_s1_a_drain_runs_what_was_received_and_receives_nothing_more():
    play = QueuePlay(batch_size=100, window_ms=60_000)
    play.receives("1", "2").does_nothing()
    seen = play.receives_seen
    play.at(10).drains().invokes("1", "2")
    assert not play.engine.is_drained
    while play.receives_open > 1:
        play.receives()
    play.receives("3").invokes("3").starts().starts(1)
    play.ends().ends().deletes("1", "2").deletes("3")
    assert not play.engine.is_drained
    play.deleted().deleted()
    assert play.engine.is_drained
    assert play.receives_seen == seen


def test_s1_a_drain_leaves_what_finds_no_slot(play):
    play.receives("1").invokes("1").drains().is_throttled()
    while play.receives_open:
        play.receives()
    assert play.engine.is_drained
    play.resumes()
    assert play.receives_open == 1


def test_s1_a_drain_gives_up_what_was_throttled_before(play):
    play.receives("1").invokes("1").is_throttled().drains().does_nothing()
    while play.receives_open:
        play.receives()
    assert play.engine.is_drained


def test_ticks_before_it_is_opened_ask_for_nothing():
    from router.mapping.queue_engine import QueueEngine
    from tests.unit.mapping.queue_play import spec_of

    assert QueueEngine(spec_of(), 5).handle(e.Tick(), 0, 0) == []
