"""Ids of invocations and of calls."""

from router.dispatch.entropy import Entropy


class RequestIds:
    """Random UUIDs (version 4)."""

    BYTES = 16

    def __init__(self) -> None:
        self._entropy = Entropy()

    def next(self) -> str:
        """An id nobody has seen before."""
        random = self._entropy.take(self.BYTES)
        digits = random.hex()
        variant = "89ab"[random[8] & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )
