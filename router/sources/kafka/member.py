"""A member of a consumer group: one client, one topic, the partitions it is given.

Holds no policy: it says when partitions come and go, reads when asked and commits what it is told.

The client speaks Kafka's classic group protocol: at each rebalance every member gives up all of its
partitions before any is given anew. Whoever is told (`Rebalances.revoked`) may take its time up to
`REBALANCE_S`: heartbeats go on, and the group waits.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, errors
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from router.model.errors import RouterError
from router.sources.kafka.access import Access
from router.sources.kafka.odd_records import is_odd, read_odd
from router.sources.kafka.probe import not_authorized, probe
from router.sources.kafka.problem import NOT_VALID, PASSING, OutOfRange, SourceProblem

log = structlog.get_logger()


class _ClientLog(logging.Handler):
    """What the client says goes where all other lines go, for whoever looks for it."""

    def emit(self, record: logging.LogRecord) -> None:
        """A line at debug: what matters of it is in a mapping's status."""
        log.debug("kafka_client", said=record.levelname, text=record.getMessage())


_client_log = logging.getLogger("aiokafka")
_client_log.propagate = False
_client_log.setLevel(logging.INFO)
_client_log.handlers = [_ClientLog()]


def _as_parsed(_records: PartitionRecords, _place: TopicPartition, record: Any) -> Any:
    """A record as the parser made it."""
    return record


# By itself the client copies each of them, member by member, into a slower object that adds only
# topic, partition and sizes. That is a twentieth of all that a record costs the router.
PartitionRecords._consumer_record = _as_parsed  # noqa: SLF001

SESSION_MS: Final = 9_000
"""A member not heard of for so long is dead, and its partitions go to others (K5)."""

HEARTBEAT_MS: Final = 3_000

REBALANCE_S: Final = 25.0
"""How long the group waits for a member that finishes what it runs."""

REQUEST_MS: Final = 30_000
"""Longest wait for an answer; joining a group is answered when all have joined."""

PARTITION_BYTES: Final = 1 << 20
PARTITION_BYTES_MIN: Final = 16 << 10
"""What one answer brings of each partition, between these two, so that all of them together are
what `read_ahead` is told. A larger batch of a producer comes whole, one for each partition."""

WAIT_BUSY_MS: Final = 500
WAIT_IDLE_MS: Final = 5_000
"""How long a broker may hold an answer while there is nothing to read. Whatever else is asked on
that connection waits for it, so it is short while anything comes, and long where nothing does: an
idle mapping costs next to nothing."""

LOOP_BUSY_S: Final = 0.2
LOOP_IDLE_S: Final = 5.0
"""How often the client looks for partitions that it missed to read, in the same two cases."""

NEVER_MS: Final = 2**31 - 1
"""The engine reads a partition when it has room, which may be hours from now."""

CALL_S_MAX: Final = 10.0
"""Longest wait for a commit or a look at offsets: the client itself would try for ever."""

COMMIT_PAUSE_S: Final = 0.1
"""Rest before a commit is sent again to a coordinator that moves."""

STOP_S_MAX: Final = 5.0
FORCE_S_MAX: Final = 1.0
"""For an orderly end, and for one by force after it."""

NOT_JOINED: Final = -1
"""The generation of whoever commits without being a member."""

Committed = Mapping[str, tuple[int, str]]
"""Per partition name the offset and the metadata of a commit."""


class Lost(RouterError):
    """The partition is not this member's, or its broker is away. Asked for again later."""

    code = "partition_lost"
    retryable = True


class MetadataTooLarge(Lost):
    """The broker does not keep as much beside an offset."""


class Rebalances(Protocol):
    """Who works on the partitions."""

    async def revoked(self) -> None:
        """All partitions are about to be somebody else's: finish, commit, let go."""

    def assigned(self, partitions: Sequence[str]) -> None:
        """These partitions are this member's, until `revoked`."""


