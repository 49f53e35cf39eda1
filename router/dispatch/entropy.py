"""Random bytes, asked for by the kilobyte."""

import os


class Entropy:
    """Random bytes in small pieces, `KEPT_BYTES` of them asked for at a time.

    Asking the system lets go of the interpreter's lock; under load winning it back from the
    storage thread costs more than a batch's other bookkeeping together.
    """

    KEPT_BYTES = 1_024

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        """So many bytes, up to `KEPT_BYTES`, that nobody was given before."""
        start, end = self._used, self._used + count
        if end > len(self._bytes):
            self._bytes = os.urandom(self.KEPT_BYTES)
            start, end = 0, count
        self._used = end
        return self._bytes[start:end]
