"""A queue's mapping as people see it: its batches, on a FIFO queue its message groups."""

from collections.abc import Iterable, Iterator

from router.mapping.queue_batches import Batch
from router.mapping.queue_events import Message
from router.mapping.view import LaneView


def view_queue(
    batches: Iterable[Batch], gathered: Iterable[Message], now_ms: int
) -> list[LaneView]:
    """What is received and not finished.

    A group is one lane, whatever it is in; messages without one are shown by batch.
    """
    lanes: dict[str, LaneView] = {}
    rows: list[LaneView] = []
    for lane in _parts(batches, gathered, now_ms):
        if lane.lane in lanes:
            lanes[lane.lane] = _joined(lanes[lane.lane], lane)
        elif lane.lane:
            lanes[lane.lane] = lane
        else:
            rows.append(lane)
    return [*lanes.values(), *rows]


def _parts(
    batches: Iterable[Batch], gathered: Iterable[Message], now_ms: int
) -> Iterator[LaneView]:
    """Batches in the order of receipts, what runs first; then what is in no batch yet."""
    for batch in batches:
        state = "running" if batch.has_started else "waiting"
        is_resting = not batch.has_started and batch.attempt_from_ms > now_ms
        rest_ms = batch.attempt_from_ms - now_ms if is_resting else 0
        yield from _by_group(batch.messages, state, batch.misses, rest_ms)
    yield from _by_group(gathered, "gathering", 0, 0)


def _by_group(
    messages: Iterable[Message], state: str, misses: int, rest_ms: int
) -> Iterator[LaneView]:
    groups: dict[str, list[Message]] = {}
    for message in messages:
        groups.setdefault(message.key, []).append(message)
    for key, members in groups.items():
        yield LaneView(
            shard="",
            lane=key,
            state=state,
            records=len(members),
            attempts=misses,
            rest_ms=rest_ms,
            oldest_arrival_ms=min(message.arrival_ms for message in members),
        )


def _joined(front: LaneView, behind: LaneView) -> LaneView:
    """More of a group, behind what is known of it: its front says what it does."""
    arrivals = [it for it in (front.oldest_arrival_ms, behind.oldest_arrival_ms) if it is not None]
    return LaneView(
        shard=front.shard,
        lane=front.lane,
        state=front.state,
        records=front.records + behind.records,
        attempts=front.attempts,
        rest_ms=front.rest_ms,
        oldest_arrival_ms=min(arrivals, default=None),
    )
