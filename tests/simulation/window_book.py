"""Tumbling windows of one shard (`event-source-mappings.md` 6), followed from the outside.

The function's state is the list of the records it has seen in the window. Each call must get
exactly what the last successful one returned; what is stored with a position must be the state
after that position. So no state is lost, none is applied twice, no record is in another window.
"""

from router.mapping import engine as e
from router.model.mapping_spec import MappingSpec
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.model.record import Record
from router.model.window import InvokeWindow, Window
from tests.simulation.heads import Kind, Verdict
from tests.simulation.shard_state import Violation

EMPTY = b"{}"

AHEAD_MS = 30 * 60_000
"""A window that ends further ahead is one of a clock that was set back since."""


class WindowBook:
    """The last window of a shard as it must be, in this life."""

    def __init__(self, shard: str, seen: set[str]) -> None:
        self._shard = shard
        self._seen = seen
        self.window: Window | None = None
        self._widths: set[int] = set()
        """Every width the settings had in this life: which one a batch follows is its own affair
        while they change."""
        self._state_bytes_min = self._state_bytes_max = 0
        """Limits of a state that the settings had in this life."""
        self._last_arrival_ms = 0
        """The latest arrival read: the stream's own time."""
        self._wall_ms_max = self._wall_ms = 0
        self._begun: tuple[int, int] | None = None
        """A window whose final call was made in this life."""

    def begin_life(self, stored: ShardProgress, spec: MappingSpec) -> None:
        """What was stored is where the windows go on."""
        found = [lane.window for lane in stored.lanes if lane.window is not None]
        self.window = found[0] if found else None
        if self.window is not None and self.window.is_open:
            self._seen.add("window_open_at_restart")
        self._widths = {spec.tumbling_window_ms}
        self._state_bytes_min = self._state_bytes_max = spec.state_bytes_max
        self._last_arrival_ms = self._wall_ms_max = self._wall_ms = 0
        self._begun = None

    def changed(self, spec: MappingSpec) -> None:
        """New settings."""
        if self.window is not None and self.window.is_open:
            if not spec.tumbling_window_ms:
                self._seen.add("windows_off_while_open")
            elif spec.tumbling_window_ms not in self._widths:
                self._seen.add("width_changed_while_open")
        self._widths.add(spec.tumbling_window_ms)
        self._state_bytes_min = min(self._state_bytes_min, spec.state_bytes_max)
        self._state_bytes_max = max(self._state_bytes_max, spec.state_bytes_max)

    def read(self, records: tuple[Record, ...], wall_ms: int) -> None:
        """The engine has seen these."""
        self._wall_ms = wall_ms
        self._wall_ms_max = max(self._wall_ms_max, wall_ms)
        for record in records:
            self._last_arrival_ms = max(self._last_arrival_ms, record.arrival_ms)

    def read_time(self, arrival_ms: int) -> None:
        """The engine knows of a record of this time that filters left out."""
        self._last_arrival_ms = max(self._last_arrival_ms, arrival_ms)

    def may_be_over(self, told: InvokeWindow) -> bool:
        """Its time has passed: a batch of it cannot grow."""
        return max(self._last_arrival_ms, self._wall_ms_max) >= told.end_ms

    # Calls

    def invoke(
        self, command: e.Invoke, front: Record | None, *, is_end: bool, is_sole: bool
    ) -> None:
        """The engine calls the function; `front` is the first unfinished record it holds.

        Windows wait for a lane map of one lane: `is_sole` says that there was no other.
        """
        told = command.window
        if told is None:
            self._check_ordinary(command, is_sole=is_sole)
        elif command.records:
            self._check_batch(command, told)
        else:
            self._check_own_call(command, told, front, is_end=is_end)

    def _check_ordinary(self, command: e.Invoke, *, is_sole: bool) -> None:
        if not command.records:
            raise Violation("D11", f"{self._shard}: an empty batch")
        if self._widths == {0} and self.window is not None and self.window.is_open:
            raise Violation("W1", f"{self._shard}: goes on without the end of {self.window}")
        if 0 not in self._widths and is_sole:
            raise Violation("W1", f"{self._shard}: no window is told: {command}")

    def _check_batch(self, command: e.Invoke, told: InvokeWindow) -> None:
        window, bounds = self.window, (told.start_ms, told.end_ms)
        if told.is_final or told.is_terminated_early:
            raise Violation("W3", f"{self._shard}: an end with records: {command}")
        if bounds not in self._possible(command.records[0].arrival_ms):
            raise Violation("W2", f"{self._shard}: {bounds} after {window}: {command}")
        late = [r.position for r in command.records if r.arrival_ms >= told.end_ms]
        if late:
            raise Violation("W2", f"{self._shard}: {late} are not of the window {bounds}")
        expected = EMPTY
        if window is not None and window.state is not None:
            if window.start_ms != told.start_ms:
                raise Violation("W1", f"{self._shard}: {bounds} before the end of {window}")
            expected = window.state
            if len(expected) > self._state_bytes_max:
                raise Violation("W5", f"{self._shard}: goes on with {len(expected)} bytes")
            self._seen.add("window_went_on")
        if told.state != expected:
            raise Violation("W4", f"{self._shard}: given {told.state!r}, not {expected!r}")

    def _possible(self, arrival_ms: int) -> set[tuple[int, int]]:
        """Windows a record may be in: the open one, or one after the last."""
        window = self.window
        if window is not None and window.end_ms - arrival_ms > AHEAD_MS:
            window = None
        if window is not None and window.is_open and arrival_ms < window.end_ms:
            return {(window.start_ms, window.end_ms)}
        found = set()
        for width in self._widths - {0}:
            start_ms = arrival_ms - arrival_ms % width
            if window is not None:
                start_ms = max(start_ms, window.end_ms)
            found.add((start_ms, start_ms - start_ms % width + width))
        return found

    def _check_own_call(
        self, command: e.Invoke, told: InvokeWindow, front: Record | None, *, is_end: bool
    ) -> None:
        window = self.window
        if told.is_final == told.is_terminated_early:
            raise Violation("W3", f"{self._shard}: a call for nothing: {command}")
        if window is None or window.state is None:
            raise Violation("W3", f"{self._shard}: {told} ends no open window: {window}")
        if (told.start_ms, told.end_ms, told.state) != (
            window.start_ms, window.end_ms, window.state
        ):  # fmt: skip
            raise Violation("W4", f"{self._shard}: {told} is not about {window}")
        if told.is_terminated_early:
            if len(window.state) <= self._state_bytes_min:
                raise Violation("W5", f"{self._shard}: ended early with {len(window.state)} bytes")
            return
        if 0 in self._widths or is_end:
            return
        if self._begun == (window.start_ms, window.end_ms):
            return  # tried again, whatever came meanwhile
        self._begun = (window.start_ms, window.end_ms)
        if front is not None and -AHEAD_MS <= front.arrival_ms - window.end_ms < 0:
            raise Violation("W3", f"{self._shard}: ends {window} before {front.position}")
        is_early = max(self._last_arrival_ms, self._wall_ms_max) < window.end_ms
        if front is None and is_early and window.end_ms - self._wall_ms <= AHEAD_MS:
            raise Violation("W3", f"{self._shard}: {window} ends before its time")

    def ended(self, command: e.Invoke, verdict: Verdict) -> None:
        """The truth about a call."""
        told = command.window
        if told is None:
            return
        if not command.records:
            if verdict.kind is Kind.FINISHED:
                self._close(told)
            elif verdict.kind is not Kind.NOT_RUN:
                self._seen.add("window_call_failed")
            return
        is_progress = verdict.kind is Kind.PARTLY and verdict.lowest > 0
        if verdict.kind is Kind.FINISHED or is_progress:
            assert verdict.state is not None
            self.window = Window(told.start_ms, told.end_ms, verdict.state)

    def _close(self, told: InvokeWindow) -> None:
        state = EMPTY if told.is_terminated_early else None
        self.window = Window(told.start_ms, told.end_ms, state)
        self._seen.add("window_ended_early" if told.is_terminated_early else "window_ended")

    # The store

    def check_update(self, update: ProgressUpdate) -> None:
        """A position is stored with the state after it, and no other (design 7a)."""
        lane: LaneProgress = update.lane
        if lane.lane == 0 and lane.window != self.window:
            raise Violation("W4", f"{self._shard}: stores {lane.window}, not {self.window}")
        if lane.lane and lane.window is not None:
            raise Violation("W4", f"{self._shard}: lane {lane.lane} has a window: {update}")

    @property
    def is_settled(self) -> bool:
        """No window waits for its end."""
        return self.window is None or not self.window.is_open
