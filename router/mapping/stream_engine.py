"""The engine for sources that are read in order by position: webhook, Kinesis, DynamoDB shards.

    ShardOpened ─► Fetch ─► RecordsFetched ─► lanes by key hash, each a loop of its own:

    GATHERING ─► READY ─► RUNNING ─► SAVING ─► GATHERING …
                   │         └──────► DISCARDING ─┘
                   └─ too old, too large ─┘

A lane has at most one command open, so the next batch never starts before the last one's end
is durable (`event-source-mappings.md` 3.2 and 3.5).
"""

from collections.abc import Iterable, Iterator

import msgspec

from router.mapping import engine, retry, window_calls
from router.mapping.attempts import conclude, prepare
from router.mapping.lanes import Lane, Phase, Place
from router.mapping.shard import RunAhead, Shard
from router.mapping.timers import Timers
from router.model import limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome

SETTLE_EVERY_MS = 1_000
"""How often a position is stored that no batch carries. Where filters leave out whole fetches each
would be a write of its own; after a crash at most this much is read and filtered again."""

READING = -1
"""Stands for a lane in the back-off of a shard's fetches."""


class _Step(msgspec.Struct, frozen=True):
    """A lane's command that waits for its answer."""

    kind: type[engine.Command]
    shard: Shard
    lane: Lane
    position: int
    """Of the shard, in the update that is to be stored; 0 for an invocation."""


