"""The kinds of event sources (`event-source-mappings.md` 1.3, and webhooks)."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from router.model.arn import ArnError, parse_arn


class SourceKind(StrEnum):
    """What a mapping reads. The columns of the contract's tables, and one of our own."""

    SQS = "sqs"
    """A standard queue."""
    FIFO = "fifo"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    MSK = "msk"
    KAFKA = "kafka"
    """Self-managed Kafka: the only kind without an ARN."""
    MQ = "mq"
    DOCUMENTDB = "documentdb"
    WEBHOOK = "webhook"
    """A stream, with the settings of a Kinesis mapping."""


QUEUES: Final = frozenset({SourceKind.SQS, SourceKind.FIFO})
STREAMS: Final = frozenset({SourceKind.KINESIS, SourceKind.DYNAMODB, SourceKind.WEBHOOK})
KAFKAS: Final = frozenset({SourceKind.MSK, SourceKind.KAFKA})

RUN_HERE: Final = frozenset({SourceKind.WEBHOOK}) | QUEUES | KAFKAS
"""The kinds this version can run. Mappings of the others are checked as AWS would, then refused by
name (`docs/compatibility.md`)."""

PEOPLE_SAY: Final = {
    SourceKind.SQS: "SQS",
    SourceKind.FIFO: "SQS FIFO",
    SourceKind.KINESIS: "Kinesis",
    SourceKind.DYNAMODB: "DynamoDB",
    SourceKind.MSK: "Amazon MSK",
    SourceKind.KAFKA: "self-managed Kafka",
    SourceKind.MQ: "Amazon MQ",
    SourceKind.DOCUMENTDB: "DocumentDB",
    SourceKind.WEBHOOK: "webhook",
}


def kind_of_arn(text: str) -> SourceKind | None:
    """The kind of source an ARN names; None when it names none, or is no ARN.

    A table is no source, its stream is; a Kinesis stream is one, and a consumer of it.
    """
    try:
        arn = parse_arn(text)
    except ArnError:
        return None
    match arn.service:
        case "sqs":
            return SourceKind.FIFO if arn.resource.endswith(".fifo") else SourceKind.SQS
        case "kinesis" if arn.resource.startswith("stream/"):
            return SourceKind.KINESIS
        case "dynamodb" if arn.resource.startswith("table/") and "/stream/" in arn.resource:
            return SourceKind.DYNAMODB
        case "kafka" if arn.resource.startswith(("cluster/", "vpc-connection/")):
            return SourceKind.MSK
        case "mq" if arn.resource.startswith("broker:"):
            return SourceKind.MQ
        case "rds" if arn.resource.startswith("cluster:"):
            return SourceKind.DOCUMENTDB
        case "router" if arn.resource.startswith("webhook/"):
            return SourceKind.WEBHOOK
    return None


def source_name(arn: str, bootstrap_servers: Sequence[str], topics: Sequence[str]) -> str:
    """A source for people: its ARN or its servers, and the topic where there is one."""
    return "/".join((arn or ",".join(bootstrap_servers), *topics))
