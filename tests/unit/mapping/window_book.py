"""What tumbling windows must look like from outside, told with lists.

The handler's state is the list of the records it was given, so a record that is lost from a
state, or in it twice, shows. Nothing here knows how the engine does it.
"""

import json
from bisect import insort

from router.mapping import engine as e
from router.model import limits
from router.model.outcome import Outcome, PartlySucceeded, Succeeded
from router.model.progress import ShardProgress
from router.model.window import Window


def last_window(progress: ShardProgress) -> Window | None:
    return next((lane.window for lane in progress.lanes if lane.lane == 0), None)


def ids(state: bytes | None) -> list[int]:
    return json.loads(state)["ids"] if state not in (None, b"{}") else []


class WindowBook:
    """The windows of one shard, as its store and its function see them."""

    def __init__(self) -> None:
        self.given_out: list[int] = []
        """Records whose window was closed, or ended early, with them in its state."""
        self.in_windows: set[int] = set()
        """Handled last by a call that had a window."""
        self.closed: list[tuple[int, int]] = []
        self.early = 0
        self.last_call = ""
        """The window's own call that succeeded last and is not stored yet."""

    def answer(self, invoke: e.Invoke, outcome: Outcome) -> Outcome:
        """The outcome, with the state that the handler returns."""
        match outcome:
            case Succeeded():
                done = len(invoke.records)
            case PartlySucceeded(failed=failed):
                done = failed[0]
            case _:
                return outcome
        if invoke.window is not None:
            self.last_call = invoke.window.call
        positions = [record.position for record in invoke.records[:done]]
        if invoke.window is None:
            self.in_windows -= set(positions)
            return outcome
        self.in_windows |= set(positions)
        state = json.dumps({"ids": ids(invoke.window.state) + positions}).encode()
        if isinstance(outcome, PartlySucceeded):
            return PartlySucceeded(outcome.failed, state)
        return Succeeded(state)

    def check_invoke(self, invoke: e.Invoke, stored: ShardProgress) -> None:
        """Windows never go back, none is mixed, and the state is the one that is stored."""
        window, last = invoke.window, last_window(stored)
        if window is None:
            assert invoke.records
            return
        assert window.start_ms < window.end_ms
        is_own_call = window.is_final or window.is_terminated_early
        assert bool(invoke.records) is not is_own_call
        assert not (window.is_final and window.is_terminated_early)
        assert all(record.arrival_ms < window.end_ms for record in invoke.records)
        if last is not None and last.is_open:
            assert (window.start_ms, window.end_ms) == (last.start_ms, last.end_ms)
            assert window.state == last.state
        else:
            assert not is_own_call
            assert last is None or window.start_ms >= last.end_ms
            assert window.state == b"{}"

    def apply(self, old: ShardProgress, new: ShardProgress) -> None:
        """A step was stored: what its window says."""
        before, after = last_window(old), last_window(new)
        if after is None:
            return
        if before is not None and before.is_open:
            assert after.start_ms == before.start_ms, "closed before the next one opens"
            is_emptied = after.state == b"{}" and before.state != b"{}"
            if is_emptied or not after.is_open:
                assert self.last_call == ("terminated_early" if after.is_open else "final")
                self.given_out += ids(before.state)
                self.early += is_emptied
            if not after.is_open:
                insort(self.closed, (after.start_ms, after.end_ms))
        state = ids(after.state)
        assert state == sorted(set(state)), "applied once and in order"

    def check_all(self, progress: ShardProgress, handled: set[int]) -> None:
        """Every record that a window's call handled is in exactly one state, given out or kept."""
        window = last_window(progress)
        kept = ids(window.state) if window is not None else []
        seen = self.given_out + kept
        assert len(seen) == len(set(seen)), "in one state only"
        assert set(seen) == self.in_windows & handled, "none lost"
        assert self.given_out == sorted(self.given_out)
        for (_, end), (start, _) in zip(self.closed, self.closed[1:], strict=False):
            assert end <= start, "one final call for each, none overlaps"


def check_final(
    window, next_arrival_ms: int | None, quiet_wall_ms: int | None, *, is_ended: bool
) -> None:
    """A window ends when nothing of it can come any more."""
    if next_arrival_ms is not None:
        assert next_arrival_ms >= window.end_ms
    else:
        over_ms = window.end_ms + limits.WINDOW_GRACE_MS
        assert is_ended or (quiet_wall_ms is not None and quiet_wall_ms >= over_ms)
