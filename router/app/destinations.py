"""Where on-failure records can go, as this router is set up."""

from collections.abc import Mapping

import msgspec

from router.app.asynchronous import AsyncInvoker
from router.app.connect import QueueMailbox
from router.auth.aws_session import AwsSession
from router.destinations.aws import AwsBucket, AwsBus, AwsQueue, AwsTopic
from router.destinations.delivery import Carrier, DeliveryFailed
from router.destinations.function import Accept, FunctionDestination
from router.destinations.kafka_topic import Access, KafkaTopic, Reach
from router.destinations.outbox import Courier
from router.functions.resolve import FunctionResolver
from router.model.destination import Destination
from router.model.failure import KafkaOrigin
from router.sources.kafka.clusters import Clusters
from router.sources.kafka.problem import (
    AUTHENTICATION,
    AUTHORIZATION,
    NOT_VALID,
    PASSING,
    SourceProblem,
)
from router.store.base import EnqueuedMessage, OutboxRow

OVERDUE_MS = 60_000
"""A record that waits longer than this is worth a look, whatever its destination says."""

_REASONS = {
    PASSING: "unreachable",
    AUTHENTICATION: "denied",
    AUTHORIZATION: "denied",
    NOT_VALID: "missing",
}


class EmbeddedQueue:
    """Queues of this router: the message goes into one in the transaction that ends the row."""

    def __init__(self, mailbox: QueueMailbox) -> None:
        self._mailbox = mailbox

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        message = self._mailbox.route(row)
        if message is None:
            raise DeliveryFailed("missing", "the queue does not exist")
        return message


def make_carriers(
    mailbox: QueueMailbox, aws: AwsSession, topics: KafkaTopic, accept: Accept
) -> Mapping[str, Carrier]:
    """One for each kind of destination."""
    return {
        "sqs": EmbeddedQueue(mailbox) if mailbox.is_embedded else AwsQueue(aws),
        "sns": AwsTopic(aws),
        "s3": AwsBucket(aws),
        "kafka": topics,
        "function": FunctionDestination(accept),
        "events": AwsBus(aws),
    }


def make_reach(clusters: Clusters) -> Reach:
    """Reads how a topic's cluster is reached, as its mapping left it with the record."""
    decode = msgspec.json.Decoder(KafkaOrigin).decode

    async def reach(origin: bytes, topic: str) -> Access:
        from router.sources.kafka.probe import probe

        try:
            access = clusters.access(decode(origin))
            await probe(access, topic)
        except SourceProblem as problem:
            raise DeliveryFailed(_REASONS[problem.reason], str(problem)) from problem
        return access

    return reach


def make_accept(acceptor: AsyncInvoker, functions: FunctionResolver) -> Accept:
    """Has functions invoked asynchronously with on-failure records."""

    async def accept(function: Destination, row: OutboxRow) -> None:
        functions.get(function.name, function.qualifier)  # there is no queue of one that is not
        await acceptor.accept(
            function.name,
            function.qualifier,
            row.body,
            request_id=row.letter_id,
            trace_id=row.trace_header or None,
        )

    return accept


def problems(courier: Courier, wall_ms: int) -> dict[str, str]:
    """What `router doctor` says of destinations that on-failure records wait for.

    After a restart nobody knows what a destination said last: only that records wait for it.
    """
    found = {}
    for depth in courier.depths:
        trouble = courier.trouble(depth.address)
        wait = f"{depth.rows} on-failure records wait"
        if trouble is not None:
            minutes = max(0, wall_ms - trouble.since_ms) // 60_000
            text = f"{trouble.reason}: {trouble.text}; {wait}, no delivery for {minutes} min"
        elif wall_ms - depth.oldest_ms > OVERDUE_MS:
            minutes = (wall_ms - depth.oldest_ms) // 60_000
            text = f"{wait}, the oldest for {minutes} min; not tried since the router started"
        else:
            continue
        found[depth.address.destination] = text
    return found