class StreamEngine:
    """One mapping on one stream. Implements `engine.Engine`; its rules are in the lane modules.

    Lowering a limit (retries, age) also frees a batch that is stuck already: limits are read at
    each attempt, size, window and lane map at each new batch.
    """

    def __init__(self, spec: MappingSpec, run_ahead: RunAhead | None = None) -> None:
        self._spec = spec
        self._factor = _factor_of(spec)
        self._run_ahead_all = run_ahead or RunAhead()
        self._run_ahead = self._run_ahead_all.share(1)
        self.held_bytes = 0
        """Of all shards, kept up with each record that comes and goes."""
        self._readable = 0
        """Shards that wait for no parent: they share what may be held."""
        self._shards: dict[str, Shard] = {}
        self._finished: dict[str, int] = {}
        """Shards read to their end, with the position stored last: their children may start."""
        self._revoked: dict[str, Shard] = {}
        """Somebody else's, but something of them still runs; one of the same name waits for it."""
        self._fetches: dict[int, Shard] = {}
        self._cut_short: set[int] = set()
        """Fetches that a drain met: it ends those that wait, so finding nothing says nothing."""
        self._steps: dict[int, _Step] = {}
        self._last_id = 0
        self._timers: Timers[Place] = Timers()
        self._is_draining = False
        self._commands: list[engine.Command] = []
        self._now_ms = 0
        self._wall_ms = 0

    def handle(self, event: engine.Event, now_ms: int, wall_ms: int) -> list[engine.Command]:
        """Take in one event and return what to do now. Raises `EngineError`; see `Engine`."""
        if now_ms < self._now_ms:
            raise EngineError(f"time went back from {self._now_ms} to {now_ms}")
        self._now_ms, self._wall_ms = now_ms, wall_ms
        self._commands = []
        match event:
            case engine.RecordsFetched():
                self._records_fetched(event)
            case engine.InvocationFinished(command_id, outcome):
                self._invocation_finished(command_id, outcome)
            case engine.ProgressStored(command_id):
                self._stored(command_id, engine.SaveProgress)
            case engine.DiscardStored(command_id):
                self._stored(command_id, engine.Discard)
            case engine.ProgressFailed(command_id):
                self._store_failed(command_id, engine.SaveProgress)
            case engine.DiscardFailed(command_id):
                self._store_failed(command_id, engine.Discard)
            case engine.FetchFailed(command_id):
                self._fetch_failed(command_id)
            case engine.Tick():
                self._tick()
            case engine.ShardOpened():
                self._shard_opened(event)
            case engine.ShardForgotten(shard):
                self._shard_forgotten(shard)
            case engine.ShardRevoked(shard):
                self._shard_revoked(shard)
            case engine.SettingsChanged(spec):
                self._spec, self._factor = spec, _factor_of(spec)
                self._work_everywhere()
            case engine.RoomChanged(bytes_max):
                self._room_changed(bytes_max)
            case engine.DrainRequested():
                self._is_draining = True
                self._cut_short.update(self._fetches)
                self._work_everywhere()
            case engine.Resumed():
                self._is_draining = False
                self._work_everywhere()
        return self._commands

    def next_wakeup_ms(self) -> int | None:
        """When to send the next `Tick` (monotonic), None if only an event can change anything."""
        return self._timers.next_ms()

    @property
    def is_drained(self) -> bool:
        """After `DrainRequested`: nothing is running or waits to be stored.

        Fetches may still be open: they change nothing, and their answers are taken when they come.
        """
        return (
            self._is_draining
            and not self._revoked
            and not any(lane.is_busy for shard in self._shards.values() for lane in shard.lanes)
        )

    def position(self, shard: str) -> int:
        """Everything of the shard at or below is finished, durably; 0 for an unknown shard."""
        if shard in self._shards:
            return self._shards[shard].stored_position
        return self._finished.get(shard, 0)

    def is_finished(self, shard: str) -> bool:
        """Whether the shard was read to its end and all of it is finished, durably."""
        return shard in self._finished

    @property
    def held_records(self) -> int:
        """Records read and not finished, all shards."""
        return sum(shard.held_records for shard in self._shards.values())

    @property
    def lanes(self) -> Iterator[Lane]:
        """The lanes of all shards, to look at."""
        return (lane for shard in self._shards.values() for lane in shard.lanes)

    # Facts.

    def _shard_opened(self, event: engine.ShardOpened) -> None:
        name = event.shard
        if name in self._shards or name in self._finished:
            raise EngineError(f"shard {name} is open already")
        shard = self._revoked.get(name)
        if shard is not None and shard.may_go_on_from(event.progress):
            del self._revoked[name]
            shard.go_on_from(event.progress)
        else:
            shard = Shard(name, event.parents, event.progress)
        self._shards[name] = shard
        shard.parents -= self._finished.keys()
        if not shard.parents:
            self._share_out(1)
        self._work(shard, shard.lanes)

    def _shard_revoked(self, name: str) -> None:
        if self._finished.pop(name, None) is not None:
            return
        shard = self._shards.pop(name, None)
        if shard is None:
            raise EngineError(f"shard {name} is revoked and was never opened")
        shard.is_revoked = True
        for timer in (shard.timer, *(lane.timer for lane in shard.lanes)):
            self._timers.set(timer, None)
        if not shard.parents:
            self._share_out(-1)
        if name not in self._revoked:
            self._revoked[name] = shard
            self._let_go(shard)
        else:  # it waited for an earlier one, so nothing of it runs
            self.held_bytes -= shard.held_bytes

    def _let_go(self, shard: Shard) -> None:
        """Forget a revoked shard once nothing of it runs; one of its name may begin then."""
        if shard.is_running:
            return
        del self._revoked[shard.name]
        self.held_bytes -= shard.held_bytes
        if (successor := self._shards.get(shard.name)) is not None:
            self._work(successor, successor.lanes)

    def _shard_forgotten(self, name: str) -> None:
        if name in self._shards:
            raise EngineError(f"shard {name} is forgotten before it is finished")
        self._finished.pop(name, None)

    def _records_fetched(self, event: engine.RecordsFetched) -> None:
        shard, is_cut_short = self._close_fetch(event.command_id)
        if shard.is_revoked:
            return
        shard.misses = 0
        if event.records or event.read_to != shard.read_to:
            shard.quiet_wall_ms, shard.last_arrival_ms = None, event.last_arrival_ms
        elif not is_cut_short:
            shard.quiet_wall_ms = self._wall_ms
        held_bytes = shard.held_bytes
        window_ms = 0 if self._spec.is_window_from_first else self._spec.window_ms
        shard.take_in(event.records, event.read_to, self._now_ms, window_ms)
        self.held_bytes += shard.held_bytes - held_bytes
        if event.is_end:
            shard.end()
        self._work(shard, shard.lanes)

    def _fetch_failed(self, command_id: int) -> None:
        shard, is_cut_short = self._close_fetch(command_id)
        if shard.is_revoked:
            return
        if not is_cut_short:
            shard.misses += 1
            shard.fetch_from_ms = self._now_ms + self._backoff_ms(shard, READING, shard.misses)
        self._work(shard)

    def _invocation_finished(self, command_id: int, outcome: Outcome) -> None:
        step = self._close(command_id, engine.Invoke)
        shard, lane = step.shard, step.lane
        if lane.call is not None:
            window_calls.conclude(lane, outcome, self._spec, self._now_ms)
            self._work(shard, (lane,))
            return
        finished = conclude(lane, outcome, self._spec, shard.name, self._now_ms, self._wall_ms)
        self.held_bytes -= shard.release(finished)
        self._work(shard, (lane,))

    def _stored(self, command_id: int, kind: type[engine.Command]) -> None:
        step = self._close(command_id, kind)
        shard, lane = step.shard, step.lane
        shard.stored_position = max(shard.stored_position, step.position)
        self.held_bytes -= shard.release(lane.stored())
        self._work(shard, (lane,))

    def _store_failed(self, command_id: int, kind: type[engine.Command]) -> None:
        step = self._close(command_id, kind)
        shard, lane = step.shard, step.lane
        lane.misses += 1
        lane.store_from_ms = self._now_ms + retry.store_backoff_ms(
            self._spec, shard.name, lane.index, lane.misses
        )
        self._work(shard, (lane,))

    def _room_changed(self, bytes_max: int | None) -> None:
        """Shards that hold more than their part now read on once they have finished it."""
        self._run_ahead_all = msgspec.structs.replace(self._run_ahead_all, room_bytes=bytes_max)
        self._share_out(0)
        for shard in tuple(self._shards.values()):
            if shard.is_paused:
                self._work(shard)

    def _tick(self) -> None:
        for name, index in self._timers.pop_due(self._now_ms):
            shard = self._shards[name]
            self._work(shard, () if index is None else (shard.lanes[index],))

    # Work: everything that can be done now is done, the rest sets a timer.

    def _work_everywhere(self) -> None:
        for shard in tuple(self._shards.values()):
            self._work(shard, shard.lanes)

    def _work(self, shard: Shard, lanes: Iterable[Lane] = ()) -> None:
        """After something happened to a shard and some of its lanes."""
        if shard.is_revoked:
            self._let_go(shard)
            return
        if shard.is_idle:
            lanes = self._settle(shard) or lanes
        self._read(shard)
        self._timers.set(shard.timer, self._wakeup_ms(shard))
        for lane in lanes:
            self._advance(shard, lane)

    def _settle(self, shard: Shard) -> Iterable[Lane]:
        """A shard with nothing unfinished: store how far it is read, take a new lane map, end.

        An open window comes first: its lane knows when it is over. Returns lanes that have
        something to do because of it.
        """
        if self._is_draining:
            return ()
        if shard.is_ahead:
            # Nothing but filtered or trimmed stretches since: no batch carries this position.
            if self._now_ms < shard.settle_from_ms and not self._must_settle(shard):
                return ()
            shard.settle_from_ms = self._now_ms + SETTLE_EVERY_MS
            shard.lanes[0].phase = Phase.SAVING
            return shard.lanes[:1]
        if (window := shard.lanes[0].window) is not None and window.is_open:
            return ()
        if shard.is_ended:
            self._finish(shard)
        elif shard.factor != self._factor and not shard.can_read(self._factor):
            shard.remap(self._factor)
        return ()

    def _must_settle(self, shard: Shard) -> bool:
        """Whether something waits for the shard to be settled."""
        return shard.is_ended or shard.factor != self._factor

    def _wakeup_ms(self, shard: Shard) -> int | None:
        """When to look after the shard itself again: to read it, or to store how far it is read."""
        if self._is_draining or shard.name not in self._shards:
            return None
        wishes = (
            shard.fetch_from_ms if not shard.is_paused and not shard.is_fetching else 0,
            shard.settle_from_ms if shard.is_ahead and shard.is_idle else 0,
        )
        return min((wish for wish in wishes if wish > self._now_ms), default=None)

    def _finish(self, shard: Shard) -> None:
        """The shard is read to its end and all of it is stored: its children may start."""
        del self._shards[shard.name]
        self._finished[shard.name] = shard.stored_position
        self._share_out(-1)
        for child in tuple(self._shards.values()):
            if shard.name in child.parents:
                child.parents.remove(shard.name)
                if not child.parents:
                    self._share_out(1)
                    self._work(child, child.lanes)

    def _share_out(self, change: int) -> None:
        """The number of shards that are read side by side has changed (L2)."""
        self._readable += change
        self._run_ahead = self._run_ahead_all.share(self._readable)

    def _read(self, shard: Shard) -> None:
        """Ask for more records when there is room for them."""
        if shard.is_fetching or self._is_draining or shard.parents or shard.name in self._revoked:
            return
        records_max, bytes_max = (
            shard.room(self._run_ahead) if shard.can_read(self._factor) else (0, 0)
        )
        shard.is_paused = not records_max
        if shard.is_paused or self._now_ms < shard.fetch_from_ms:
            return
        shard.is_fetching = True
        command_id = self._next_id()
        self._fetches[command_id] = shard
        wait_ms = limits.FETCH_WAIT_MS
        if self._spec.tumbling_window_ms:
            wait_ms = window_calls.fetch_wait_ms(shard, shard.lanes[0], self._spec, self._wall_ms)
        self._commands.append(
            engine.Fetch(command_id, shard.name, shard.read_to, records_max, bytes_max, wait_ms)
        )

    def _advance(self, shard: Shard, lane: Lane) -> None:
        """Let a lane start what it can start now."""
        if lane.is_open:
            return
        due_ms: int | None = None
        if lane.phase is Phase.GATHERING and not self._is_draining:
            due_ms = self._gather(shard, lane)
        if lane.phase is Phase.READY and not self._is_draining:
            due_ms = self._attempt(shard, lane)
        if lane.phase is Phase.SAVING or lane.phase is Phase.DISCARDING:
            due_ms = self._store(shard, lane)
        self._timers.set(lane.timer, due_ms)

    def _gather(self, shard: Shard, lane: Lane) -> int | None:
        """Close the lane's next batch, or say until when it may wait for more records.

        The end of its tumbling window, when it is due, takes the place of a batch. Nothing is due
        before the shard's parents are finished: after a restart they are found to be (P28).
        """
        spec = self._spec
        if shard.parents:
            return None
        if lane.window is not None and (call := window_calls.due(shard, lane, spec)):
            window_calls.begin(lane, call)
            return None
        if lane.take_part(spec, shard.read_to) or lane.ends or not lane.queue:
            return None
        due_ms = lane.window_end_ms(spec.window_ms, self._now_ms)
        if (
            self._now_ms < due_ms
            and not shard.is_paused
            and not lane.is_full(spec)
            and not (spec.tumbling_window_ms and window_calls.is_front_over(shard, lane, spec))
        ):
            return due_ms
        lane.take_batch(spec)
        return None

    def _attempt(self, shard: Shard, lane: Lane) -> int | None:
        """Hand the batch to the function, or say when that may be."""
        if self._now_ms < lane.attempt_from_ms:
            return lane.attempt_from_ms
        if lane.call is not None:
            attempt = lane.call_failures + 1
        elif prepare(lane, self._spec, self._wall_ms):
            attempt = lane.attempts + 1
        else:
            return None
        lane.phase = Phase.RUNNING
        window = None
        if lane.bounds is not None or lane.call is not None:
            window = window_calls.invoke_window(lane)
        command = engine.Invoke(
            self._next_id(), shard.name, lane.index, lane.batch, attempt, window
        )
        self._issue(command, shard, lane)
        return None

    def _store(self, shard: Shard, lane: Lane) -> int | None:
        """Ask for what must be durable before the lane goes on, or say when to ask again."""
        if self._now_ms < lane.store_from_ms:
            return lane.store_from_ms
        update = shard.update(lane)
        command: engine.Command
        if (doom := lane.doomed) is None:
            command = engine.SaveProgress(self._next_id(), update)
        else:
            command = engine.Discard(
                self._next_id(),
                doom.records,
                doom.condition,
                doom.invoke_count,
                doom.outcome,
                update,
            )
        self._issue(command, shard, lane, update.position)
        return None

    # Commands and their answers.

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _issue(self, command: engine.Command, shard: Shard, lane: Lane, position: int = 0) -> None:
        if lane.is_open:
            raise EngineError(f"lane {shard.name}/{lane.index} has a command open already")
        lane.is_open = True
        self._steps[command.command_id] = _Step(type(command), shard, lane, position)
        self._commands.append(command)

    def _close(self, command_id: int, kind: type[engine.Command]) -> _Step:
        step = self._steps.get(command_id)
        if step is None or step.kind is not kind:
            raise EngineError(f"no {kind.__name__} with id {command_id} waits for an answer")
        del self._steps[command_id]
        step.lane.is_open = False
        return step

    def _close_fetch(self, command_id: int) -> tuple[Shard, bool]:
        """The fetch's shard, and whether a drain may have ended it."""
        shard = self._fetches.pop(command_id, None)
        if shard is None:
            raise EngineError(f"no Fetch with id {command_id} waits for an answer")
        shard.is_fetching = False
        is_cut_short = command_id in self._cut_short
        self._cut_short.discard(command_id)
        return shard, is_cut_short

    def _backoff_ms(self, shard: Shard, lane: int, misses: int) -> int:
        return retry.backoff_ms(self._spec, shard.name, lane, misses)


def _factor_of(spec: MappingSpec) -> int:
    """Lanes of a shard: a tumbling window is one state after the other, so it has one."""
    return 1 if spec.tumbling_window_ms else spec.factor
