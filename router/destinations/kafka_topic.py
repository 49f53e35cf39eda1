"""On-failure records to a topic of the cluster they came from (`event-source-mappings.md` 5.2).

One message for each record, with that record's key. What a broker took is not sent again when
others of the same batch failed. The client is loaded when the first message is sent.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from router.destinations.delivery import DeliveryFailed
from router.model.destination import parse_destination
from router.model.errors import RouterError
from router.model.failure import TopicMessage, pack_messages, unpack_messages
from router.model.limits import MIB
from router.store.base import Address, EnqueuedMessage, OutboxRow

REQUEST_MS_MAX: Final = 10_000
"""Longest wait for a broker's answer, and for a topic to be found."""

ATTEMPT_S_MAX: Final = 30.0
"""Longest attempt, from the connection to the last acknowledgement."""

MESSAGE_BYTES_MAX: Final = 64 * MIB
"""What the client lets pass: how large a message may be is for the topic to say."""

OPEN_MAX: Final = 8
"""Producers kept open, one for each topic."""

_REASONS: Final[Mapping[str, str]] = {
    "AuthenticationFailedError": "denied",
    "SaslAuthenticationFailed": "denied",
    "UnsupportedSaslMechanismError": "denied",
    "TopicAuthorizationFailedError": "denied",
    "ClusterAuthorizationFailedError": "denied",
    "UnknownTopicOrPartitionError": "missing",
    "InvalidTopicError": "refused",
    "MessageSizeTooLargeError": "too_large",
    "RecordListTooLargeError": "too_large",
    "KafkaTimeoutError": "timeout",
    "RequestTimedOutError": "timeout",
    "NotEnoughReplicasError": "server_error",
    "NotEnoughReplicasAfterAppendError": "server_error",
    "KafkaStorageError": "server_error",
}
"""Errors of the client, by name; any other one of its own means that nobody was reached."""


class Access(Protocol):
    """How to reach a cluster."""

    @property
    def servers(self) -> Sequence[str]:
        """Bootstrap servers, `host:port`."""

    def options(self) -> dict[str, Any]:
        """Security, as the client's constructors take it."""


Reach = Callable[[bytes, str], Awaitable[Access]]
"""Finds a topic in the cluster that `OutboxRow.origin` tells of, secrets read anew each time: the
client itself hides why it cannot. Raises `DeliveryFailed`, `RouterError`."""


class KafkaTopic:
    """Produces to topics of any cluster a mapping reads."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._producers: dict[Address, Any] = {}
        """One at a time uses each: the lane of its topic."""

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        address = Address(row.destination, row.origin)
        topic, messages = parse_destination(row.destination).name, unpack_messages(row.body)
        left = list(messages)
        try:
            async with asyncio.timeout(ATTEMPT_S_MAX):
                await self._send(address, topic, left)
        except TimeoutError:
            failure = DeliveryFailed("timeout", f"no answer within {ATTEMPT_S_MAX:.0f} s")
        except DeliveryFailed as error:
            failure = error
        except RouterError as error:
            failure = DeliveryFailed("denied", str(error))
        except Exception as error:  # noqa: BLE001  whatever the client raises is a failed attempt
            failure = _failure(error)
        else:
            if len(self._producers) > OPEN_MAX:
                await self._drop(address)
            return None
        await self._drop(address)
        if len(left) == len(messages):
            raise failure
        rest = pack_messages(left)
        raise DeliveryFailed(failure.reason, str(failure), body=rest, records=len(left))

    async def close(self) -> None:
        """Close every producer."""
        for address in list(self._producers):
            await self._drop(address)

    async def _send(self, address: Address, topic: str, left: list[TopicMessage]) -> None:
        """Send what is left; what a broker took is taken from the list, however this ends.

        A broker refuses messages together that the client put together: those go again, each
        alone, so that one that is too large takes no other with it.
        """
        producer = await self._producer(address)
        failure = await _send_together(producer, topic, left)
        if failure is not None and not failure.is_of_destination and len(left) > 1:
            failure = await self._send_each(address, topic, left)
        if failure is not None:
            raise failure

    async def _send_each(
        self, address: Address, topic: str, left: list[TopicMessage]
    ) -> DeliveryFailed | None:
        """Send one after the other; what the last failure said."""
        failure: DeliveryFailed | None = None
        is_spoiled = True
        for message in list(left):
            if is_spoiled:  # after a refusal the client numbers its messages wrong
                await self._drop(address)
            producer, alone = await self._producer(address), [message]
            refusal = await _send_together(producer, topic, alone)
            if not alone:
                left.remove(message)
            is_spoiled, failure = refusal is not None, refusal or failure
            if refusal is not None and refusal.is_of_destination:
                break
        return failure

    async def _producer(self, address: Address) -> Any:
        producer = self._producers.pop(address, None)
        if producer is None:
            topic = parse_destination(address.destination).name
            producer = await self._open(await self._reach(address.origin, topic))
        self._producers[address] = producer
        return producer

    async def _open(self, access: Access) -> Any:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(
            bootstrap_servers=list(access.servers),
            client_id="event-router",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=REQUEST_MS_MAX,
            max_request_size=MESSAGE_BYTES_MAX,
            **access.options(),
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _drop(self, address: Address) -> None:
        """Close a producer: the next attempt begins anew, with secrets as they are then."""
        producer = self._producers.pop(address, None)
        if producer is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(REQUEST_MS_MAX / 1000):
                    await producer.stop()


async def _send_together(
    producer: Any, topic: str, left: list[TopicMessage]
) -> DeliveryFailed | None:
    """Send all at once and keep in the list what was not taken; what the last failure said."""
    sent: dict[int, asyncio.Future[Any]] = {}
    failure: DeliveryFailed | None = None
    try:
        for number, message in enumerate(left):
            try:
                sent[number] = await producer.send(topic, message.value, message.key)
            except Exception as error:  # noqa: BLE001  the others may still go
                failure = _failure(error)
                if failure.is_of_destination:
                    break
        if sent:
            await asyncio.wait(sent.values())
    finally:
        taken = {number for number, future in sent.items() if _is_taken(future)}
        left[:] = [message for number, message in enumerate(left) if number not in taken]
    for future in sent.values():
        if (refusal := future.exception()) is not None:
            failure = _failure(refusal)
    return failure


def _is_taken(future: "asyncio.Future[Any]") -> bool:
    """Whether a broker has taken it for certain; what happens later is no news to anybody."""
    if not future.done():
        future.add_done_callback(lambda it: it.cancelled() or it.exception())
        return False
    return not future.cancelled() and future.exception() is None


def _failure(error: BaseException) -> DeliveryFailed:
    name = type(error).__name__
    from aiokafka.errors import KafkaError

    known = "unreachable" if isinstance(error, KafkaError | OSError) else "internal"
    return DeliveryFailed(_REASONS.get(name, known), f"{name}: {error}")
