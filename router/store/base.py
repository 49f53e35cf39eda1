"""The store: one interface, implemented by SQLite here and by PostgreSQL later.

Every `async` method that writes returns only when what it wrote is durable; writes that wait
at the same time share one transaction and one sync (group commit). A method that raises has
kept nothing. Raises `StoreFull` when too much waits or a cap is reached, `StoreError` for
anything else the disk says.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from router.model.progress import ProgressUpdate, ShardProgress
from router.model.record import Fetched
from router.store.queues import QueueStore

if TYPE_CHECKING:  # it knows what events leave in the outbox
    from router.store.asynchronous import AsyncStore

# Metadata: what exists. Small, loaded whole at start, written through.


class Resource(msgspec.Struct, frozen=True):
    """One thing that exists: `kind` is function, mapping, webhook, queue, stack …; `body` JSON."""

    kind: str
    name: str
    body: bytes


class Put(msgspec.Struct, frozen=True):
    """Create or replace a resource."""

    resource: Resource


class Delete(msgspec.Struct, frozen=True):
    """Remove a resource; removing what is not there is no error."""

    kind: str
    name: str


class DropStream(msgspec.Struct, frozen=True):
    """Remove a stream's records, deduplication keys and every mapping's progress in it."""

    stream: str


class DropQueue(msgspec.Struct, frozen=True):
    """Remove a queue's messages."""

    queue: str


class DropProgress(msgspec.Struct, frozen=True):
    """Forget how far a mapping has come."""

    mapping: str


class CutStream(msgspec.Struct, frozen=True):
    """Close shards of a stream and open others in their place.

    A record that is on its way to a closed one is refused from here on (`ShardClosed`). Every
    mapping of the stream that has begun starts the new ones at their beginning: it is fixed here,
    so that no record can come before it.
    """

    stream: str
    closes: tuple[str, ...]
    opens: tuple[str, ...]


class ForgetShards(msgspec.Struct, frozen=True):
    """Forget the shards whose names are below `before`, and how far mappings came in them.

    Makes no change at all (`NotEmpty`) when one of them is open or holds a record. That every
    mapping has finished them is for the caller to know.
    """

    stream: str
    before: str


class RequireEmptyStream(msgspec.Struct, frozen=True):
    """Make no change at all when the stream holds a record.

    Whoever looked before found it empty; only inside the transaction is it still known.
    """

    stream: str


class RequireEmptyQueue(msgspec.Struct, frozen=True):
    """As `RequireEmptyStream`, for the messages of a queue."""

    queue: str


Change = (
    Put
    | Delete
    | DropStream
    | DropQueue
    | DropProgress
    | CutStream
    | ForgetShards
    | RequireEmptyStream
    | RequireEmptyQueue
)


class MetadataStore(Protocol):
    """What exists."""

    async def load(self) -> Sequence[Resource]:
        """Everything that exists."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes in one transaction, in order. Raises `NotEmpty`."""


# Streams: webhook records.


class NewRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A record to append to one shard of one stream. Travels as its values, without their names."""

    stream: str
    """ARN."""
    shard: str
    event_id: str
    key: str
    arrival_ms: int
    data: bytes
    size_bytes: int
    dedup_key: str | None = None
    dedup_until_ms: int = 0
    """Wall clock until when `dedup_key` is remembered."""


class Appended(msgspec.Struct, frozen=True, gc=False):
    """A durable record: its place, or the first one's id when it was a duplicate."""

    event_id: str
    position: int
    """0 for a duplicate."""
    is_duplicate: bool


class StreamStats(msgspec.Struct, frozen=True):
    """What a stream holds, for lag, `peek` and retention."""

    shard: str
    last_position: int
    oldest_position: int
    oldest_arrival_ms: int | None


