"""The kinds of worlds, and which seed means which: streams, queues, topics."""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tests.simulation import checker, options, world
from tests.simulation.loop import VirtualLoop
from tests.simulation.parts import Parts
from tests.simulation.queues import book as queue_book
from tests.simulation.queues import options as queue_options
from tests.simulation.queues import world as queue_world
from tests.simulation.topics import book as topic_book
from tests.simulation.topics import options as topic_options
from tests.simulation.topics import world as topic_world

STORM_SEEDS = range(1_001, 1_013)
QUEUE_STORMS = range(2_001, 2_015)
TOPIC_STORMS = range(3_001, 3_013)
"""Seeds whose runs have nearly every trouble at once."""


class World(Protocol):
    """What a run needs of a world."""

    loop: VirtualLoop
    trace: deque[tuple[int, Any]]
    seen: set[str]

    @property
    def records(self) -> int:
        """That its source offered."""

    @property
    def duplicates(self) -> int:
        """Of what was handed over."""

    def run(self) -> None:
        """Both phases; raises whatever goes wrong."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of source and how its runs are drawn, made smaller and judged."""

    name: str
    draw: Callable[[int, random.Random, int], Any]
    storm: Callable[[Any], Any]
    world: Callable[[Any, random.Random, Parts], World]
    switches: Mapping[str, Mapping[str, object]]
    sometimes: Sequence[str]
    storm_seeds: range


STREAM = Kind(
    "stream",
    options.draw,
    options.storm,
    world.World,
    options.SWITCHES,
    checker.SOMETIMES,
    STORM_SEEDS,
)
QUEUE = Kind(
    "queue",
    queue_options.draw,
    queue_options.storm,
    queue_world.QueueWorld,
    queue_options.SWITCHES,
    queue_book.SOMETIMES,
    QUEUE_STORMS,
)
TOPIC = Kind(
    "topic",
    topic_options.draw,
    topic_options.storm,
    topic_world.TopicWorld,
    topic_options.SWITCHES,
    topic_book.SOMETIMES,
    TOPIC_STORMS,
)
KINDS = {kind.name: kind for kind in (STREAM, QUEUE, TOPIC)}

_BY_REMAINDER = (QUEUE, STREAM, TOPIC, STREAM, STREAM)
"""Seeds take turns, so that any stretch of them has all kinds."""


def kind_of(seed: int) -> Kind:
    """What a seed means when nobody says otherwise."""
    for kind in KINDS.values():
        if seed in kind.storm_seeds:
            return kind
    return _BY_REMAINDER[seed % len(_BY_REMAINDER)]


def kind_of_options(drawn: Any) -> Kind:
    """Whose options these are."""
    if isinstance(drawn, queue_options.QueueOptions):
        return QUEUE
    return TOPIC if isinstance(drawn, topic_options.TopicOptions) else STREAM


def is_on(drawn: Any, switch: str) -> bool:
    """Whether switching it off would change anything."""
    off = kind_of_options(drawn).switches[switch]
    return any(getattr(drawn, name) != value for name, value in off.items())


def without(drawn: Any, switch: str) -> Any:
    """The same run with one kind of trouble switched off."""
    return msgspec.structs.replace(drawn, **kind_of_options(drawn).switches[switch])
