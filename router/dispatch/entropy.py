"""Random digits, asked for by the kilobyte."""

import os


class Entropy:
    """Random hexadecimal digits in small pieces, made of `KEPT_BYTES` at a time.

    Asking the system lets go of the interpreter's lock; under load winning it back from the
    storage thread costs more than a batch's other bookkeeping together.
    """

    KEPT_BYTES = 1_024

    def __init__(self) -> None:
        self._digits = ""
        self._used = 0

    def take(self, count: int) -> str:
        """So many digits, up to twice `KEPT_BYTES`, that nobody was given before."""
        start, end = self._used, self._used + count
        if end > len(self._digits):
            self._digits = os.urandom(self.KEPT_BYTES).hex()
            start, end = 0, count
        self._used = end
        return self._digits[start:end]
