"""Event ids: UUIDv7, so that ids sort by the time they were made."""

import os

ENTROPY_BYTES = 4096
"""Random bytes fetched from the system at a time; one call per id would cost more than the id."""

RANDOM_BYTES = 8
"""Random bytes of one id."""

SEQUENCE_MAX = 0xFFF
"""Largest count of ids of one millisecond; more borrow from the next one."""


class EventIds:
    """Makes ids that only ever grow, whatever the clock does.

    48 bits of epoch milliseconds, 12 bits that count within the millisecond, 62 random bits
    (RFC 9562, 5.7 and 6.2 method 1).
    """

    def __init__(self) -> None:
        self._ms = 0
        self._sequence = 0
        self._entropy = b""
        self._used = 0

    def next(self, wall_ms: int) -> str:
        """A new id in its canonical form of 36 characters; `wall_ms` is epoch milliseconds."""
        if wall_ms > self._ms:
            self._ms, self._sequence = wall_ms, 0
        elif self._sequence < SEQUENCE_MAX:
            self._sequence += 1
        else:
            self._ms, self._sequence = self._ms + 1, 0
        used = self._used
        if used + RANDOM_BYTES > len(self._entropy):
            self._entropy, used = os.urandom(ENTROPY_BYTES), 0
        self._used = used + RANDOM_BYTES
        random = int.from_bytes(self._entropy[used : used + RANDOM_BYTES])
        # Version 7 before the count, variant 10 in place of the top two random bits.
        tail = f"{0x8000_0000_0000_0000 | random & 0x3FFF_FFFF_FFFF_FFFF:016x}"
        head = f"{self._ms:012x}"
        return f"{head[:8]}-{head[8:]}-7{self._sequence:03x}-{tail[:4]}-{tail[4:]}"
