"""How far a mapping has come in a partition, as a commit of its consumer group says it. Pure.

The offset of the commit is the next one to read: everything below it is finished, and any tool of
Kafka shows the right lag. What is finished above it, and what has failed at the head of a lane, is
in the commit's metadata, so that whoever reads on repeats only what was in flight:

    router1:<base85 of>
        factor
        lanes that are ahead of the offset (one number for each lane, or pairs for some)
        heads of lanes: first, last, attempts, time of first failure, ends of parts, finished ones

Numbers are LEB128, positions as distances. A broker takes 4,096 bytes of it
(`offset.metadata.max.bytes`). Positions of lanes come first. Heads that do not fit any more are
left out, those with the fewest attempts first: their batches start afresh after a crash, and
nothing is lost.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

from router.model.limits import BATCH_SIZE_MAX
from router.model.progress import LaneHead, LaneProgress, ShardProgress

METADATA_BYTES_MAX: Final = 4_096
"""Largest metadata of a commit (broker default)."""

PREFIX: Final = "router1:"
_BODY_BYTES_MAX: Final = (METADATA_BYTES_MAX - len(PREFIX)) // 5 * 4

_DENSE, _SPARSE = 0, 1


class NotOurs(Exception):
    """The metadata was written by something else, or is cut."""


def encode(progress: ShardProgress) -> tuple[int, str]:
    """The offset to commit, and the metadata: empty when the offset says everything.

    Lanes that are not ahead of the shard's position are history and left out.
    """
    base = progress.position
    current = [_current(lane, base) for lane in progress.lanes]
    lanes = [it for it in current if it.position > base or it.head is not None]
    if not lanes and progress.factor == 1:
        return base + 1, ""
    ahead = {it.lane: it.position - base for it in lanes if it.position > base}
    body = bytearray()
    _put(body, progress.factor)
    body += _lanes_bytes(ahead, progress.factor)
    heads = [(it.lane, it.head) for it in lanes if it.head is not None]
    heads.sort(key=lambda it: -it[1].attempts)
    kept: list[bytes] = []
    left = _BODY_BYTES_MAX - len(body) - len(_number(len(heads)))
    for lane, head in heads:
        for one in (_head_bytes(lane, head, base), _head_bytes(lane, _bare(head), base)):
            if len(one) <= left:
                kept.append(one)
                left -= len(one)
                break
    _put(body, len(kept))
    body += b"".join(kept)
    return base + 1, PREFIX + base64.b85encode(bytes(body)).decode()


def decode(offset: int, metadata: str) -> ShardProgress:
    """What a commit says. Raises `NotOurs`: then only the offset counts."""
    base = offset - 1
    if not metadata:
        return ShardProgress(base)
    if not metadata.startswith(PREFIX):
        raise NotOurs("not written by the router")
    try:
        reader = _Reader(base64.b85decode(metadata[len(PREFIX) :]))
        factor = reader.number()
        ahead = _read_lanes(reader, factor)
        heads = dict(_read_head(reader, base) for _ in range(reader.number()))
    except (ValueError, IndexError):
        raise NotOurs("cut, or of another version") from None
    if factor < 1 or not all(lane < factor for lane in (*ahead, *heads)):
        raise NotOurs("lanes that cannot be")
    lanes = tuple(
        LaneProgress(lane, base + ahead.get(lane, 0), heads.get(lane))
        for lane in sorted({*ahead, *heads})
    )
    return ShardProgress(base, factor, lanes)


def merged(committed: ShardProgress, stored: ShardProgress | None) -> ShardProgress:
    """What is known of a partition whose last discards were stored here, but maybe not committed.

    On restart positions that a stored discard covers are skipped (`design.md` 7a).
    """
    if stored is None:
        return committed
    if stored.factor != committed.factor:
        return stored if stored.position > committed.position else committed
    lanes = {lane.lane: lane for lane in committed.lanes}
    for lane in stored.lanes:
        known = lanes.get(lane.lane)
        if lane.position > (committed.position if known is None else known.position):
            lanes[lane.lane] = lane
    position = max(committed.position, stored.position)
    return ShardProgress(position, committed.factor, tuple(lanes[it] for it in sorted(lanes)))


# Lanes


def _current(lane: LaneProgress, base: int) -> LaneProgress:
    """A lane without what the partition's position has passed in its head.

    No step of the lane says so where records were trimmed, or new filters leave them out.
    """
    head = lane.head
    if head is None or head.first > base:
        return lane
    ends = [end for end in (head.last, *head.ends) if end > base]
    if not ends:
        # What was tried again is over, and with it all of its batch.
        return LaneProgress(lane.lane, max((lane.position, *head.done)))
    attempts = head.attempts if head.last > base else 0
    done = tuple(position for position in head.done if position > base)
    rest = LaneHead(base + 1, ends[0], attempts, tuple(ends[1:]), head.first_failure_wall_ms, done)
    return LaneProgress(lane.lane, max(lane.position, base), rest)


def _lanes_bytes(ahead: dict[int, int], factor: int) -> bytes:
    """A number for each lane, or pairs for those that are ahead: whichever is shorter."""
    dense, sparse = bytearray([_DENSE]), bytearray([_SPARSE])
    for lane in range(factor):
        _put(dense, ahead.get(lane, 0))
    _put(sparse, len(ahead))
    for lane in sorted(ahead):
        _put(sparse, lane)
        _put(sparse, ahead[lane])
    return bytes(min(dense, sparse, key=len))


def _read_lanes(reader: "_Reader", factor: int) -> dict[int, int]:
    if reader.number() == _DENSE:
        found = [(lane, reader.number()) for lane in range(factor)]
        return {lane: distance for lane, distance in found if distance}
    return {reader.number(): reader.number() for _ in range(reader.number())}


# Heads


def _head_bytes(lane: int, head: LaneHead, base: int) -> bytes:
    body = bytearray()
    numbers = [lane, head.first - base, head.last - head.first, head.attempts]
    numbers += [head.first_failure_wall_ms, len(head.ends), *_distances(head.ends, head.last)]
    for number in numbers:
        _put(body, number)
    return bytes(body) + _done_bytes(head)


def _read_head(reader: "_Reader", base: int) -> tuple[int, LaneHead]:
    lane, first = reader.number(), base + reader.number()
    last = first + reader.number()
    attempts, failed_ms = reader.number(), reader.number()
    ends: list[int] = []
    for _ in range(reader.number()):
        ends.append((ends[-1] if ends else last) + reader.number())
    return lane, LaneHead(first, last, attempts, tuple(ends), failed_ms, _read_done(reader, first))


def _done_bytes(head: LaneHead) -> bytes:
    """Finished positions: stretches of them, or a bit for each position; whichever is shorter.

    Those before the head are history: the lane's position has passed them.
    """
    inside = [position for position in head.done if position >= head.first]
    runs = _runs(inside)
    stretches, bits = bytearray([_SPARSE]), bytearray([_DENSE])
    _put(stretches, len(runs))
    last = head.first
    for first, length in runs:
        _put(stretches, first - last)
        _put(stretches, length)
        last = first + length
    if not runs or last - head.first > 8 * _BODY_BYTES_MAX:
        return bytes(stretches)
    field = sum(1 << (position - head.first) for position in inside)
    size_bytes = (field.bit_length() + 7) // 8
    _put(bits, size_bytes)
    bits += field.to_bytes(size_bytes, "little")
    return bytes(min(stretches, bits, key=len))


def _read_done(reader: "_Reader", first: int) -> tuple[int, ...]:
    if reader.number() == _DENSE:
        field = int.from_bytes(reader.take(reader.number()), "little")
        return tuple(first + at for at in range(field.bit_length()) if field >> at & 1)
    done: list[int] = []
    at = first
    for _ in range(reader.number()):
        at += reader.number()
        length = reader.number()
        if length > BATCH_SIZE_MAX:
            raise ValueError("more than a batch can hold")
        done += range(at, at + length)
        at += length
    return tuple(done)


def _bare(head: LaneHead) -> LaneHead:
    """Without the finished positions inside it, which may be many: they are repeated then."""
    return LaneHead(head.first, head.last, head.attempts, head.ends, head.first_failure_wall_ms)


def _distances(numbers: Sequence[int], start: int) -> Iterable[int]:
    for number in numbers:
        yield number - start
        start = number


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and length of each stretch without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


# Numbers


def _put(body: bytearray, number: int) -> None:
    while number > 0x7F:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)


def _number(number: int) -> bytes:
    body = bytearray()
    _put(body, number)
    return bytes(body)


class _Reader:
    """Numbers from the front of what was decoded."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def number(self) -> int:
        """The next one. Raises `IndexError` at the end."""
        number = shift = 0
        while True:
            byte = self._body[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def take(self, size_bytes: int) -> bytes:
        """So many bytes. Raises `IndexError` at the end."""
        taken = self._body[self._at : self._at + size_bytes]
        if len(taken) < size_bytes:
            raise IndexError(size_bytes)
        self._at += size_bytes
        return taken
