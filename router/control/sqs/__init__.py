"""SQS over AWS JSON 1.0 and the query protocol: embedded queues as clients of AWS see them."""

from router.control.sqs.messages import Messages
from router.control.sqs.moves import Moves
from router.control.sqs.queues import Queues
from router.embedded.queues import EmbeddedQueues


def sqs_parts(queues: EmbeddedQueues, account: str) -> tuple[object, ...]:
    """One object for each area of SQS; together they have a method for every operation."""
    return (Messages(queues, account), Queues(queues, account), Moves(queues, account))
