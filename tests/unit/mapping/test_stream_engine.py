"""The stream engine, as playbooks: `event-source-mappings.md` 2 to 4, `reliability.md` 2."""

from tests.unit.mapping.play import (
    Play,
    discard,
    discard_stored,
    failed,
    fetch,
    fetched,
    invoke,
    nothing,
    opened,
    save,
    stored,
    succeeded,
)


def test_happy_path_saves_before_the_next_batch_of_a_lane_starts():
    play = Play(batch_size=2)
    play >> opened() << fetch(0, records_max=2000, bytes_max=8 * 1024 * 1024)
    play >> fetched(1, 2, 3) << fetch(3) << invoke(1, 2, lane=0)
    play >> succeeded() << save(2, lane=0, lane_position=2)
    play >> stored() << invoke(3)
    play >> fetched(4) << fetch(4)
    play >> succeeded() << save(3)
    play >> stored() << invoke(4)
    play >> succeeded() << save(4)
    play >> stored() << nothing


def test_p8_two_retries_are_three_invocations():
    play = Play(retries_max=2)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << invoke(1, attempt=1)
    for attempt in (1, 2):
        play >> failed() << save(0, head=play_head(1, 1, attempt))
        play >> stored() << nothing
        play.wake() << invoke(1, attempt=attempt + 1)
    play >> failed() << discard(1, count=3, to=1)
    play >> discard_stored() << nothing


def play_head(first, last, attempts, *ends):
    from router.model.progress import LaneHead

    return LaneHead(first, last, attempts, ends)