class Member:
    """One consumer in a group. `open`, then `join`; `close` in any case."""

    def __init__(self, access: Access, topic: str, group: str, client: str, look_s: float) -> None:
        """`look_s` is how old the list of the topic's partitions may be."""
        self._access = access
        self._topic = topic
        self._group = group
        self._client = client
        self._look_s = look_s
        self._consumer: Any = None
        self._places: dict[str, TopicPartition] = {}
        self._wait_ms = WAIT_BUSY_MS
        self._generation = NOT_JOINED
        """Of the group, when it gave this member the partitions it has."""
        self.is_spent = False
        """The client does not come back by itself: another member is needed."""

    # Life

    async def open(self) -> None:
        """Connect. Raises `SourceProblem`."""
        partitions = await probe(self._access, self._topic)
        consumer = self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(self._access.servers),
            client_id=self._client,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=int(REBALANCE_S * 1000),
            request_timeout_ms=REQUEST_MS,
            max_poll_interval_ms=NEVER_MS,
            metadata_max_age_ms=int(self._look_s * 1000),
            max_partition_fetch_bytes=PARTITION_BYTES,
            fetch_max_wait_ms=self._wait_ms,
            consumer_timeout_ms=int(LOOP_BUSY_S * 1000),
            # What consumers of other libraries and languages speak too: a group may be shared.
            partition_assignment_strategy=(RangePartitionAssignor,),
            **self._access.options(),
        )
        self._places = {
            _name(self._topic, it): TopicPartition(self._topic, it) for it in partitions
        }
        try:
            async with asyncio.timeout(CALL_S_MAX):
                await consumer.start()
        except (errors.KafkaError, OSError, TimeoutError) as error:
            raise SourceProblem(PASSING, f"the cluster cannot be used now: {error}") from None

    @property
    def partitions(self) -> tuple[str, ...]:
        """All of the topic, once open."""
        return tuple(self._places)

    def join(self, rebalances: Rebalances) -> None:
        """Become a member of the group; partitions come by `rebalances`."""
        self._consumer.subscribe([self._topic], listener=_Listener(self, rebalances))

    async def close(self) -> None:
        """Leave the group, so that nobody waits for this member."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await consumer.stop()
        except (errors.KafkaError, OSError, TimeoutError) as error:
            log.warning("kafka_not_closed", group=self._group, error=str(error))
            await _abandon(consumer)

    @property
    def is_in_touch(self) -> bool:
        """Whether the group's coordinator is known and answers."""
        consumer = self._consumer
        return consumer is not None and _coordinator(consumer).coordinator_id is not None

    def check(self) -> None:
        """What the client met when nobody had asked it for anything. Raises `SourceProblem`.

        It goes on only once it has been asked, or not at all.
        """
        consumer = self._consumer
        if consumer is None:
            return
        try:
            _coordinator(consumer).check_errors()
        except errors.InconsistentGroupProtocolError:
            self.is_spent = True
            text = f"the members of group {self._group!r} share partitions in another way: 'range'"
            raise SourceProblem(NOT_VALID, f"{text} is all that is spoken here") from None
        except (
            errors.TopicAuthorizationFailedError,
            errors.GroupAuthorizationFailedError,
        ) as error:
            self.is_spent = True
            raise self._refused(error) from None
        except errors.KafkaError as error:
            self.is_spent = True
            raise SourceProblem(PASSING, f"no member of the group: {error!r}") from None
        if consumer._fetcher.error_future.done():  # noqa: SLF001  nobody else looks at it
            self.is_spent = True
            raise SourceProblem(PASSING, "the client reads no more")

    async def look(self) -> None:
        """Ask the cluster what is wrong, where something is. Raises `SourceProblem`."""
        await probe(self._access, self._topic)

    # Offsets

    async def committed(self, partitions: Sequence[str]) -> dict[str, tuple[int, str]]:
        """What the group has committed, with its metadata. Raises `SourceProblem`, `Lost`."""
        places = [self._place(name) for name in partitions]
        coordinator = _coordinator(self._consumer)
        found = await self._call(coordinator.fetch_committed_offsets(places))
        return {
            _name(place.topic, place.partition): (it.offset, it.metadata or "")
            for place, it in found.items()
        }

    async def commit(self, offsets: Committed) -> None:
        """Commit. Raises `Lost` when the group has moved on, `SourceProblem`."""
        generation = self._generation
        wanted = {self._place(name): OffsetAndMetadata(*it) for name, it in offsets.items()}
        try:
            await self._call(self._commit(generation, wanted))
        except MetadataTooLarge:
            # The broker takes less than brokers do by default: the offset still says what counts.
            bare = {place: OffsetAndMetadata(it.offset, "") for place, it in wanted.items()}
            await self._call(self._commit(generation, bare))

    async def _commit(self, generation: int, wanted: Mapping[TopicPartition, Any]) -> None:
        """As the member of one generation, or not at all.

        The client's own `commit` speaks for the generation it finds when it gets through, and once
        it was put out of the group for nobody: a broker believes both, also after another member
        went further. It also wants partitions that it reads, which is too late to fix a start.
        """
        coordinator = _coordinator(self._consumer)
        while True:
            await coordinator.ensure_coordinator_known()
            try:
                async with coordinator._commit_lock:  # noqa: SLF001
                    if coordinator.generation != generation:
                        raise Lost("the group has moved on")
                    await asyncio.shield(coordinator._do_commit_offsets(None, wanted))  # noqa: SLF001
            except (
                errors.UnknownMemberIdError,
                errors.IllegalGenerationError,
                errors.RebalanceInProgressError,
            ):
                raise Lost("the group has moved on") from None
            except errors.KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(COMMIT_PAUSE_S)
            else:
                return

    async def bounds(self, partitions: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First offset, and the one after the last. Raises `SourceProblem`, `Lost`."""
        places = [self._place(name) for name in partitions]
        first = await self._call(self._consumer.beginning_offsets(places))
        end = await self._call(self._consumer.end_offsets(places))
        return {_name(it.topic, it.partition): (first[it], end[it]) for it in places}

    async def offsets_at(self, partitions: Sequence[str], wall_ms: int) -> dict[str, int | None]:
        """The first offset at or after a time; None where there is none."""
        places = {self._place(name): wall_ms for name in partitions}
        found = await self._call(self._consumer.offsets_for_times(places))
        return {
            _name(it.topic, it.partition): None if at is None else at.offset
            for it, at in found.items()
        }

    def end_seen(self, partition: str) -> int | None:
        """The offset after the last record, as the last answer of the broker said."""
        place = self._places.get(partition)
        if place is None or place not in self._consumer.assignment():
            return None
        end: int | None = self._consumer.highwater(place)
        return end

    # Reading

    async def read(
        self, partition: str, offset: int, records_max: int, wait_ms: int
    ) -> tuple[Sequence[Any], int]:
        """Records from an offset on, and the next offset to read; none when the wait ran out.

        Raises `OutOfRange`, `Lost`, `SourceProblem`.
        """
        consumer, place = self._consumer, self._place(partition)
        try:
            if await consumer.position(place) != offset:
                consumer.seek(place, offset)
            try:
                found = await consumer.getmany(place, timeout_ms=wait_ms, max_records=records_max)
            except (UnicodeDecodeError, errors.CorruptRecordException) as error:
                if not is_odd(error):
                    raise
                return await self._read_odd(place, offset, records_max)
            records: Sequence[Any] = found.get(place, ())
            self._be_patient(WAIT_BUSY_MS if records else WAIT_IDLE_MS)
            # Past the last record there may be the end of a transaction, or gaps.
            return records, await consumer.position(place)
        except errors.OffsetOutOfRangeError:
            first, end = (await self.bounds([partition]))[partition]
            raise OutOfRange(first, end) from None
        except errors.NoOffsetForPartitionError:
            consumer.seek(place, offset)
            return (), offset
        except (
            errors.TopicAuthorizationFailedError,
            errors.GroupAuthorizationFailedError,
        ) as error:
            raise self._refused(error) from None
        except (errors.KafkaError, OSError, AssertionError) as error:
            raise Lost(f"{partition}: {error or type(error).__name__}") from None

    async def _read_odd(
        self, place: TopicPartition, offset: int, records_max: int
    ) -> tuple[Sequence[Any], int]:
        consumer = self._consumer
        async with asyncio.timeout(CALL_S_MAX):
            found, following = await read_odd(consumer, place, offset, records_max, PARTITION_BYTES)
        consumer.seek(place, following)
        return found, following

    def read_ahead(self, partitions: int, bytes_max: int) -> int:
        """Share out what the client may hold that nobody asked for yet; the part of each.

        It holds one answer of each partition, asked for or not.
        """
        part_bytes = bytes_max // max(1, partitions)
        part_bytes = min(PARTITION_BYTES, max(PARTITION_BYTES_MIN, part_bytes))
        # The client fixes it for its life; what a group gives us changes.
        self._consumer._fetcher._max_partition_fetch_bytes = part_bytes  # noqa: SLF001
        return part_bytes

    def go_to(self, partition: str, offset: int) -> None:
        """Where an assigned partition is read from. Raises `Lost`."""
        try:
            self._consumer.seek(self._place(partition), offset)
        except errors.KafkaError as error:
            raise Lost(f"{partition}: {error}") from None

    def _be_patient(self, wait_ms: int) -> None:
        """Tell the broker how long it may hold the next answers."""
        if wait_ms != self._wait_ms:
            self._wait_ms = wait_ms
            # The client fixes both for its life, and an idle one would ask twice a second.
            fetcher = self._consumer._fetcher  # noqa: SLF001
            fetcher._fetch_max_wait_ms = wait_ms  # noqa: SLF001
            fetcher._fetcher_timeout = LOOP_BUSY_S if wait_ms == WAIT_BUSY_MS else LOOP_IDLE_S  # noqa: SLF001

    def _place(self, partition: str) -> TopicPartition:
        place = self._places.get(partition)
        if place is None or self._consumer is None:
            raise Lost(f"{partition} is not known here")
        return place

    def know(self, partitions: Sequence[TopicPartition]) -> list[str]:
        """Remember partitions, also such as came since `open`; their names."""
        self._be_patient(WAIT_BUSY_MS)
        self._generation = _coordinator(self._consumer).generation
        names = [_name(it.topic, it.partition) for it in partitions]
        self._places.update(zip(names, partitions, strict=True))
        return names

    async def _call(self, call: Any) -> Any:
        """A call of the client, with an end and with errors of ours."""
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await call
        except (
            errors.TopicAuthorizationFailedError,
            errors.GroupAuthorizationFailedError,
        ) as error:
            raise self._refused(error) from None
        except errors.OffsetMetadataTooLargeError as error:
            raise MetadataTooLarge(str(error)) from None
        except (errors.KafkaError, OSError, TimeoutError) as error:
            raise Lost(f"the cluster does not answer: {error or type(error).__name__}") from None

    def _refused(self, error: Exception) -> SourceProblem:
        if isinstance(error, errors.GroupAuthorizationFailedError):
            return not_authorized(f"group {self._group!r} (Describe, Read)")
        return not_authorized(f"topic {self._topic!r} (Read)")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, member: Member, rebalances: Rebalances) -> None:
        self._member = member
        self._rebalances = rebalances

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            with suppress(RouterError):
                await self._rebalances.revoked()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._rebalances.assigned(self._member.know(sorted(assigned)))


def _name(topic: str, partition: int) -> str:
    return f"{topic}-{partition}"


async def _abandon(consumer: Any) -> None:
    """End what an end that took too long has left: the group must not wait for this member."""
    coordinator = _coordinator(consumer)
    with suppress(errors.KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(FORCE_S_MAX):
            # Its `stop` is what took too long; these are the parts of it that wait for nobody.
            await coordinator._stop_heartbeat_task()  # noqa: SLF001
            await consumer._fetcher.close()  # noqa: SLF001
            await consumer._client.close()  # noqa: SLF001


def _coordinator(consumer: Any) -> Any:
    """The client shows commits without their metadata; the one who asks the broker has both."""
    return consumer._coordinator  # noqa: SLF001
