"""A playbook: a test that reads like the protocol.

`play >> event` feeds an event; `<< command` states the next command that must come out, and
`<< nothing` that there is none (left). Before the next event every command must have been stated.
Command ids are the playbook's business: an answer goes to the oldest open command of its kind,
of the lane it names if it names one.
"""

from collections.abc import Callable

from router.mapping import engine as e
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.progress import LaneHead, ProgressUpdate, ShardProgress
from router.model.record import Record

WALL_MS = 1_772_446_498_204
"""Wall time at monotonic 0."""

nothing = None


def spec_of(**settings) -> MappingSpec:
    return MappingSpec(
        uuid="b2c3d4e5-0000-4000-8000-000000000001",
        name="hooks",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:settle",
        source_arn="arn:aws:router:us-east-1:000000000000:webhook/hooks",
        **settings,
    )


def record(position: int, key: str = "k", arrival_ms: int = WALL_MS, size_bytes: int = 100):
    return Record(position, key, arrival_ms, size_bytes, b"", f"id-{position}")


def lane_keys(factor: int) -> list[str]:
    """A key for each lane."""
    from router.mapping.lanes import lane_of

    keys: dict[int, str] = {}
    number = 0
    while len(keys) < factor:
        keys.setdefault(lane_of(f"key-{number}", factor), f"key-{number}")
        number += 1
    return [keys[lane] for lane in range(factor)]


# Events, as functions of the playbook: they find the command that they answer.

Answer = Callable[["Play"], e.Event]


def opened(position: int = 0, shard: str = "0", parents=(), factor: int = 1, lanes=()) -> Answer:
    return lambda _: e.ShardOpened(shard, ShardProgress(position, factor, tuple(lanes)), parents)


def forgotten(shard: str) -> Answer:
    return lambda _: e.ShardForgotten(shard)


def revoked(shard: str = "0") -> Answer:
    return lambda _: e.ShardRevoked(shard)


def fetched(*records: Record | int, read_to: int | None = None, shard: str = "0", is_end=False):
    found = tuple(item if isinstance(item, Record) else record(item) for item in records)

    def answer(play: "Play") -> e.Event:
        fetch = play.take(e.Fetch, lambda command: command.shard == shard)
        last = found[-1].position if found else fetch.after
        return e.RecordsFetched(
            fetch.command_id, found, last if read_to is None else read_to, is_end
        )

    return answer


def fetch_failed(shard: str = "0") -> Answer:
    return lambda play: e.FetchFailed(
        play.take(e.Fetch, lambda command: command.shard == shard).command_id, "down"
    )


def ended(outcome: Outcome, lane: int | None = None) -> Answer:
    def fits(command: e.Invoke) -> bool:
        return lane is None or command.lane == lane

    return lambda play: e.InvocationFinished(play.take(e.Invoke, fits).command_id, outcome)


def succeeded(lane: int | None = None) -> Answer:
    return ended(Succeeded(), lane)


def failed(lane: int | None = None, *, is_invalid_response: bool = False) -> Answer:
    return ended(Failed("ValueError", is_invalid_response), lane)


def reported(*indexes: int, lane: int | None = None) -> Answer:
    return ended(PartlySucceeded(indexes), lane)


def throttled(lane: int | None = None) -> Answer:
    return ended(NotRun("throttled"), lane)


def _of_lane(lane: int | None):
    return lambda command: lane is None or command.update.lane.lane == lane


def stored(lane: int | None = None) -> Answer:
    return lambda play: e.ProgressStored(play.take(e.SaveProgress, _of_lane(lane)).command_id)


def not_stored(lane: int | None = None) -> Answer:
    return lambda play: e.ProgressFailed(
        play.take(e.SaveProgress, _of_lane(lane)).command_id, "full"
    )


def discard_stored(lane: int | None = None) -> Answer:
    return lambda play: e.DiscardStored(play.take(e.Discard, _of_lane(lane)).command_id)


def discard_not_stored(lane: int | None = None) -> Answer:
    return lambda play: e.DiscardFailed(play.take(e.Discard, _of_lane(lane)).command_id, "full")


def tick(_: "Play") -> e.Event:
    return e.Tick()


def drain(_: "Play") -> e.Event:
    return e.DrainRequested()


def resume(_: "Play") -> e.Event:
    return e.Resumed()


def settings(**changed) -> Answer:
    return lambda _: e.SettingsChanged(spec_of(**changed))


# Commands, stated: what matters of them.


