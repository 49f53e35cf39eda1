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
        self._entropy = ""
        self._used = 0
        self._begin(0)

    def next(self, wall_ms: int) -> str:
        """A new id in its canonical form of 36 characters; `wall_ms` is epoch milliseconds."""
        if wall_ms > self._ms:
            self._begin(wall_ms)
        elif self._sequence < SEQUENCE_MAX:
            self._sequence += 1
        else:
            self._begin(self._ms + 1)
        start, end = self._used, self._used + RANDOM_DIGITS
        if end > len(self._entropy):
            self._entropy = os.urandom(ENTROPY_BYTES).hex()
            start, end = 0, RANDOM_DIGITS
        self._used = end
        random = self._entropy[start:end]
        # The count; variant 8, then what is random.
        return f"{self._head}{self._sequence:03x}-8{random[:3]}-{random[3:]}"

    def _begin(self, ms: int) -> None:
        self._ms, self._sequence = ms, 0
        digits = f"{ms:012x}"
        # The same for all ids of one millisecond; version 7.
        self._head = f"{digits[:8]}-{digits[8:]}-7"
