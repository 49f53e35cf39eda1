"""How far a mapping has come in a shard: what is stored so that a restart repeats little."""

import msgspec

from router.model.window import Window


class LaneHead(msgspec.Struct, frozen=True):
    """The batch at the head of a lane that has failed at least once.

    `first` and `last` are positions of the lane's own records. `ends` are the last positions
    of the parts that wait behind it after a bisect, nearest first, so the part after the head
    runs from the lane's first record past `last` to `ends[0]`. Stored at each failure, so that
    a record that kills the router cannot reset its own budget (`design.md` 7a).
    """

    first: int
    last: int
    attempts: int
    ends: tuple[int, ...] = ()
    first_failure_wall_ms: int = 0
    done: tuple[int, ...] = ()
    """Finished positions above the lane's own, ascending: a function may report records of a Kafka
    batch and not the ones behind them, and only the reported ones are tried again (7.4)."""


class LaneProgress(msgspec.Struct, frozen=True):
    """Everything of this lane at or below `position` is finished.

    `window` is the lane's last tumbling window, its state made by exactly the records up to
    `position`. Windows run on one lane per shard, so only lane 0 ever has one.
    """

    lane: int
    position: int
    head: LaneHead | None = None
    window: Window | None = None


class ShardProgress(msgspec.Struct, frozen=True):
    """Everything of the shard at or below `position` is finished, and of each lane what it says.

    `factor` is the lane map that `lanes` were made with.
    """

    position: int
    factor: int = 1
    lanes: tuple[LaneProgress, ...] = ()

    def is_finished(self, last: int) -> bool:
        """Whether nothing is left to do in a shard whose last position, for ever, is this."""
        has_window = any(it.window is not None and it.window.state is not None for it in self.lanes)
        return self.position >= last and not has_window


class ProgressUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One durable step: the shard's position and one lane's progress, stored together.

    Steps of several lanes may be on their way at once and arrive in any order: a store keeps the
    highest `position` of a shard it was given (D4).
    """

    shard: str
    position: int
    factor: int
    lane: LaneProgress
