"""What a kind of destination promises: one attempt, and a reason when it fails."""

from typing import Final, Protocol

from router.model.errors import RouterError
from router.store.base import EnqueuedMessage, OutboxRow

REASONS: Final = (
    "unreachable",
    "timeout",
    "denied",
    "missing",
    "throttled",
    "server_error",
    "too_large",
    "refused",
    "internal",
)
"""Why an attempt fails, as metrics name it."""

OF_THE_RECORD: Final = frozenset({"too_large", "refused", "internal"})
"""Reasons that say nothing of the next record; all others are the destination's own."""

TEXT_CHARACTERS_MAX: Final = 300


class DeliveryFailed(RouterError):
    """An attempt that failed; it will be made again, a bounded number of times.

    `body` and `records` are what is left to deliver where part of it arrived.
    """

    code = "delivery_failed"
    retryable = True

    def __init__(
        self, reason: str, text: str, *, body: bytes | None = None, records: int | None = None
    ) -> None:
        """`reason` is one of `REASONS`; `text` is for people."""
        super().__init__(text[:TEXT_CHARACTERS_MAX])
        self.reason = reason
        self.body = body
        self.records = records

    @property
    def is_of_destination(self) -> bool:
        """Whether another record would fail as this one did."""
        return self.reason not in OF_THE_RECORD


class Carrier(Protocol):
    """Carries on-failure records to one kind of destination."""

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """One attempt, which ends within a bounded time. Raises `DeliveryFailed`.

        A message is not delivered yet: it goes into its embedded queue in the same transaction
        that takes the row from the outbox. None: delivered.
        """
