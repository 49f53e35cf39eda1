"""What goes into a mapping engine and what comes out of it.

An engine decides; it never waits, reads a clock, draws a random number or logs.

    event, now_ms, wall_ms ──► engine.handle() ──► [command, ...]
                      engine.next_wakeup_ms() ──► when to send Tick

Every command carries a `command_id` and is answered by exactly one fact event with the same
id, failure included; a failing command never cancels its neighbours (`design.md` 7a).
Commands returned together may run at the same time. A step that must come after another is
only asked for once the engine has heard that the other one is done.
"""

from typing import Protocol

import msgspec

from router.model import limits
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.progress import ProgressUpdate, ShardProgress
from router.model.record import Record
from router.model.window import InvokeWindow

# Events: facts, past tense.


class ShardOpened(msgspec.Struct, frozen=True):
    """Read this shard from `progress` on. `parents` must be finished first (lineage).

    May come at any time, also for a shard that was revoked. A parent is a shard that is opened
    too, before or after this one: one that the source has forgotten is not named.
    """

    shard: str
    progress: ShardProgress
    parents: tuple[str, ...] = ()


class ShardForgotten(msgspec.Struct, frozen=True):
    """The source has forgotten a shard that is finished: nobody will name it as a parent."""

    shard: str


class ShardRevoked(msgspec.Struct, frozen=True):
    """The shard is somebody else's from now on: a rebalance of a consumer group.

    Nothing more of it is invoked or stored. What still runs is waited for; its outcome counts only
    where the shard is opened again and nobody has gone on from where this engine stands.
    """

    shard: str


class RecordsFetched(msgspec.Struct, frozen=True):
    """Answers Fetch: records in order, all after `Fetch.after`; none when the wait ran out.

    `read_to` is the highest position known to hold nothing more to read below it, so that
    filtered or trimmed stretches still move the checkpoint; at least the last record's position.
    """

    command_id: int
    records: tuple[Record, ...]
    read_to: int
    is_end: bool = False
    """The shard is closed and this was its last record."""
    last_arrival_ms: int | None = None
    """Arrival of the last record read where filters left that one out, so that a tumbling window
    ends by the time of the stream, whatever passes."""


class FetchFailed(msgspec.Struct, frozen=True):
    """Answers Fetch: the source could not be read. Asked for again after a back-off."""

    command_id: int
    reason: str


class InvocationFinished(msgspec.Struct, frozen=True):
    """Answers Invoke."""

    command_id: int
    outcome: Outcome


class ProgressStored(msgspec.Struct, frozen=True):
    """Answers SaveProgress: durable."""

    command_id: int


class ProgressFailed(msgspec.Struct, frozen=True):
    """Answers SaveProgress: nothing was stored. Asked for again after a back-off."""

    command_id: int
    reason: str


class DiscardStored(msgspec.Struct, frozen=True):
    """Answers Discard: the on-failure record and the progress are durable."""

    command_id: int


class DiscardFailed(msgspec.Struct, frozen=True):
    """Answers Discard: nothing was stored. Asked for again after a back-off."""

    command_id: int
    reason: str


class SettingsChanged(msgspec.Struct, frozen=True):
    """New settings: size, window and lane map hold from each lane's next batch on.

    Limits (retries, age, bisect) hold already from its next attempt, so that lowering one frees
    a lane that is stuck.
    """

    spec: MappingSpec


class RoomChanged(msgspec.Struct, frozen=True):
    """What the mapping may hold from now on, as all mappings together hold much (L2).

    At least one record of each shard is read all the same. None: its own limits are enough.
    """

    bytes_max: int | None


class DrainRequested(msgspec.Struct, frozen=True):
    """Start nothing new: no fetch, no invocation, no retry. Running ones still finish."""


class Resumed(msgspec.Struct, frozen=True):
    """Take up work again after a drain (a mapping enabled while it was being disabled)."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


Event = (
    ShardOpened
    | ShardForgotten
    | ShardRevoked
    | RecordsFetched
    | FetchFailed
    | InvocationFinished
    | ProgressStored
    | ProgressFailed
    | DiscardStored
    | DiscardFailed
    | SettingsChanged
    | RoomChanged
    | DrainRequested
    | Resumed
    | Tick
)

Common = SettingsChanged | RoomChanged | DrainRequested | Resumed | Tick
"""What every engine hears, whatever its source."""

# Commands: work, imperative.


class Fetch(msgspec.Struct, frozen=True):
    """Back-pressure made visible: a shard is read only when the engine has room.

    Waits until there is at least one record, at most `wait_ms`.
    """

    command_id: int
    shard: str
    after: int
    records_max: int
    bytes_max: int
    wait_ms: int = limits.FETCH_WAIT_MS


class Invoke(msgspec.Struct, frozen=True):
    """Run the function on this batch. `attempt` starts at 1.

    With a `window` the outcome of a success carries the window's new state. Only its final and
    terminated-early calls have no records.
    """

    command_id: int
    shard: str
    lane: int
    records: tuple[Record, ...]
    attempt: int
    window: InvokeWindow | None = None


class SaveProgress(msgspec.Struct, frozen=True):
    """Make this step durable."""

    command_id: int
    update: ProgressUpdate


class Discard(msgspec.Struct, frozen=True):
    """Give up on a batch: store its on-failure record and the progress in one transaction.

    `condition` is `RetryAttemptsExhausted`, `RecordAgeExceeded` or `MaximumPayloadSizeExceeded`.
    `outcome` is that of the last attempt, None when there was none or the age decided.
    """

    command_id: int
    records: tuple[Record, ...]
    condition: str
    invoke_count: int
    outcome: Outcome | None
    update: ProgressUpdate


Command = Fetch | Invoke | SaveProgress | Discard


class Engine(Protocol):
    """One event source mapping's decisions, as a state machine."""

    def handle(self, event: Event, now_ms: int, wall_ms: int) -> list[Command]:
        """Take in one event and return what to do now.

        `now_ms` is monotonic and never smaller than in the call before; `wall_ms` is epoch
        time, used only for record age and tumbling windows.
        Raises `EngineError` if the event cannot follow what came before it.
        """

    def next_wakeup_ms(self) -> int | None:
        """When to send the next `Tick` (monotonic), None if only an event can change anything."""

    @property
    def held_bytes(self) -> int:
        """Of the records that were read and are not finished."""

    @property
    def is_drained(self) -> bool:
        """After `DrainRequested`: nothing is running or waits to be stored any more.

        A fetch may still be open: it changes nothing, its answer is taken whenever it comes.
        """
