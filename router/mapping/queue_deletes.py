"""Messages on their way out of a queue.

Each deletion is tried until the queue takes it, or would hand the message out again anyway. When
it has done so it is the newer receipt that counts: what is handled is not run again for it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from router.mapping.queue_events import Receipt
from router.model import backoff, limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec

TRIES_MIN: Final = 3
"""Times a deletion is tried, also when the visibility timeout has ended meanwhile."""

BACKOFF_MS_MAX: Final = 5_000

CROWD: Final = 10_000
"""While so many wait for their deletion no more are received."""


class _Deletion:
    __slots__ = ("due_ms", "is_renewed", "misses", "receipts")

    def __init__(self, receipts: tuple[Receipt, ...]) -> None:
        self.receipts = receipts
        self.misses = 0
        self.due_ms = 0
        self.is_renewed = False
        """There is a newer receipt than when it was asked for."""

    def renew(self, receipt: Receipt) -> None:
        """Put a newer receipt in the place of the same message's, at its index."""
        self.receipts = tuple(
            msgspec.structs.replace(receipt, group=one.group)
            if one.message_id == receipt.message_id
            else one
            for one in self.receipts
        )
        self.misses = 0
        self.is_renewed = True


class Deletes:
    """All deletions of a mapping."""

    def __init__(self, spec: MappingSpec) -> None:
        self._uuid = spec.uuid
        self._backoff_ms_max = spec.backoff_ms_max
        self._waiting: list[_Deletion] = []
        self._open: dict[int, _Deletion] = {}
        self._count = 0
        self._groups: Counter[str] = Counter()
        self._names: set[str] = set()

    def __contains__(self, message_id: str) -> bool:
        """Whether this message is on its way out."""
        return message_id in self._names

    def change(self, spec: MappingSpec) -> None:
        """Other settings."""
        self._backoff_ms_max = spec.backoff_ms_max

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be deleted."""
        return not self._count

    @property
    def is_crowded(self) -> bool:
        """So many wait that no more should come."""
        return self._count >= CROWD

    @property
    def groups(self) -> Iterable[str]:
        """Groups with a message that is finished and not gone: it may come again."""
        return self._groups.keys()

    def add(self, receipts: Sequence[Receipt]) -> None:
        """Delete these, now."""
        self._waiting.append(_Deletion(tuple(receipts)))
        self._count += len(receipts)
        self._names.update([one.message_id for one in receipts])
        for one in receipts:
            if one.group:
                self._groups[one.group] += 1

    def renew(self, receipt: Receipt, now_ms: int) -> None:
        """A message on its way out was received again.

        A FIFO queue takes the last receipt only; of others any may be the one that counts.
        """
        if not receipt.group:
            self.add((receipt,))
            return
        for deletion in (*self._waiting, *self._open.values()):
            if any(one.message_id == receipt.message_id for one in deletion.receipts):
                deletion.renew(receipt)
                deletion.due_ms = now_ms

    def due(self, now_ms: int) -> Iterable[tuple[tuple[Receipt, ...], _Deletion]]:
        """What to ask for now; say `issued` for each."""
        if not self._waiting:
            return
        due = [one for one in self._waiting if one.due_ms <= now_ms]
        self._waiting = [one for one in self._waiting if one.due_ms > now_ms]
        for one in due:
            yield one.receipts, one

    def issued(self, command_id: int, deletion: _Deletion) -> None:
        """A deletion was asked for."""
        deletion.is_renewed = False
        self._open[command_id] = deletion

    def next_ms(self) -> int | None:
        """When the next one is due."""
        return min((one.due_ms for one in self._waiting), default=None)

    def answered(self, command_id: int, failed: Sequence[int], now_ms: int) -> tuple[Receipt, ...]:
        """All were deleted but those at these indexes. What is given up; raises `EngineError`."""
        deletion = self._close(command_id)
        receipts = deletion.receipts
        if failed and not 0 <= min(failed) <= max(failed) < len(receipts):
            raise EngineError(f"deletes failed outside of {len(receipts)} messages")
        if not failed:
            self._over(receipts)
            return ()
        indexes = {*failed}
        left = tuple(receipts[index] for index in sorted(indexes))
        self._over([one for index, one in enumerate(receipts) if index not in indexes])
        return self._again(deletion, left, now_ms)

    def failed(self, command_id: int, now_ms: int) -> tuple[Receipt, ...]:
        """None of them is known to be deleted. What is given up; raises `EngineError`."""
        deletion = self._close(command_id)
        return self._again(deletion, deletion.receipts, now_ms)

    def _over(self, receipts: Collection[Receipt]) -> None:
        self._count -= len(receipts)
        self._names.difference_update([one.message_id for one in receipts])
        for one in receipts:
            if one.group:
                self._groups[one.group] -= 1
                if not self._groups[one.group]:
                    del self._groups[one.group]

    def _again(
        self, deletion: _Deletion, receipts: tuple[Receipt, ...], now_ms: int
    ) -> tuple[Receipt, ...]:
        """Try once more what can still be deleted; the rest, told, comes back by itself."""
        if deletion.is_renewed:
            deletion.receipts = receipts
            self._waiting.append(deletion)
            return ()
        deletion.misses += 1
        wait_ms = backoff.backoff_ms(
            deletion.misses,
            limits.BACKOFF_MS_MIN,
            min(BACKOFF_MS_MAX, self._backoff_ms_max),
            f"{self._uuid}\0delete",
        )
        deletion.due_ms = now_ms + wait_ms
        is_early = deletion.misses < TRIES_MIN
        left = tuple(one for one in receipts if is_early or one.until_ms > deletion.due_ms)
        given_up = tuple(
            one for one in receipts if not is_early and one.until_ms <= deletion.due_ms
        )
        self._over(given_up)
        if left:
            deletion.receipts = left
            self._waiting.append(deletion)
        return given_up

    def _close(self, command_id: int) -> _Deletion:
        deletion = self._open.pop(command_id, None)
        if deletion is None:
            raise EngineError(f"no Delete with id {command_id} waits for an answer")
        return deletion
