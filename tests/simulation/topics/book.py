"""What became of each record of a topic, and what its routers were allowed to do with it.

Over all routers of the group and all their lives. Checked after every step: D1, D2, D3, D4, D5, D6,
D7, D10, D12, S1 (`reliability.md` 2).
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import Any

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model.mapping_spec import MappingSpec
from router.model.outcome import NotRun, PartlySucceeded, Succeeded
from router.model.progress import ShardProgress
from router.sources.kafka.committed import NotOurs, decode
from tests.simulation.shard_state import Violation
from tests.simulation.topics.options import TopicOptions, is_wanted

SOMETIMES = (
    "batch_full",
    "filtered",
    "partial",
    "failed",
    "throttled",
    "discarded",
    "discarded_again_elsewhere",
    "several_lanes",
    "lanes_ran_ahead",
    "head_committed",
    "head_taken_over",
    "cover_found",
    "commit_failed",
    "commit_refused",
    "rebalanced",
    "revoked_with_open_invocation",
    "handed_over_in_good_order",
    "zombie_finished_something",
    "crash_with_open_invocation",
    "rolled",
    "partition_came",
    "duplicate",
    "fault_free",
)
"""Each must be seen in so many seeds: else the options are drawn too tamely."""

METADATA_FULL = 4_000
"""Commits that may have left something out."""


class Epoch:
    """One router's time with one partition."""

    def __init__(self, progress: ShardProgress) -> None:
        self.progress = progress
        self.handled: set[int] = set()
        """Finished by this router in this time."""
        self.failed: dict[int, int] = {}
        """Failed attempts of each record, those it knew of included."""
        self.is_over = False
        """The engine knows that it is."""
        self.is_given_up = False
        """The group knows it too."""


