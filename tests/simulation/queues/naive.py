"""A queue as a list: messages, visibility timeouts, receipts, groups, a dead-letter queue.

What SQS leaves free is drawn: which messages of a standard queue a receive brings. It is slow and
plain, so that it can be read against `bus-http-and-schedules.md` 6.3.
"""

import random


class NaiveMessage:
    """One message as the queue knows it."""

    __slots__ = ("count", "group", "id", "number", "receipt", "visible_ms")

    def __init__(self, name: str, number: int, group: str, visible_ms: int) -> None:
        self.id = name
        self.number = number
        self.group = group
        self.visible_ms = visible_ms
        self.receipt = ""
        self.count = 0


class NaiveQueue:
    """Messages in the order they were sent."""

    def __init__(
        self,
        rng: random.Random,
        visibility_ms: int,
        *,
        fifo: bool,
        receives_max: int | None = None,
    ) -> None:
        """`receives_max`: of its redrive policy; None without one."""
        self._rng = rng
        self.visibility_ms = visibility_ms
        self.fifo = fifo
        self.receives_max = receives_max
        self.messages: list[NaiveMessage] = []
        self.dead: list[NaiveMessage] = []
        """In its dead-letter queue."""
        self._groups: set[str] = set()

    def send(self, name: str, number: int, group: str, visible_ms: int = 0) -> None:
        """One more; hidden until then."""
        self.messages.append(NaiveMessage(name, number, group, visible_ms))
        self._groups.add(group)

    def receive(
        self, most: int, now_ms: int, visibility_ms: int | None = None
    ) -> list[NaiveMessage]:
        """Visible ones, from the front of their groups; those that are spent move away."""
        found: list[NaiveMessage] = []
        blocked: set[str] = set()
        order = list(self.messages)
        if order and not self.fifo:
            first = self._rng.randrange(len(order))
            order = [*order[first:], *order[:first]]
        for one in order:
            if len(found) == most or len(blocked) == len(self._groups):
                break
            if one.visible_ms > now_ms or one.group in blocked:
                if self.fifo:
                    blocked.add(one.group)
                continue
            if self.receives_max is not None and one.count >= self.receives_max:
                self.messages.remove(one)
                self.dead.append(one)
                continue
            self.hand_out(one, now_ms, visibility_ms)
            found.append(one)
        return found

    def hand_out(self, one: NaiveMessage, now_ms: int, visibility_ms: int | None = None) -> None:
        """It is somebody's for as long as its visibility timeout."""
        one.visible_ms = now_ms + (self.visibility_ms if visibility_ms is None else visibility_ms)
        one.count += 1
        one.receipt = f"{one.id}/{one.count}"

    def delete(self, receipt: str, now_ms: int) -> bool:
        """Whether it is gone, or was before: a FIFO queue takes the last receipt, in time."""
        for one in self.messages:
            if one.receipt == receipt:
                if self.fifo and one.visible_ms <= now_ms:
                    return False  # its visibility timeout has ended
                self.messages.remove(one)
                return True
        return not self.fifo and any(one.id == receipt.partition("/")[0] for one in self.messages)
