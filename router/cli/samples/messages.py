"""Queues, topics and schedules."""

from typing import Any

from router.cli.samples.parts import ACCOUNT, ID, REGION, TIME, TIME_MS, md5


def message(
    body: str = "hello",
    queue_name: str = "MyQueue",
    message_id: str = ID,
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A batch of one message."""
    return {"Records": [_message(body, queue_name, message_id, account_id, region)]}


def fifo_message(
    body: str = "hello",
    queue_name: str = "MyQueue.fifo",
    group_id: str = "group",
    deduplication_id: str = "1",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A batch of one message of a FIFO queue."""
    record = _message(body, queue_name, ID, account_id, region)
    record["attributes"] |= {
        "SequenceNumber": "18850000000000000000",
        "MessageGroupId": group_id,
        "MessageDeduplicationId": deduplication_id,
    }
    return {"Records": [record]}


def _message(body: str, queue: str, message_id: str, account: str, region: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBexamplehandle",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(TIME_MS),
            "SenderId": "AROAEXAMPLE:producer",
            "ApproximateFirstReceiveTimestamp": str(TIME_MS + 7),
        },
        "messageAttributes": {},
        "md5OfBody": md5(body),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{region}:{account}:{queue}",
        "awsRegion": region,
    }


def notification(
    message: str = "hello",
    subject: str = "An order",
    topic: str = "MyTopic",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A notification of a topic."""
    arn = f"arn:aws:sns:{region}:{account_id}:{topic}"
    host = f"https://sns.{region}.amazonaws.com"
    subscription = f"{arn}:{ID}"
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription,
                "Sns": {
                    "Type": "Notification",
                    "MessageId": ID,
                    "TopicArn": arn,
                    "Subject": subject,
                    "Message": message,
                    "Timestamp": TIME,
                    "SignatureVersion": "1",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": f"{host}/SimpleNotificationService-example.pem",
                    "UnsubscribeUrl": (
                        f"{host}/?Action=Unsubscribe&SubscriptionArn={subscription}"
                    ),
                    "MessageAttributes": {"k": {"Type": "String", "Value": "v"}},
                },
            }
        ]
    }


def scheduled_event(rule: str = "my-rule", account_id: str = ACCOUNT, region: str = REGION) -> Any:
    """A rule with a schedule."""
    return {
        "version": "0",
        "id": ID,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": account_id,
        "time": "2026-01-01T00:00:00Z",
        "region": region,
        "resources": [f"arn:aws:events:{region}:{account_id}:rule/{rule}"],
        "detail": {},
    }


def scheduler(
    group: str = "default",
    name: str = "my-schedule",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A schedule without an input of its own."""
    return {
        **scheduled_event(account_id=account_id, region=region),
        "source": "aws.scheduler",
        "resources": [f"arn:aws:scheduler:{region}:{account_id}:schedule/{group}/{name}"],
        "detail": "{}",
    }
