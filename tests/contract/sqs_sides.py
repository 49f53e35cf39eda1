"""The two servers the rules of SQS are tried on: the router, and ElasticMQ, which others trust.

Where ElasticMQ is known to differ from AWS, a test asks `side.follows_aws(point)` and expects
ElasticMQ's way there; the router must follow AWS everywhere.
"""

import json
import uuid

from tests.contract.support import ClientError

ELASTICMQ_DIFFERS = {
    "deduplication scope": "DeduplicationScope is ignored: one scope, the whole queue",
    "sequence number": "a small number, not 20 digits",
    "delete after the timeout, FIFO": "accepted, as in a standard queue",
    "delete twice": "the second one is refused",
    "delete with an older handle": "refused",
    "code of a missing queue": "QueueDoesNotExist, not AWS.SimpleQueueService.NonExistentQueue",
    "size limit": "1 MiB whatever MaximumMessageSize says, and the attribute is not shown",
    "retention": "MessageRetentionPeriod is accepted and not shown",
    "purge": "as often as one likes",
    "visibility range": "more than 12 hours are accepted",
    "visibility of a deleted message": "ReceiptHandleIsInvalid",
    "attempt after a change": "the same messages come again",
    "batch needs a group": "refused entry by entry",
    "redriven message": "keeps its id and its count",
    "type of a dead-letter queue": "not checked",
    "code of a message too large": "InvalidAttributeValue",
    "empty batch": "accepted",
    "query answer without a result": "its root is called wrapper",
    "move task of a plain queue": "500 after twenty seconds, so it is not asked",
}
"""Point → what ElasticMQ 1.7.1 does instead."""


class Side:
    """One server: boto3 on it, and queues of one's own."""

    def __init__(self, name, agent, url):
        self.name = name
        self.url = url
        self._agent = agent

    def follows_aws(self, point):
        """Whether this server does at a point what AWS does."""
        assert point in ELASTICMQ_DIFFERS, f"{point} is not in the table"
        return self.name == "router"

    def __call__(self, operation, **params):
        return self._agent("sqs", operation, validates=False, **params)

    def refusal(self, operation, **params):
        """The error an operation is refused with."""
        try:
            done = self(operation, **params)
        except ClientError as error:
            return error
        raise AssertionError(f"{operation} was not refused: {done}")

    def queue(self, *, fifo=False, **attributes):
        """The URL of a new queue."""
        name = f"q-{uuid.uuid4().hex[:8]}"
        if fifo:
            name, attributes["FifoQueue"] = f"{name}.fifo", "true"
        return self("create_queue", QueueName=name, Attributes=attributes)["QueueUrl"]

    def arn(self, url):
        """A queue's ARN."""
        found = self("get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
        return found["Attributes"]["QueueArn"]

    def redrive(self, dead, count):
        """RedrivePolicy to a queue."""
        return json.dumps({"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": count})

    def send(self, url, *bodies, **more):
        """Send one after the other; the answers."""
        return [self("send_message", QueueUrl=url, MessageBody=body, **more) for body in bodies]

    def send_in_groups(self, url, *texts):
        """Send `group:body` texts to a FIFO queue, each with the text as deduplication id."""
        for text in texts:
            group, _, body = text.partition(":")
            self.send(url, body, MessageGroupId=group, MessageDeduplicationId=text)

    def receive(self, url, count=10, **more):
        """Messages with all system attributes."""
        answer = self(
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=count,
            MessageSystemAttributeNames=["All"],
            **more,
        )
        return answer.get("Messages", [])

    def receive_until(self, url, **more):
        """As `receive`, waiting for the first one."""
        return self.receive(url, WaitTimeSeconds=10, **more)

    def delete(self, url, message):
        """Delete what was received."""
        self("delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def hide(self, url, message, seconds):
        """Change a message's visibility timeout."""
        handle = message["ReceiptHandle"]
        self(
            "change_message_visibility",
            QueueUrl=url,
            ReceiptHandle=handle,
            VisibilityTimeout=seconds,
        )


def bodies(messages):
    return [message["Body"] for message in messages]


def count_of(message):
    return int(message["Attributes"]["ApproximateReceiveCount"])
