"""How long received messages are hidden (`event-source-mappings.md` 8.1)."""

import pytest

from router.mapping.visibility import hidden_until_ms, receive_visibility_s


@pytest.mark.parametrize(
    ("window_ms", "timeout_ms", "queue_s", "expected"),
    [
        (0, 60_000, 30, None),  # no window: the queue's own, whatever the timeout
        (20_000, 10_000, 30, None),  # exactly covered
        (20_000, 11_000, 30, 61),
        (300_000, 900_000, 43_200, None),
        (300_000, 900_000, 900, 1_230),
    ],
)
def test_a_window_and_a_timeout_are_covered(window_ms, timeout_ms, queue_s, expected):
    assert receive_visibility_s(window_ms, timeout_ms, queue_s) == expected


def test_a_retry_does_not_begin_at_the_very_end():
    assert hidden_until_ms(1_000, 30) == 30_000
    assert hidden_until_ms(1_000, 2) == 2_800
    assert hidden_until_ms(1_000, 0) == 1_000
