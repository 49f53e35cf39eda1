"""The promises D1-D12 and L1, L2 (`reliability.md` 2), checked after every single step.

The checker sees what the world sees (facts, commands, what really became durable) and keeps
its own books, in sets of positions and never in counts. `SometimesSeen` collects what a set of
runs must have met, so that a quiet simulation fails as well.
"""

from collections.abc import Callable, Mapping, Sequence

from router.mapping import engine as e
from router.model.mapping_spec import MappingSpec
from router.model.outcome import NotRun, Outcome
from router.model.progress import ProgressUpdate, ShardProgress
from router.model.record import Record
from tests.simulation.function import Call
from tests.simulation.heads import Kind, Verdict
from tests.simulation.shard_book import ShardBook
from tests.simulation.shard_state import Violation

SOMETIMES = (
    "window_fired_short",
    "batch_full",
    "batch_hit_6_mib",
    "bisect_reached_one",
    "bisect_nested",
    "partial_progress",
    "partial_without_progress",
    "invalid_response",
    "retry",
    "throttled",
    "concurrency_limit_reached",
    "reservation_used_up",
    "discard_by_age",
    "discard_by_retries",
    "discard_by_size",
    "discard_not_stored",
    "progress_not_stored",
    "fetch_failed",
    "fetch_empty",
    "filtered",
    "stretch_filtered",
    "filters_changed",
    "run_ahead_full",
    "room_full",
    "lanes_ran_ahead",
    "crash_with_open_invocation",
    "crash at: any moment",
    "crash at: invocation open",
    "crash at: failure not stored",
    "crash at: save stored, not answered",
    "crash at: discard asked",
    "crash at: discard stored, not answered",
    "crash_in_bisect",
    "restart_resumed_head",
    "duplicate_after_crash",
    "factor_changed_in_flight",
    "settings_changed_in_retry",
    "drained_and_restarted",
    "paused_and_resumed",
    "wall_jump",
    "age_on_edge",
    "trimmed_unread",
    "child_shard_waited",
    "window_went_on",
    "window_ended",
    "window_ended_early",
    "window_call_failed",
    "window_open_at_restart",
    "windows_off_while_open",
    "width_changed_while_open",
    "merged_child_waited",
    "deleted_in_batch",
    "deleted_and_created",
    "destination_down",
    "delivered_after_outage",
    "delivery_given_up",
    "fault_free",
)
"""Each must be seen in the seeds of `make check`: else the options are drawn too tamely."""


