"""One lane around one attempt: `event-source-mappings.md` 3.5."""

from router.mapping.attempts import conclude, prepare
from router.mapping.lanes import Lane, Phase
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.progress import LaneProgress
from tests.unit.mapping.play import WALL_MS, record, spec_of


def lane_of_batch(*records) -> Lane:
    lane = Lane("0", LaneProgress(0, 0))
    for found in records:
        lane.take_in(found, 0, 0)
    lane.take_batch(spec_of())
    return lane


def ends_as(outcome, size: int = 4, **spec) -> tuple[Lane, list[int]]:
    lane = lane_of_batch(*(record(index + 1) for index in range(size)))
    lane.phase = Phase.RUNNING
    finished = conclude(lane, outcome, spec_of(**spec), "0", 50, WALL_MS)
    return lane, [found.position for found in finished]


def test_a_batch_fit_to_be_tried_is_left_alone():
    lane = lane_of_batch(record(1), record(2))
    assert prepare(lane, spec_of(record_age_ms_max=60_000, retries_max=0), WALL_MS)
    assert lane.phase is Phase.READY
    assert len(lane.batch) == 2


def test_expired_front_fresh_middle_and_a_rest():
    old, older = record(1, arrival_ms=WALL_MS - 60_000), record(3, arrival_ms=0)
    lane = lane_of_batch(old, record(2), older, record(4))
    assert not prepare(lane, spec_of(record_age_ms_max=60_000), WALL_MS)
    assert [found.position for found in lane.doomed.records] == [1]
    assert [found.position for found in lane.batch] == [2]
    assert [found.position for found in lane.queue] == [3, 4]
    assert lane.ends == (4,)


def test_an_oversized_record_is_doomed_a_full_one_is_not():
    spec = spec_of(event_bytes_max=114)
    assert prepare(lane_of_batch(record(1)), spec, WALL_MS)
    lane = lane_of_batch(record(1, size_bytes=101))
    assert not prepare(lane, spec, WALL_MS)
    assert lane.doomed.condition == "MaximumPayloadSizeExceeded"
    assert lane.doomed.invoke_count == 1


def test_success_finishes_all_and_starts_the_next_window():
    lane, finished = ends_as(Succeeded())
    assert finished == [1, 2, 3, 4]
    assert lane.phase is Phase.SAVING
    assert lane.window_start_ms == 50


def test_progress_finishes_the_front():
    lane, finished = ends_as(PartlySucceeded((2, 3)))
    assert finished == [1, 2]
    assert lane.ends == (4,)
    assert lane.first_failure_wall_ms == WALL_MS


def test_a_failure_counts_and_waits():
    lane, finished = ends_as(Failed("E"))
    assert finished == []
    assert (lane.attempts, lane.phase) == (1, Phase.SAVING)
    assert lane.attempt_from_ms >= 550


def test_a_failure_that_halves_does_not_wait():
    lane, finished = ends_as(Failed("E"), is_bisecting=True)
    assert finished == []
    assert (lane.attempts, lane.ends, lane.attempt_from_ms) == (0, (2, 4), 0)


def test_the_last_failure_dooms_with_its_outcome():
    lane, finished = ends_as(Failed("E"), retries_max=0)
    assert finished == []
    assert lane.phase is Phase.DISCARDING
    assert (lane.doomed.invoke_count, lane.doomed.outcome) == (1, Failed("E"))


def test_a_function_that_did_not_run_waits_and_stores_nothing():
    lane, finished = ends_as(NotRun("throttled"), retries_max=0, is_bisecting=True)
    assert finished == []
    assert (lane.attempts, lane.misses, lane.phase) == (0, 1, Phase.READY)
    assert lane.attempt_from_ms >= 550
