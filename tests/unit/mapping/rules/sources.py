"""The least settings each kind of source takes, and what is wrong with others."""

from router.mapping.rules import check
from router.mapping.rules.settings import with_settings
from router.mapping.rules.source import source_kind
from router.model.resources import Mapping

HERE = "us-east-1:000000000000"
QUEUE = f"arn:aws:sqs:{HERE}:jobs"
FIFO = f"{QUEUE}.fifo"
STREAM = f"arn:aws:kinesis:{HERE}:stream/orders"
TABLE = f"arn:aws:dynamodb:{HERE}:table/orders/stream/2026-01-05T08:00:00.000"
CLUSTER = f"arn:aws:kafka:{HERE}:cluster/core/1b2c3d4e-0000-4a4a-9b9b-0123456789ab-4"
BROKER = f"arn:aws:mq:{HERE}:broker:shop:b-1b2c3d4e"
DOCUMENTS = f"arn:aws:rds:{HERE}:cluster:docs"
HOOK = f"arn:aws:router:{HERE}:webhook/hook"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:kafka-a1b2c3"
TOPIC = f"arn:aws:sns:{HERE}:failed"

NOW_S = 1_764_087_000.0
UUID = "5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d10"

ACCESS = [{"Type": "BASIC_AUTH", "URI": SECRET}]
SERVERS = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b-1:9092", "b-2:9092"]}}
PROVISIONED = {"ProvisionedPollerConfig": {"MinimumPollers": 1}}

LEAST = {
    "sqs": {"EventSourceArn": QUEUE},
    "fifo": {"EventSourceArn": FIFO},
    "kinesis": {"EventSourceArn": STREAM, "StartingPosition": "LATEST"},
    "dynamodb": {"EventSourceArn": TABLE, "StartingPosition": "LATEST"},
    "msk": {"EventSourceArn": CLUSTER, "StartingPosition": "LATEST", "Topics": ["t1"]},
    "kafka": {
        "SelfManagedEventSource": SERVERS,
        "Topics": ["t1"],
        "SourceAccessConfigurations": ACCESS,
    },
    "mq": {
        "EventSourceArn": BROKER,
        "Queues": ["q"],
        "SourceAccessConfigurations": ACCESS,
    },
    "documentdb": {
        "EventSourceArn": DOCUMENTS,
        "DocumentDBEventSourceConfig": {"DatabaseName": "shop"},
    },
    "webhook": {"EventSourceArn": HOOK},
}


def settings(kind, **more):
    """The least settings with more; None takes one away."""
    return {name: it for name, it in {**LEAST[kind], **more}.items() if it is not None}


def said(given, now_s=NOW_S):
    """What is wrong with settings, in order."""
    return [problem.message for problem in check.problems(given, now_s)]


def mapping(kind, uuid=UUID, function="f", **more):
    """A mapping as its settings make it."""
    given = settings(kind, **more)
    bare = Mapping(uuid=uuid, name=uuid[:8], function=function, last_modified_ms=1)
    return with_settings(bare, source_kind(given), given)
