"""What a queue engine holds between a receipt and the end: messages, batches, groups.

Nothing of a group may be handed out again while something before it is not finished; whatever a
group loses here, it loses from there on (`event-source-mappings.md` 8.4).
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator

from router.mapping import batching
from router.mapping.queue_events import Message
from router.model.mapping_spec import MappingSpec


class Batch:
    """Messages of one invocation. Its groups are busy from its Invoke to the answer."""

    __slots__ = (
        "attempt_from_ms", "formed_ms", "groups", "has_started", "issued_ms", "messages", "misses",
        "number",
    )  # fmt: skip

    def __init__(self, number: int, messages: tuple[Message, ...], formed_ms: int) -> None:
        self.number = number
        """In the order of receipts."""
        self.messages = messages
        self.groups = groups_of(messages)
        self.formed_ms = formed_ms
        self.attempt_from_ms = formed_ms
        self.misses = 0
        """Times it found no slot, or no function."""
        self.issued_ms = 0
        self.has_started = False
        """Its Invoke has had its turn."""

    @property
    def until_ms(self) -> int:
        """Until when all of it is hidden from others."""
        return min(message.until_ms for message in self.messages)

    def keep(self, messages: tuple[Message, ...]) -> None:
        """Go on with these only."""
        self.messages = messages
        self.groups = groups_of(messages)

    def replace(self, message: Message) -> Message | None:
        """Put another receipt in the place of the same message; which one was there, if any."""
        for one in self.messages:
            if one.event_id == message.event_id:
                self.messages = tuple(message if it is one else it for it in self.messages)
                return one
        return None


class Gathered:
    """Messages that are in no batch yet, in the order of receipts."""

    def __init__(self) -> None:
        self._queue: deque[Message] = deque()
        self.size_bytes = 0
        self._has_chains = False
        """Some message may be of another chain than the others."""

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._queue)

    def add(self, message: Message) -> None:
        """Behind all others."""
        self._has_chains |= bool(message.chain)
        self._queue.append(message)
        self.size_bytes += message.size_bytes

    def replace(self, message: Message) -> Message | None:
        """Put another receipt in the place of the same message; which one was there, if any."""
        for index, one in enumerate(self._queue):
            if one.event_id == message.event_id:
                self._queue[index] = message
                self.size_bytes += message.size_bytes - one.size_bytes
                return one
        return None

    def is_full(self, spec: MappingSpec) -> bool:
        """Whether they close a batch without waiting for the window."""
        return batching.is_full(len(self._queue), self.size_bytes, spec)

    def take(self, spec: MappingSpec) -> tuple[Message, ...]:
        """The next batch, from the front: not more than its size and its bytes allow.

        All of it is of the chain of its first message, so that each is counted by itself: a loop
        that is stopped fails no other message, and passes its counts on to none.
        """
        if self._has_chains:
            batch = self._take_of_one_chain(spec)
            self._has_chains = bool(self._queue)
        else:
            batch = batching.take_batch(self._queue, spec, None)
        self.size_bytes -= sum(message.size_bytes for message in batch)
        return batch

    def _take_of_one_chain(self, spec: MappingSpec) -> tuple[Message, ...]:
        """What is behind a message of another chain in its group stays behind it."""
        chain, mine, left = self._queue[0].chain, deque[Message](), set[str]()
        for message in self._queue:
            if message.chain == chain and message.key not in left:
                mine.append(message)
            elif message.key:
                left.add(message.key)
        batch = batching.take_batch(mine, spec, None)
        taken = {message.event_id for message in batch}
        self._queue = deque(one for one in self._queue if one.event_id not in taken)
        return batch

    def drop(self, groups: Collection[str]) -> tuple[Message, ...]:
        """Take out what is of these groups."""
        dropped = tuple(message for message in self._queue if message.key in groups)
        if dropped:
            self._queue = deque(message for message in self._queue if message.key not in groups)
            self.size_bytes -= sum(message.size_bytes for message in dropped)
        return dropped


def groups_of(messages: Iterable[Message]) -> frozenset[str]:
    """The groups of messages; those of a standard queue have none."""
    return frozenset(message.key for message in messages if message.key)


def unexpired(
    messages: Iterable[Message], now_ms: int
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """What is hidden still, and what is not: of a group everything from its first such message."""
    kept: list[Message] = []
    expired: list[Message] = []
    broken: set[str] = set()
    for message in messages:
        if message.until_ms <= now_ms or message.key in broken:
            expired.append(message)
            if message.key:
                broken.add(message.key)
        else:
            kept.append(message)
    return tuple(kept), tuple(expired)