class Stated:
    """A command that must come out; `fits` compares it."""

    def __init__(self, text: str, fits: Callable[[e.Command], bool]) -> None:
        self.text = text
        self.fits = fits

    def __repr__(self) -> str:
        return self.text


def fetch(after: int | None = None, shard: str = "0", **room) -> Stated:
    def fits(command: e.Command) -> bool:
        return (
            isinstance(command, e.Fetch)
            and command.shard == shard
            and after in (None, command.after)
            and all(getattr(command, name) == value for name, value in room.items())
        )

    return Stated(f"Fetch({shard}, after={after}, {room})", fits)


def invoke(*positions: int, attempt: int = 1, lane: int | None = None, shard="0") -> Stated:
    def fits(command: e.Command) -> bool:
        return (
            isinstance(command, e.Invoke)
            and command.shard == shard
            and tuple(item.position for item in command.records) == positions
            and command.attempt == attempt
            and lane in (None, command.lane)
        )

    return Stated(f"Invoke({shard}/{lane}, {positions}, attempt={attempt})", fits)


def _update_fits(update: ProgressUpdate, position, lane, lane_position, head, factor) -> bool:
    return (
        update.position == position
        and lane in (None, update.lane.lane)
        and lane_position in (None, update.lane.position)
        and factor in (None, update.factor)
        and _headless_time(update.lane.head) == head
    )


def _headless_time(head: LaneHead | None) -> LaneHead | None:
    return head and LaneHead(head.first, head.last, head.attempts, head.ends, 0, head.done)


def save(position, lane=None, lane_position=None, head=None, factor=None) -> Stated:
    def fits(command: e.Command) -> bool:
        return isinstance(command, e.SaveProgress) and _update_fits(
            command.update, position, lane, lane_position, head, factor
        )

    return Stated(f"SaveProgress({position}, lane={lane}@{lane_position}, {head})", fits)


def discard(
    *positions: int, condition="RetryAttemptsExhausted", count: int, to, lane=None, head=None
) -> Stated:
    def fits(command: e.Command) -> bool:
        return (
            isinstance(command, e.Discard)
            and tuple(item.position for item in command.records) == positions
            and command.condition == condition
            and command.invoke_count == count
            and _update_fits(command.update, to, lane, None, head, None)
        )

    return Stated(f"Discard({positions}, {condition}, {count}, to={to}, {head})", fits)


class Play:
    """An engine with a script. `at` sets the time of the next event, in ms since the start."""

    def __init__(self, run_ahead: RunAhead | None = None, **spec) -> None:
        self.engine = StreamEngine(spec_of(**spec), run_ahead)
        self.now_ms = 0
        self.wall_shift_ms = 0
        self.open: list[e.Command] = []
        self.out: list[e.Command] = []
        self.seen: list[e.Command] = []
        self.ids: set[int] = set()

    def at(self, now_ms: int) -> "Play":
        self.now_ms = now_ms
        return self

    def wake(self) -> "Play":
        """Go to the time the engine asked for and tick."""
        due_ms = self.engine.next_wakeup_ms()
        assert due_ms is not None, "the engine waits for no time"
        return self.at(due_ms) >> tick

    @property
    def wall_ms(self) -> int:
        return WALL_MS + self.now_ms + self.wall_shift_ms

    def __rshift__(self, answer: Answer) -> "Play":
        assert not self.out, f"not stated: {self.out}"
        self.out = self.engine.handle(answer(self), self.now_ms, self.wall_ms)
        for command in self.out:
            assert command.command_id > max(self.ids, default=0), "ids rise"
            self.ids.add(command.command_id)
        self.open += self.out
        self.seen += self.out
        return self

    def __lshift__(self, stated: Stated | None) -> "Play":
        if stated is None:
            assert not self.out, f"nothing was stated, but: {self.out}"
            return self
        assert self.out, f"{stated} did not come out"
        command = self.out.pop(0)
        assert stated.fits(command), f"{stated} was stated, but: {command}"
        return self

    def take(self, kind, fits=lambda _: True):
        """The oldest open command of a kind, now answered."""
        for command in self.open:
            if isinstance(command, kind) and fits(command):
                self.open.remove(command)
                return command
        raise AssertionError(f"no {kind.__name__} is open: {self.open}")

    def last(self, kind):
        """The newest command of a kind."""
        return next(command for command in reversed(self.seen) if isinstance(command, kind))


def running(*positions: int, **spec) -> Play:
    """An engine that runs its first batch, of these records."""
    play = Play(**spec)
    play >> opened() << fetch(0)
    play >> fetched(*positions) << fetch(positions[-1]) << invoke(*positions)
    return play
