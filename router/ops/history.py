"""The last ten minutes of every counter that moved, for rates and pictures.

A sample is taken every `TICK_S`, whether somebody looks or not, so that who opens the page after
an alarm sees what came before it. What never moved costs nothing; the rest a kilobyte or two each,
`TRACKS_MAX` of them at most.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

TICK_S: Final = 10
"""Between two samples."""

POINTS: Final = 60
"""Samples kept: ten minutes."""

MINUTE_TICKS: Final = 6
"""Ticks in a minute."""

TRACKS_MAX: Final = 5_000
"""Things whose past is kept; of more only the present is shown."""

SPAN_MS_MIN: Final = 5_000
"""A rate is over at least so long: else it would jump with each record."""

Key = tuple[str, str]
"""Kind and name of what is tracked."""


class Columns:
    """What is tracked of one kind: totals first, then levels."""

    def __init__(self, totals: Sequence[str], levels: Sequence[str] = ()) -> None:
        self.totals = tuple(totals)
        self.levels = tuple(levels)
        self.index = {name: at for at, name in enumerate((*totals, *levels))}


class _Track:
    """One thing's past: a ring of `POINTS` cells for each column, and the totals seen last."""

    __slots__ = ("before", "cells", "last", "last_ms", "shapes", "tick")

    def __init__(self, columns: int, totals: Sequence[float], now_ms: int) -> None:
        self.cells = array("f", bytes(4 * columns * POINTS))
        self.last, self.last_ms = tuple(totals), now_ms
        self.before = (self.last, now_ms)
        self.shapes: deque[Sequence[int]] = deque(maxlen=MINUTE_TICKS)
        """Buckets of a histogram at each tick of the last minute."""
        self.tick = 0
        """When it was seen last."""


class History:
    """The past of everything. Kept in one thread; times are monotonic milliseconds."""

    def __init__(self, columns: dict[str, Columns], start_ms: int) -> None:
        """`columns` by kind. `start_ms`: when every total was nothing."""
        self._columns = columns
        self._tracks: dict[Key, _Track] = {}
        self._times: deque[int] = deque([start_ms], maxlen=POINTS + 1)
        self._tick = 0
        """How many there were."""

    @property
    def last_ms(self) -> int:
        """When the last tick began."""
        return self._times[-1]

    @property
    def begin_ms(self) -> int:
        """Since when there are samples."""
        return self._times[0]

    def begin(self, now_ms: int) -> None:
        """A tick: `add` everything that exists, then `end` it."""
        self._tick += 1
        self._times.append(now_ms)

    def add(
        self, key: Key, totals: Sequence[float], levels: Sequence[float], shape: Sequence[int] = ()
    ) -> None:
        """What a thing has come to."""
        track = self._tracks.get(key)
        if track is None:
            if not (any(totals) or any(levels)) or len(self._tracks) >= TRACKS_MAX:
                return
            columns = len(totals) + len(levels)
            track = _Track(columns, [0.0] * len(totals), self._times[-2])
            self._tracks[key] = track
            if any(shape):
                track.shapes.append([0] * len(shape))
        at = self._tick % POINTS
        for column, (value, was) in enumerate(zip(totals, track.last, strict=True)):
            # A total that fell began anew.
            track.cells[column * POINTS + at] = value - was if value >= was else value
        for column, value in enumerate(levels, len(totals)):
            track.cells[column * POINTS + at] = value
        track.before = (track.last, track.last_ms)
        track.last, track.last_ms = tuple(totals), self._times[-1]
        track.tick = self._tick
        if any(shape):
            track.shapes.append(tuple(shape))

    def end(self) -> None:
        """Forget what was not added any more."""
        gone = [key for key, track in self._tracks.items() if track.tick != self._tick]
        for key in gone:
            del self._tracks[key]

    # What became of it

    def rate(self, key: Key, name: str, total: float, now_ms: int) -> float:
        """Per second, over the last five to fifteen."""
        column = self._columns[key[0]].index[name]
        track = self._tracks.get(key)
        if track is None:
            was, since_ms = 0.0, self._times[-1]
        elif now_ms - track.last_ms >= SPAN_MS_MIN or track.before[1] == track.last_ms:
            was, since_ms = track.last[column], track.last_ms
        else:
            was, since_ms = track.before[0][column], track.before[1]
        span_ms = max(now_ms - since_ms, 1_000)
        return max(0.0, total - was) * 1_000 / span_ms

    def lately(self, key: Key, name: str, total: float, ticks: int = MINUTE_TICKS) -> float:
        """How much a total grew in the last minute, or in so many ticks."""
        track = self._tracks.get(key)
        if track is None:
            return total
        column = self._columns[key[0]].index[name]
        cells = self._cells(track, column)[POINTS - min(ticks, POINTS) :]
        return sum(cells) + max(0.0, total - track.last[column])

    def points(self, key: Key, name: str) -> list[float]:
        """Of a total its rates per second, of a level itself; the oldest first.

        As many as there were ticks, `POINTS` at most.
        """
        track, columns = self._tracks.get(key), self._columns[key[0]]
        spans = list(pairwise(self._times))
        if track is None:
            return [0.0] * len(spans)
        column = columns.index[name]
        cells = self._cells(track, column)[POINTS - len(spans) :]
        if column >= len(columns.totals):
            return cells
        return [
            cell * 1_000 / max(1, end_ms - begin_ms)
            for cell, (begin_ms, end_ms) in zip(cells, spans, strict=True)
        ]

    def growth(self, key: Key, name: str, level: float, ticks: int) -> float | None:
        """By how much a level rose in so many ticks; None when it is not known for as long."""
        track = self._tracks.get(key)
        if track is None or len(self._times) <= ticks:
            return None
        return level - self._cells(track, self._columns[key[0]].index[name])[POINTS - ticks]

    def shape(self, key: Key, counts: Sequence[int]) -> list[int]:
        """A histogram of the last minute."""
        track = self._tracks.get(key)
        if track is None or not track.shapes or len(track.shapes[0]) != len(counts):
            return list(counts)
        return [max(0, now - was) for now, was in zip(counts, track.shapes[0], strict=True)]

    def _cells(self, track: _Track, column: int) -> list[float]:
        """The ring from its oldest cell to its last."""
        ring = track.cells[column * POINTS : (column + 1) * POINTS]
        first = (self._tick + 1) % POINTS
        return [*ring[first:], *ring[:first]]


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """A quantile of a histogram, straight lines within its buckets; None when it is empty.

    What is above the last bound is taken for the last bound.
    """
    total = sum(counts)
    if not total:
        return None
    rank, below = share * total, 0
    for at, number in enumerate(counts):
        if number and below + number >= rank:
            if at >= len(bounds):
                break
            low = bounds[at - 1] if at else 0.0
            return low + (bounds[at] - low) * max(0.0, rank - below) / number
        below += number
    return bounds[-1]