class Place:
    """One partition."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: dict[int, str] = {}
        self.unfinished: list[int] = []
        self.finished: set[int] = set()
        self.handled: set[int] = set()
        """Of these, what some invocation said is done."""
        self.discarded: dict[int, set[int]] = {}
        """Records given up, with the routers that did."""
        self.committed: tuple[int, str] | None = None
        self.end = 0

    def finish(self, offset: int) -> None:
        """Nothing is left to do with it."""
        if offset not in self.finished:
            self.finished.add(offset)
            index = bisect_left(self.unfinished, offset)
            if index < len(self.unfinished) and self.unfinished[index] == offset:
                del self.unfinished[index]


def covers(progress: ShardProgress, offset: int, key: str) -> bool:
    """Whether it says that a record is finished."""
    if offset <= progress.position:
        return True
    lane = lane_of(key, progress.factor)
    for one in progress.lanes:
        if one.lane == lane:
            return offset <= one.position or bool(one.head and offset in one.head.done)
    return False


class TopicBook:
    """Raises `Violation`."""

    def __init__(self, options: TopicOptions, seen: set[str], now_ms: Callable[[], int]) -> None:
        self._options = options
        self.seen = seen
        self._now_ms = now_ms
        self.places: dict[str, Place] = {}
        self._specs = [options.spec]
        self.spec = options.spec
        self.duplicates = 0
        self.letters = 0

    def place(self, name: str) -> Place:
        """One partition, made when first heard of."""
        return self.places.setdefault(name, Place(name))

    # The cluster

    def appended(self, name: str, offset: int, key: bytes | None) -> None:
        """One more record."""
        place = self.place(name)
        place.keys[offset] = str(offset) if key is None else key.decode("latin-1")
        place.end = offset + 1
        insort(place.unfinished, offset)
        self._leave_out(place, [offset])

    def changed(self, spec: MappingSpec) -> None:
        """New settings: what their filters leave out may be left out from now on."""
        self.spec = spec
        self._specs.append(spec)
        for place in self.places.values():
            self._leave_out(place, list(place.unfinished))

    def _leave_out(self, place: Place, offsets: Sequence[int]) -> None:
        for offset in offsets:
            if not all(is_wanted(offset, spec) for spec in self._specs):
                self.seen.add("filtered")
                place.finish(offset)

    def committed(self, name: str, offset: int, metadata: str) -> None:
        """The group's coordinator took a commit (D3, D4)."""
        place = self.place(name)
        before = place.committed
        if before is not None and offset < before[0]:
            raise Violation("D4", f"{name}: {offset} is committed after {before[0]}")
        place.committed = (offset, metadata)
        progress = decoded(offset, metadata)
        self._check_progress(place, progress, "a commit")
        if any(lane.head is not None for lane in progress.lanes):
            self.seen.add("head_committed")
        if any(lane.position > progress.position for lane in progress.lanes):
            self.seen.add("lanes_ran_ahead")

    def _check_progress(self, place: Place, progress: ShardProgress, what: str) -> None:
        """It passes nothing that is not finished (D3)."""
        top = max([progress.position, *(lane.position for lane in progress.lanes)])
        done = {it for lane in progress.lanes if lane.head for it in lane.head.done}
        top = max([top, *done])
        for offset in place.unfinished:
            if offset > top:
                break
            if covers(progress, offset, place.keys[offset]):
                raise Violation("D3", f"{place.name}: {what} passes {offset}: {progress}")

    # The function

    def running(self, router: "RouterBook", shard: str, offsets: tuple[int, ...]) -> e.Invoke:
        """It gets a batch: the very one that the router's engine asked for."""
        for number, command in router.open.items():
            if not isinstance(command, e.Invoke) or number in router.ran:
                continue
            if (command.shard, tuple(it.position for it in command.records)) == (shard, offsets):
                router.ran[number] = None
                self._check_start(router, command)
                return command
        raise Violation("D1", f"the function got what nobody asked for: {shard} {offsets}")

    def _check_start(self, router: "RouterBook", command: e.Invoke) -> None:
        place, epoch = self.places[command.shard], router.epoch_of[command.command_id]
        before = -1
        inside: set[int] = set()
        highest: dict[str, int] = {}
        for record in command.records:
            offset, key = record.position, place.keys[record.position]
            if offset <= before:
                raise Violation("D5", f"{place.name}: {offset} after {before} in a batch")
            if offset in epoch.handled or covers(epoch.progress, offset, key):
                raise Violation("D12", f"{place.name}: {offset} again, the router knows it")
            if offset in place.handled or offset in place.discarded:
                self.duplicates += 1
                self.seen.add("duplicate")
            before = offset
            inside.add(offset)
            highest[key] = offset
        if len(command.records) >= self.spec.batch_size:
            self.seen.add("batch_full")
        is_whole = self._options.spec.factor == 1 and self._options.is_without("settings")
        for offset in place.unfinished:
            if offset >= before:
                break
            is_before = offset < highest.get(place.keys[offset], -1)
            if offset not in inside and (is_whole or is_before):
                raise Violation("D5", f"{place.name}: {offset} is overtaken by {sorted(inside)}")
        self._check_budget(epoch, command)

    def _check_budget(self, epoch: Epoch, command: e.Invoke) -> None:
        """No record is tried more often than its settings say (D10)."""
        spec, options = self._options.spec, self._options
        is_plain = not spec.is_bisecting and not spec.is_reporting_failures
        if not is_plain or spec.retries_max < 0 or not options.is_without("settings"):
            return
        for record in command.records:
            failed = epoch.failed.get(record.position, 0)
            if failed > spec.retries_max:
                raise Violation("D10", f"{record.position} failed {failed} times, and runs again")

    def ended(self, router: "RouterBook", command_id: int, failed: frozenset[int]) -> None:
        """The truth about an invocation, before the engine hears of it."""
        command = router.open[command_id]
        assert isinstance(command, e.Invoke)
        router.ran[command_id] = failed
        place, epoch = self.places[command.shard], router.epoch_of[command.command_id]
        for record in command.records:
            offset = record.position
            if offset in failed:
                epoch.failed[offset] = epoch.failed.get(offset, 0) + 1
            else:
                epoch.handled.add(offset)
                place.handled.add(offset)
                place.finish(offset)
        if failed:
            self.seen.add("partial" if len(failed) < len(command.records) else "failed")

    def discarded(self, router: "RouterBook", command: e.Discard) -> None:
        """Given up, its on-failure record stored where there is a destination (D7)."""
        place = self.places[command.update.shard]
        epoch = router.epoch_of[command.command_id]
        self.seen.add("discarded")
        for record in command.records:
            by = place.discarded.setdefault(record.position, set())
            if router.number in by and record.position in epoch.handled:
                raise Violation("D7", f"{place.name}: {record.position} is discarded twice")
            if by - {router.number}:
                self.seen.add("discarded_again_elsewhere")
            by.add(router.number)
            epoch.handled.add(record.position)
            place.finish(record.position)

    # The end

    @property
    def backlog(self) -> int:
        """Records that are not finished."""
        return sum(len(place.unfinished) for place in self.places.values())

    @property
    def is_settled(self) -> bool:
        """All is finished, and the group knows it."""
        return not self.backlog and all(
            place.committed is not None and place.committed[0] >= place.end
            for place in self.places.values()
        )

    def check_settled(self) -> None:
        """Liveness: called when the time to settle is over."""
        for place in self.places.values():
            if place.unfinished:
                raise Violation("D1", f"{place.name}: never finished: {place.unfinished[:20]}")
            if place.committed is None or place.committed[0] < place.end:
                raise Violation("D3", f"{place.name}: stuck at {place.committed} of {place.end}")
        if self._options.is_fault_free:
            self.seen.add("fault_free")
            if self.duplicates:
                raise Violation("D12", f"{self.duplicates} duplicates without a fault")


