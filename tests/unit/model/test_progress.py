"""When nothing is left to do in a closed shard."""

import pytest

from router.model.progress import LaneProgress, ShardProgress
from router.model.window import Window


@pytest.mark.parametrize(
    ("progress", "is_finished"),
    [
        (ShardProgress(4), False),
        (ShardProgress(5), True),
        (ShardProgress(5, 1, (LaneProgress(0, 5, window=Window(0, 60, None)),)), True),
        (ShardProgress(5, 1, (LaneProgress(0, 5, window=Window(0, 60, b"{}")),)), False),
    ],
)
def test_p28_a_closed_shard_is_finished_at_its_last_position_with_its_window_ended(
    progress, is_finished
):
    assert progress.is_finished(5) == is_finished