class Checker:
    """Books over all shards and lives of one mapping. Raises `Violation`."""

    def __init__(
        self,
        seen: set[str],
        wall_ms: Callable[[], int],
        *,
        tick_ms: int,
        run_ahead: tuple[int, int],
    ) -> None:
        self.seen = seen
        self.wall_ms = wall_ms
        self._tick_ms = tick_ms
        self._run_ahead = run_ahead
        self.books: dict[str, ShardBook] = {}
        self._open: dict[int, e.Command] = {}
        self._last_id = 0
        self._spec: MappingSpec | None = None
        self._destinations: dict[int, str | None] = {}
        """Where the on-failure record of each open discard belongs."""
        self._ran: dict[int, bool] = {}
        """Invocations that reached the function, and whether they ended."""
        self._failed: set[int] = set()
        self._is_draining = False
        self._is_deleted = False
        self.duplicates = 0

    # What the world does

    def opened_shard(self, shard: str, parents: tuple[str, ...], progress: ShardProgress) -> None:
        """A shard exists at the source, with where the mapping starts in it."""
        self.books[shard] = ShardBook(
            shard, parents, progress, self.seen, tick_ms=self._tick_ms, run_ahead=self._run_ahead
        )

    def appended(self, shard: str, record: Record) -> None:
        """The source offers one more record."""
        if (book := self.books.get(shard)) is not None:
            book.appended(record)

    def trimmed(self, shard: str, trimmed_to: int) -> None:
        """The source dropped everything up to a position."""
        book = self.books.get(shard)
        if book is not None and book.trimmed(trimmed_to):
            self.seen.add("trimmed_unread")

    def deleted(self) -> None:
        """The mapping and its progress are gone: nothing is stored for it any more."""
        self._is_deleted = True
        if any(isinstance(command, e.Invoke) for command in self._open.values()):
            self.seen.add("deleted_in_batch")

    def started(self, spec: MappingSpec, stored: Mapping[str, ShardProgress], now_ms: int) -> None:
        """A new engine takes over from what is durable."""
        self._spec = spec
        self._open = {}
        self._destinations = {}
        self._ran = {}
        self._last_id = 0
        self._is_draining = self._is_deleted = False
        for shard, book in self.books.items():
            book.started(spec, stored[shard], now_ms)

    def crashed(self) -> None:
        """The router is gone with everything it had not stored."""
        for command in self._open.values():
            if isinstance(command, e.Invoke):
                self.seen.add("crash_with_open_invocation")
        if any(book.is_bisecting for book in self.books.values()):
            self.seen.add("crash_in_bisect")

    def applied(
        self, update: ProgressUpdate, stored: ShardProgress | None
    ) -> e.SaveProgress | e.Discard:
        """A write became durable; `stored` is what a restart would find now. Whose it was."""
        command = next(
            command
            for command in self._open.values()
            if isinstance(command, e.SaveProgress | e.Discard) and command.update is update
        )
        if stored is None:
            if not self._is_deleted:
                raise Violation("D3", f"nothing was stored of {update}")
            if isinstance(command, e.Discard):
                self.books[update.shard].given_up(command)
            return command
        if self._is_deleted:
            raise Violation("D4", f"a deleted mapping's progress was stored: {update}")
        gone = command.records if isinstance(command, e.Discard) else ()
        self.books[update.shard].applied(update, gone, stored)
        return command

    def destination_of(self, command: e.Discard) -> str | None:
        """Where its on-failure record belongs, by the settings it was asked for under."""
        return self._destinations[command.command_id]

    def running(self, call: Call) -> e.Invoke:
        """The function gets a batch: the very one that the engine asked for."""
        for command in self._open.values():
            if isinstance(command, e.Invoke) and command.command_id not in self._ran:
                positions = tuple(record.position for record in command.records)
                if (command.shard, positions, command.window) == (
                    call.shard, call.positions, call.window
                ):  # fmt: skip
                    self._ran[command.command_id] = False
                    self.duplicates += self.books[command.shard].started_running(command)
                    return command
        raise Violation("D1", f"the function got what nobody asked for: {call}")

    def ended(self, command_id: int, verdict: Verdict) -> None:
        """The truth about an invocation, before the engine hears of it."""
        command = self._open[command_id]
        assert isinstance(command, e.Invoke)
        assert self._spec is not None
        self._ran[command_id] = True
        if verdict.kind is not Kind.FINISHED:
            self._failed.add(command_id)
        self.books[command.shard].ended(command, verdict, self._spec)

    def has_just_failed(self, event: e.Event) -> bool:
        """Whether this told the engine of an invocation that was not a success."""
        return isinstance(event, e.InvocationFinished) and event.command_id in self._failed

    # The conversation with the engine

    def heard(self, event: e.Event, now_ms: int) -> None:
        """The engine is about to hear this."""
        match event:
            case e.RecordsFetched() | e.FetchFailed():
                command = self._answered(event.command_id)
                assert isinstance(command, e.Fetch)
                assert self._spec is not None
                self.books[command.shard].fetch_answered(event, self._spec, now_ms, self.wall_ms())
            case e.InvocationFinished(command_id, outcome):
                self._check_run(command_id, outcome)
                command = self._answered(command_id)
                assert isinstance(command, e.Invoke)
                self.books[command.shard].lane_answered(command.lane, now_ms, is_invocation=True)
            case e.ProgressStored() | e.ProgressFailed() | e.DiscardStored() | e.DiscardFailed():
                command = self._answered(event.command_id)
                assert isinstance(command, e.SaveProgress | e.Discard)
                book = self.books[command.update.shard]
                if isinstance(event, e.ProgressFailed):
                    self.seen.add("progress_not_stored")
                if isinstance(event, e.DiscardFailed):
                    self.seen.add("discard_not_stored")
                    book.discard_failed(command.update.lane.lane)
                book.lane_answered(command.update.lane.lane, now_ms, is_invocation=False)
            case e.SettingsChanged(spec):
                self._changed(spec, now_ms)
            case e.RoomChanged(bytes_max):
                for book in self.books.values():
                    book.room_bytes = bytes_max
            case e.DrainRequested():
                self._is_draining = True
            case e.Resumed():
                self._is_draining = False
                for book in self.books.values():
                    book.unsettle_times(now_ms)

    def said(self, commands: Sequence[e.Command], now_ms: int, wall_ms: int) -> None:
        """The engine asked for this."""
        spec = self._spec
        assert spec is not None
        for command in commands:
            if command.command_id <= self._last_id:
                raise Violation("", f"command id {command.command_id} used again")
            self._last_id = command.command_id
            self._open[command.command_id] = command
            match command:
                case e.Fetch(shard=shard):
                    self._forbid_in_drain(command)
                    self._check_parents(shard)
                    self.books[shard].fetch(command)
                case e.Invoke(shard=shard):
                    self._forbid_in_drain(command)
                    self._check_parents(shard)
                    self.books[shard].invoke(command, spec, now_ms, wall_ms)
                case e.SaveProgress(update=update):
                    self.books[update.shard].save(update, spec)
                case e.Discard(update=update):
                    self._destinations[command.command_id] = spec.destination_arn
                    self.books[update.shard].discard(command, spec, wall_ms)

    def drained(self, is_drained: bool) -> None:
        """What the engine says about its drain must be true (S1)."""
        if not is_drained or self._is_deleted:
            return
        if self._open_work:
            raise Violation("S1", f"drained with open commands: {list(self._open.values())}")
        for book in self.books.values():
            if book.not_durable:
                raise Violation("D12", f"drained, finished but not stored: {book.not_durable}")

    @property
    def is_settled(self) -> bool:
        """Everything offered is finished and the store knows it (D1)."""
        return not self._open_work and all(book.is_settled for book in self.books.values())

    def check_settled(self) -> None:
        """Liveness: called when the time to settle is over."""
        for book in self.books.values():
            book.check_settled()

    @property
    def backlog(self) -> int:
        """Records offered and not finished."""
        return sum(len(book.undone) for book in self.books.values())

    @property
    def _open_work(self) -> bool:
        return any(not isinstance(command, e.Fetch) for command in self._open.values())

    def _check_run(self, command_id: int, outcome: Outcome) -> None:
        """What the engine is told is true about whether the function ran (D2)."""
        has_run = self._ran.pop(command_id, None)
        if isinstance(outcome, NotRun):
            if has_run is not None:
                raise Violation("D2", f"invocation {command_id} ran, the engine hears {outcome}")
            self.ended(command_id, Verdict(Kind.NOT_RUN))
            del self._ran[command_id]
        elif not has_run:
            raise Violation("D2", f"invocation {command_id} never ended, but {outcome}")

    def _answered(self, command_id: int) -> e.Command:
        return self._open.pop(command_id)

    def _changed(self, spec: MappingSpec, now_ms: int) -> None:
        assert self._spec is not None
        is_running = any(isinstance(command, e.Invoke) for command in self._open.values())
        if spec.factor != self._spec.factor and is_running:
            self.seen.add("factor_changed_in_flight")
        if spec.filters != self._spec.filters:
            self.seen.add("filters_changed")
        self._spec = spec
        for book in self.books.values():
            book.changed(spec, now_ms)

    def _forbid_in_drain(self, command: e.Command) -> None:
        if self._is_draining:
            raise Violation("S1", f"started during a drain: {command}")

    def _check_parents(self, shard: str) -> None:
        for parent in self.books[shard].parents:
            book = self.books.get(parent)
            if book is not None and (book.undone or not book.is_end_read):
                raise Violation("D5", f"{shard} is read before its parent {parent} is finished")
