"""How long received messages are hidden (`event-source-mappings.md` 8.1)."""

from typing import Final

EXTRA_S: Final = 30
"""What a window and a timeout are given on top."""

MARGIN_MS_MAX: Final = 1_000
"""A retry does not begin so close to the end of a visibility timeout."""


def receive_visibility_s(window_ms: int, timeout_ms: int, queue_s: int) -> int | None:
    """The visibility timeout to receive with; None: the queue's own.

    A message that waits for its batch must still be hidden when the function has had its time.
    """
    needed_s = -(-(window_ms + timeout_ms) // 1000)
    if window_ms > 0 and needed_s > queue_s:
        return needed_s + EXTRA_S
    return None


def hidden_until_ms(answered_ms: int, visibility_s: int) -> int:
    """Until when nobody else gets what was received.

    Less a margin for what nobody can measure: the way of the answer, the grain of its clock.
    """
    return answered_ms + visibility_s * 1000 - min(MARGIN_MS_MAX, visibility_s * 100)
