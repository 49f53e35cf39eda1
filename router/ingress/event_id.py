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
        self._ms = 0
        self._sequence = 0
        self._entropy = ""
        self._used = 0

    def next(self, wall_ms: int) -> str:
        """A new id in its canonical form of 36 characters; `wall_ms` is epoch milliseconds."""
        if wall_ms > self._ms:
            self._ms, self._sequence = wall_ms, 0
        elif self._sequence < SEQUENCE_MAX:
            self._sequence += 1
        else:
            self._ms, self._sequence = self._ms + 1, 0
        start, end = self._used, self._used + RANDOM_DIGITS
        if end > len(self._entropy):
            self._entropy = os.urandom(ENTROPY_BYTES).hex()
            start, end = 0, RANDOM_DIGITS
        self._used = end
        random = self._entropy[start:end]
        head = f"{self._ms:012x}"
        # Version 7, then the count; variant 8, then what is random.
        return f"{head[:8]}-{head[8:]}-7{self._sequence:03x}-8{random[:3]}-{random[3:]}"
