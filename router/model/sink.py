"""Where a response goes that is passed on while it is made."""

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """Takes one response. The invocation's reply says how it ended."""

    begun_at: float | None
    """When `begin` was called, by `time.perf_counter`; None: it was not."""

    def begin(self, content_type: str, on_room: Callable[[], None]) -> None:
        """The response begins; before the first `write`, and only if the function streams.

        `on_room` is called when there is room again after a `write` that said there is none.
        """

    def write(self, chunk: bytes) -> bool:
        """Take a piece; whether there is room for more."""
