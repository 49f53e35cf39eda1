"""Whether fields can be matched together inside arrays (1.5 point 5).

Two leaves go together when they came through the same element of every array that they share.
Leaves of one event form a tree: after the first array in which two of them differ in the element,
or the first that is not the same one, they share no other.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from router.patterns.document import Where
from router.patterns.problems import PatternError

WORK_MAX: Final = 20_000
"""Most places compared for one rule and event to choose between arrays one path leads through."""


class TooTangled(PatternError):
    """An event gave one key several times in so many places that nobody can say what matches."""

    code = "event_too_tangled"


class _Search:
    """Bounds the work of choosing; without a choice it is linear anyway."""

    def __init__(self) -> None:
        self._work = 0

    def spend(self, fields: Sequence["Places"]) -> None:
        """Places that are going to be compared."""
        self._work += sum(map(len, fields))
        if self._work > WORK_MAX:
            raise TooTangled("The event's arrays cannot be matched in a reasonable time")


Places = Sequence[Where]
"""Where the leaves are that match one field."""


def go_together(fields: Sequence[Places]) -> bool:
    """Whether there is a leaf of each field such that all of them go together.

    Each place is inside at least one array. Linear in the number of places, but for events that
    give a key twice. Raises `TooTangled`.
    """
    return _go_together(fields, 0, _Search())


def _go_together(fields: Sequence[Places], depth: int, search: _Search) -> bool:
    """The same, from the arrays at `depth` on: twice the number of arrays agreed on already."""
    bound = [places for places in fields if all(len(place) > depth for place in places)]
    if len(bound) < 2:
        return True
    by_array = [_grouped(places, depth) for places in bound]
    while True:
        # With as many arrays to choose from as there are fields, one is left that no other uses.
        kept = [arrays for arrays in by_array if len(arrays) < len(by_array)]
        if len(kept) == len(by_array):
            break
        by_array = kept
    settled: defaultdict[int, list[Places]] = defaultdict(list)
    for arrays in by_array:
        if len(arrays) == 1:
            for array, places in arrays.items():
                settled[array].append(places)
    open_ = [arrays for arrays in by_array if len(arrays) > 1]
    return _choose(open_, settled, depth, search)


def _grouped(places: Places, depth: int) -> dict[int, list[Where]]:
    arrays: defaultdict[int, list[Where]] = defaultdict(list)
    for place in places:
        arrays[place[depth]].append(place)
    return arrays


def _choose(
    fields: Sequence[Mapping[int, Places]],
    settled: Mapping[int, Sequence[Places]],
    depth: int,
    search: _Search,
) -> bool:
    """Settle for each field which array it is matched in, then look into each array alone."""
    if not fields:
        return all(_fits(inside, depth, search) for inside in settled.values())
    for array, places in fields[0].items():
        inside = [*settled.get(array, ()), places]
        search.spend(inside)
        if _fits(inside, depth, search) and _choose(
            fields[1:], {**settled, array: inside}, depth, search
        ):
            return True
    return False


def _fits(fields: Sequence[Places], depth: int, search: _Search) -> bool:
    """Whether one element of an array has a leaf of each of these fields."""
    if len(fields) < 2:
        return True
    by_index = [_grouped(places, depth + 1) for places in fields]
    shared = set(by_index[0]).intersection(*by_index[1:])
    return any(
        _go_together([indexes[index] for indexes in by_index], depth + 2, search)
        for index in shared
    )