class RouterBook:
    """One life of one router, as its engine and its rebalances go."""

    def __init__(self, book: TopicBook, number: int) -> None:
        self.book = book
        self.number = number
        self.open: dict[int, e.Command] = {}
        self.ran: dict[int, frozenset[int] | None] = {}
        """Invocations that reached the function; what failed, once they ended."""
        self.epochs: dict[str, Epoch] = {}
        self.epoch_of: dict[int, Epoch] = {}
        """By the invocations and discards that are open."""
        self._is_draining = False
        self._last_id = 0

    @property
    def invokes(self) -> list[e.Invoke]:
        """Batches with the function, or waiting for their turn."""
        return [it for it in self.open.values() if isinstance(it, e.Invoke)]

    def heard(self, event: e.Event) -> None:
        """The engine is about to hear this."""
        match event:
            case e.ShardOpened(shard, progress):
                self._opened(shard, progress)
            case e.ShardRevoked(shard):
                if any(it.shard == shard for it in self.invokes):
                    self.book.seen.add("revoked_with_open_invocation")
                if shard in self.epochs:
                    self.epochs[shard].is_over = True
            case e.InvocationFinished(command_id, outcome):
                command = self.open.pop(command_id)
                assert isinstance(command, e.Invoke)
                self._check_told(command, outcome)
            case e.DiscardStored(command_id):
                command = self.open.pop(command_id)
                assert isinstance(command, e.Discard)
                if self.book.spec.destination_arn is None:
                    self.book.discarded(self, command)
            case e.ProgressFailed(command_id):
                self.open.pop(command_id)
                self.book.seen.add("commit_failed")
            case e.RecordsFetched() | e.FetchFailed() | e.ProgressStored() | e.DiscardFailed():
                self.open.pop(event.command_id)
            case e.DrainRequested():
                self._is_draining = True
            case e.Resumed():
                self._is_draining = False

    def _opened(self, shard: str, progress: ShardProgress) -> None:
        """What it goes on from is true, and no less than what the group knows (D3, D12)."""
        book = self.book
        place = book.place(shard)
        epoch = self.epochs[shard] = Epoch(progress)
        book._check_progress(place, progress, "an opening")
        committed = decoded(*(place.committed or (0, "")))
        for offset, key in place.keys.items():
            if covers(committed, offset, key) and not covers(progress, offset, key):
                raise Violation("D12", f"{shard}: {offset} is committed, opened at {progress}")
        if progress != committed:
            book.seen.add("cover_found")
        for lane in progress.lanes:
            if lane.head is not None:
                book.seen.add("head_taken_over")
                for offset in place.keys:
                    is_own = lane_of(place.keys[offset], progress.factor) == lane.lane
                    if is_own and lane.head.first <= offset <= lane.head.last:
                        epoch.failed[offset] = lane.head.attempts

    def _check_told(self, command: e.Invoke, outcome: Any) -> None:
        """The engine hears what the function said (D2, D9)."""
        positions = [record.position for record in command.records]
        if isinstance(outcome, NotRun):
            self.book.seen.add("throttled")
            if self.ran.pop(command.command_id, None) is not None:
                raise Violation("D2", f"{command} ran, the engine hears {outcome}")
            return
        failed = self.ran.pop(command.command_id, None)
        if failed is None:
            raise Violation("D2", f"{command} never ended, but {outcome}")
        told = frozenset(positions)
        if isinstance(outcome, Succeeded):
            told = frozenset()
        elif isinstance(outcome, PartlySucceeded):
            told = frozenset(positions[index] for index in outcome.failed)
        if told != failed:
            raise Violation("D9", f"failed: {sorted(failed)}, the engine hears {outcome}")

    def said(self, commands: Sequence[e.Command]) -> None:
        """The engine asked for this."""
        for command in commands:
            if command.command_id <= self._last_id:
                raise Violation("", f"command id {command.command_id} used again")
            self._last_id = command.command_id
            if self._is_draining and isinstance(command, e.Fetch | e.Invoke):
                raise Violation("S1", f"started during a drain: {command}")
            if isinstance(command, e.Invoke):
                self._check_invoke(command)
            if isinstance(command, e.Discard):
                self.epoch_of[command.command_id] = self.epochs[command.update.shard]
            self.open[command.command_id] = command

    def _check_invoke(self, command: e.Invoke) -> None:
        epoch = self.epochs.get(command.shard)
        if epoch is None or epoch.is_over:
            raise Violation("D6", f"{command} of a partition that was revoked")
        others = [it for it in self.invokes if it.shard == command.shard]
        if any(it.lane == command.lane for it in others):
            raise Violation(
                "D6", f"two batches of lane {command.lane} of {command.shard} at a time"
            )
        self.epoch_of[command.command_id] = epoch
        if others:
            self.book.seen.add("several_lanes")

    def gave_up(self, *, is_good: bool) -> None:
        """All partitions were revoked; in good order everything done is committed (D12, K6)."""
        given_up = {it: epoch for it, epoch in self.epochs.items() if not epoch.is_given_up}
        for epoch in given_up.values():
            epoch.is_given_up = True
        if self.invokes:
            self.book.seen.add("revoked_with_open_invocation")
        if not is_good or any(not isinstance(it, e.Fetch) for it in self.open.values()):
            return
        self.book.seen.add("handed_over_in_good_order")
        for shard, epoch in given_up.items():
            place = self.book.places[shard]
            offset, metadata = place.committed or (0, "")
            progress = decoded(offset, metadata)
            for done in epoch.handled:
                if not covers(progress, done, place.keys[done]) and len(metadata) < METADATA_FULL:
                    raise Violation("D12", f"{shard}: {done} is done, revoked with {progress}")


def decoded(offset: int, metadata: str) -> ShardProgress:
    """What a commit says."""
    try:
        return decode(offset, metadata)
    except NotOurs:
        return ShardProgress(offset - 1)