class StreamStore(Protocol):
    """Append-only shards of records, kept for their retention.

    Positions start at 1 per shard, grow by 1, come from a counter row inside the commit and
    are never reused after a trim (`design.md` 7a). A shard exists as soon as it is named, until
    it is closed (`CutStream`); a forgotten one (`ForgetShards`) is closed and empty for ever.
    """

    async def append(self, record: NewRecord) -> Appended:
        """Append; a known `dedup_key` appends nothing and names the first event, once durable.

        Raises `ShardClosed`, also when the shard was open as the record set out.
        """

    def append_nowait(self, record: NewRecord) -> asyncio.Future[Appended]:
        """As `append`, for the loop's hot path; what refuses the record at once is raised at once.

        Cancelling the future takes nothing back.
        """

    def append_all_nowait(self, records: Sequence[NewRecord]) -> asyncio.Future[Sequence[Appended]]:
        """As `append_nowait`, for records that are kept all together or not at all."""

    async def read(
        self, stream: str, shard: str, after: int, records_max: int, bytes_max: int
    ) -> Fetched:
        """Records after a position, in order, and how far was read.

        At least one record when there is one, however large. Served from memory when they were
        committed a moment ago.
        """

    def recent(
        self, stream: str, shard: str, after: int, records_max: int, bytes_max: int
    ) -> Fetched | None:
        """As `read`, at once, of what was committed a moment ago; None when the disk must be asked.

        Brings nothing new into memory.
        """

    def subscribe(self, stream: str, shard: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` in the loop after each commit with records for the shard, or its closing.

        Returns what ends the subscription.
        """

    async def stats(self, stream: str) -> Sequence[StreamStats]:
        """Positions and oldest record of every shard that ever held a record."""

    async def position_at(self, stream: str, shard: str, arrival_ms: int) -> int:
        """The position before the first record that arrived at or after a wall time."""

    async def trim(
        self, stream: str, before_ms: int, finished: Mapping[str, int]
    ) -> tuple[int, int]:
        """Remove records that arrived before a wall time, in bounded steps.

        `finished` is per shard the lowest position every mapping has finished. Returns how many
        were removed and how many of them were not finished (counted and alerted, never silent).
        """


# Progress: how far a mapping has come; discards.


GROUP_CHARACTERS_MAX = 128
"""Of a MessageGroupId (SQS limit)."""


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One on-failure record, invocation record or dead letter on its way to a destination."""

    id: int = 0
    """Given by the store."""
    mapping: str = ""
    """Name; empty for what became of an asynchronous invocation."""
    function: str = ""
    """Name of the function that was invoked asynchronously; empty for a mapping's."""
    attributes: bytes = b""
    """Message attributes of a dead letter, JSON as in SendMessage; empty elsewhere."""
    trace_header: str = ""
    """What a message's `AWSTraceHeader` says."""
    mapping_uuid: str = ""
    destination: str
    """ARN, or `kafka://topic`."""
    letter_id: str = ""
    """UUID: the same however often it is sent, so that a destination can know it again."""
    lane: str = ""
    """Shard or partition: what a destination that keeps order keeps it by."""
    object_key: str = ""
    """Of the object in a bucket."""
    origin: bytes = b""
    """What a topic in the source's own cluster needs to be reached (`FailureRecord.origin`)."""
    body: bytes
    """Empty in what `OutboxStore.due` returns."""
    size_bytes: int = 0
    """Of the body; given by the store."""
    records: int
    """How many records it gives up: DroppedEventCount when delivery fails for good."""
    attempts: int = 0
    next_attempt_ms: int = 0
    """Wall clock."""

    @property
    def address(self) -> "Address":
        """Whom it is for."""
        return Address(self.destination, self.origin)

    @property
    def group(self) -> str:
        """The group it is in where a destination keeps order: its shard's."""
        return f"{self.mapping_uuid}:{self.lane}"[:GROUP_CHARACTERS_MAX]


class Address(msgspec.Struct, frozen=True):
    """A destination; `origin` tells topics of the same name in several clusters apart."""

    destination: str
    origin: bytes = b""


class OutboxDepth(msgspec.Struct, frozen=True):
    """What waits for one destination."""

    address: Address
    rows: int
    oldest_ms: int
    """When the oldest of them was made (wall clock)."""
    has_due: bool


class Postponed(msgspec.Struct, frozen=True):
    """An attempt that failed. With a `body`, only this and its `records` are left to deliver."""

    id: int
    next_attempt_ms: int
    body: bytes | None = None
    records: int | None = None


class EnqueuedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message delivered to an embedded queue within another transaction."""

    queue: str
    body: str
    attributes: bytes = b""
    """Message attributes, JSON as in SendMessage."""
    trace_header: str = ""
    group: str = ""
    """MessageGroupId in a FIFO queue; empty: all such messages are one group."""
    delay_s: int = 0
    retention_s: int = 345_600


class ProgressStore(Protocol):
    """Checkpoints, lane heads and discards of mappings."""

    async def load(self, mapping: str) -> Mapping[str, ShardProgress]:
        """Per shard, what was stored last."""

    async def save(self, mapping: str, update: ProgressUpdate) -> None:
        """Store one step.

        Of a shard that was not started, or whose progress was dropped since, nothing is stored:
        what still ran when it was dropped must not move whoever starts there next.
        """

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """Store progress with its on-failure record: an outbox row or an embedded delivery.

        The on-failure record is kept also where `save` would store nothing. Raises `StoreFull`
        when too much waits for its destination already.
        """

    async def start(self, mapping: str, positions: Mapping[str, int]) -> None:
        """Fix where a new mapping starts, so that a restart does not move it."""


class OutboxStore(Protocol):
    """On-failure records waiting for delivery, by destination."""

    async def depths(self, now_wall_ms: int) -> Sequence[OutboxDepth]:
        """What waits, and whether something is due, for each destination that something is for."""

    async def due(self, address: Address, now_wall_ms: int, rows_max: int) -> Sequence[OutboxRow]:
        """A destination's rows whose next attempt is due, without their bodies, longest due first.

        One that is due later than any wait lasts is due now: the wall clock was set back (T1).
        """

    async def body(self, row_id: int) -> bytes | None:
        """What a row holds; None when it is gone."""

    async def delivered(self, row_id: int, message: EnqueuedMessage | None = None) -> None:
        """Remove a row; with a message, enqueue it in the same transaction."""

    async def failed(self, rows: Sequence[Postponed]) -> None:
        """Count an attempt of each row and set the next one."""


class Store(Protocol):
    """All of it."""

    @property
    def metadata(self) -> MetadataStore:
        """What exists."""

    @property
    def streams(self) -> StreamStore:
        """Records."""

    @property
    def progress(self) -> ProgressStore:
        """How far mappings have come."""

    @property
    def outbox(self) -> OutboxStore:
        """On-failure records on their way."""

    @property
    def queues(self) -> QueueStore:
        """Messages."""

    @property
    def asynchronous(self) -> "AsyncStore":
        """Events that nobody waits for."""

    async def open(self) -> None:
        """Lock, check and migrate. Raises `StoreUnusable`; changes nothing then."""

    async def close(self) -> None:
        """Finish what waits, checkpoint the log, release the lock."""

    def describe(self) -> Mapping[str, str]:
        """Facts for `doctor`: path, schema version, sync mode, sizes."""
