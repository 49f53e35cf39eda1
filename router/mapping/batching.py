"""Which records make the next batch: size, bytes and window (`event-source-mappings.md` 2)."""

from collections import deque
from typing import TypeVar

from router.model.mapping_spec import MappingSpec
from router.model.record import Record

R = TypeVar("R", bound=Record)

ENVELOPE_BYTES = len(b'{"Records":[]}')
"""What the event JSON takes besides its records, whose `size_bytes` include their commas.

That of a tumbling window takes more: its functions' `frame_bytes`."""


def is_oversized(record: Record, spec: MappingSpec, frame_bytes: int = ENVELOPE_BYTES) -> bool:
    """No event can carry this record, not even alone."""
    return frame_bytes + record.size_bytes > spec.event_bytes_max


def is_full(
    records: int, size_bytes: int, spec: MappingSpec, frame_bytes: int = ENVELOPE_BYTES
) -> bool:
    """Records that wait, with their bytes, close a batch without waiting for the window.

    Exactly the largest event counts as full: nothing fits beside it any more.
    """
    return records >= spec.batch_size or frame_bytes + size_bytes >= spec.event_bytes_max


def take_batch(
    queue: deque[R],
    spec: MappingSpec,
    end: int | None,
    frame_bytes: int = ENVELOPE_BYTES,
    until_ms: int | None = None,
) -> tuple[R, ...]:
    """Take the next batch off the front of a non-empty queue, in order.

    Nothing past position `end`, nothing from the first record on that arrived at `until_ms` or
    later: a batch is of one window. A record that is oversized comes alone, so that whoever
    invokes can give it up; one that only does not fit any more opens the next batch.
    """
    batch: list[R] = []
    room_bytes = spec.event_bytes_max - frame_bytes
    while queue and len(batch) < spec.batch_size:
        record = queue[0]
        room_bytes -= record.size_bytes
        if batch and (
            room_bytes < 0
            or (end is not None and record.position > end)
            or (until_ms is not None and record.arrival_ms >= until_ms)
        ):
            break
        batch.append(queue.popleft())
    return tuple(batch)


def window_start_ms(previous_ms: int | None, now_ms: int, window_ms: int) -> int:
    """Start of the window for a record that reaches an empty lane.

    A window starts when the lane's previous invocation ended. If it ran out with nothing to
    send, the next one starts here.
    """
    if previous_ms is None or now_ms >= previous_ms + window_ms:
        return now_ms
    return previous_ms
