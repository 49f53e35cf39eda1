"""Event ids: UUIDv7, so that ids sort by the time they were made."""

import os

ENTROPY_BYTES = 4096
"""Random bytes fetched from the system at a time; one call per id would cost more than the id."""

RANDOM_DIGITS = 15
"""Random hexadecimal digits of one id."""

SEQUENCE_MAX = 0xFFF
"""Largest count of ids of one millisecond; more borrow from the next one."""


class EventIds:
    """Makes ids that only ever grow, whatever the clock does.

    48 bits of epoch milliseconds, 12 bits that count within the millisecond, 60 random bits
    (RFC 9562, 5.7 and 6.2 method 1).
    """

    def __init__(self) -> None:
        self._ends: list[str] = []
        self._begin(0)

    def next(self, wall_ms: int) -> str:
        """A new id in its canonical form of 36 characters; `wall_ms` is epoch milliseconds."""
        if wall_ms > self._ms:
            self._begin(wall_ms)
        elif self._sequence < SEQUENCE_MAX:
            self._sequence += 1
        else:
            self._begin(self._ms + 1)
        ends = self._ends or self._renew_ends()
        return f"{self._head}{self._sequence:03x}{ends.pop()}"

    def _begin(self, ms: int) -> None:
        self._ms, self._sequence = ms, 0
        digits = f"{ms:012x}"
        # The same for all ids of one millisecond; version 7.
        self._head = f"{digits[:8]}-{digits[8:]}-7"

    def _renew_ends(self) -> list[str]:
        """Variant 8 and what is random, for the ids to come."""
        entropy = os.urandom(ENTROPY_BYTES).hex()
        starts = range(0, len(entropy) - RANDOM_DIGITS, RANDOM_DIGITS)
        self._ends = [f"-8{entropy[at : at + 3]}-{entropy[at + 3 : at + 15]}" for at in starts]
        return self._ends
