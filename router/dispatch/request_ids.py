"""Ids of invocations and of calls."""

import os


class RequestIds:
    """Random UUIDs (version 4), the entropy for `KEPT` of them asked for at a time.

    Asking the system lets go of the interpreter's lock; under load winning it back from the
    storage thread costs more than a batch's other bookkeeping together.
    """

    KEPT = 64
    BYTES = 16

    def __init__(self) -> None:
        self._entropy = b""
        self._used = 0

    def next(self) -> str:
        """An id nobody has seen before."""
        start, end = self._used, self._used + self.BYTES
        if end > len(self._entropy):
            self._entropy = os.urandom(self.KEPT * self.BYTES)
            start, end = 0, self.BYTES
        self._used = end
        digits = self._entropy[start:end].hex()
        variant = "89ab"[self._entropy[start + 8] & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )
