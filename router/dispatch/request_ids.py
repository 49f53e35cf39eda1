"""Ids of invocations and of calls."""

from typing import Final

from router.dispatch.entropy import Entropy

_VARIANTS: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""What stands for the two bits of a UUID that are given."""


class RequestIds:
    """Random UUIDs (version 4)."""

    DIGITS = 32

    def __init__(self) -> None:
        self._entropy = Entropy()

    def next(self) -> str:
        """An id nobody has seen before."""
        digits = self._entropy.take(self.DIGITS)
        variant = _VARIANTS[digits[16]]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )
