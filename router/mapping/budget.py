"""One bound on what all mappings hold together, shared so that each of them moves on (L2).

One half is divided: so much of it each running mapping may hold, whatever the others do. Of the
other half each may hold half of what is left, so that a few that are far behind have room while the
rest is idle. Nobody waits for another one to let go: one that is stuck holds up nobody (L4). And
however little its part is, a mapping has at least one record of each shard.

Counted is what was read and is not finished, and what was set aside for reads of the disk, for
receives from queues that are under way and for what clients of Kafka read ahead. Not counted, and
what it comes to at most:

- reads that are served from the store's memory of what was just committed, until they are taken in:
  their records are there anyway;
- the one read of the disk that is under way: a segment as it is stored, decoded, and the next;
- the long poll of a queue that was quiet: it brings what is its mapping's own part. It may take
  long and mostly brings nothing, so that what was set aside for it would be missing elsewhere;
- of each Kafka partition, what a producer's batch is larger than was asked for.
"""

import msgspec

from router.model import limits

COPIES = 2
"""A record counts as often: it is held as it was read, and once more as part of its event."""


class Budget:
    """The bytes of all mappings of a router. Used in the loop only."""

    __slots__ = ("_plenty_bytes", "aside_bytes", "bytes_max", "held_bytes", "mappings")

    def __init__(self, bytes_max: int = limits.BUFFER_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0
        """For records read and not finished, `COPIES` of each; kept up by whoever holds them."""
        self.aside_bytes = 0
        """For reads under way, as much as they may bring."""
        self.mappings = 0
        """That run."""
        self._plenty_bytes = (bytes_max >> 1) - 2 * COPIES * limits.BUFFER_BYTES_MAX
        """While no more is held, each may hold as much as it likes."""

    @property
    def free_bytes(self) -> int:
        """What nobody holds."""
        return max(0, self.bytes_max - self.held_bytes - self.aside_bytes)

    @property
    def part_bytes(self) -> int:
        """What is each mapping's own."""
        return (self.bytes_max >> 1) // max(1, self.mappings)

    @property
    def left_bytes(self) -> int:
        """What one mapping may have of what is nobody's own."""
        return max(0, self.free_bytes - (self.bytes_max >> 1)) >> 1

    @property
    def room_bytes(self) -> int | None:
        """Of records, what one mapping may hold now; None: nothing but its own limits bound it.

        A power of two: it changes rarely, however often records come and go.
        """
        if self.held_bytes + self.aside_bytes <= self._plenty_bytes:
            return None  # asked for once a fetch
        room_bytes = max(self.left_bytes, self.part_bytes) // COPIES
        if room_bytes >= limits.BUFFER_BYTES_MAX:
            return None
        return 1 << max(0, room_bytes.bit_length() - 1)


class Aside(msgspec.Struct, gc=False):
    """What one fetch has set aside; `give_back` in any case, once its records are taken in.

    One is made for every fetch, and most set nothing aside.
    """

    budget: Budget
    size_bytes: int = 0

    def take(self, bytes_max: int) -> int:
        """Bytes that a read may bring now; at least 1, which is a whole record."""
        budget = self.budget
        own = min(budget.part_bytes, budget.free_bytes >> 1)
        taken = max(1, min(bytes_max, max(own, budget.left_bytes) // COPIES))
        self.size_bytes += COPIES * taken
        budget.aside_bytes += COPIES * taken
        return taken

    def give_back(self) -> None:
        """The read brought nothing, or what it brought is counted as held."""
        self.budget.aside_bytes -= self.size_bytes
        self.size_bytes = 0
