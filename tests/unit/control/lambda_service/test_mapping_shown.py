"""The fields of each kind of source, and no others (1.4, 1.7)."""

import msgspec
import pytest

from router.control.lambda_service.mapping_shown import listed_mapping, shown_mapping
from tests.unit.mapping.rules.sources import (
    ACCESS,
    BROKER,
    CLUSTER,
    DOCUMENTS,
    FIFO,
    HOOK,
    PROVISIONED,
    QUEUE,
    SERVERS,
    STREAM,
    TABLE,
    UUID,
    mapping,
)


class Status(msgspec.Struct):
    state: str = "Creating"
    transition_reason: str = ""
    last_processing_result: str = "No records processed"


def shown(kind, status=None, state=None, **more):
    known = msgspec.structs.replace(mapping(kind, **more), last_modified_ms=1_764_087_000_482)
    return shown_mapping(known, status or Status(), "eu-central-1", "210987654321", state)


ALL = {
    "UUID": UUID,
    "EventSourceMappingArn": (
        f"arn:aws:lambda:eu-central-1:210987654321:event-source-mapping:{UUID}"
    ),
    "FunctionArn": "arn:aws:lambda:eu-central-1:210987654321:function:f",
    "LastModified": 1_764_087_000.482,
    "State": "Creating",
}
QUEUES = ALL | {
    "BatchSize": 10,
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "StateTransitionReason": "USER_INITIATED",
}
STREAMS = QUEUES | {
    "BatchSize": 100,
    "StateTransitionReason": "User action",
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "LastProcessingResult": "No records processed",
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
WAITING = ALL | {
    "BatchSize": 100,
    "LastProcessingResult": "No records processed",
    "StateTransitionReason": "USER_INITIATED",
}

MINIMAL = {
    "sqs": QUEUES | {"EventSourceArn": QUEUE},
    "fifo": QUEUES | {"EventSourceArn": FIFO},
    "kinesis": STREAMS | {"EventSourceArn": STREAM, "StartingPosition": "LATEST"},
    "dynamodb": STREAMS | {"EventSourceArn": TABLE, "StartingPosition": "LATEST"},
    "webhook": STREAMS | {"EventSourceArn": HOOK, "StartingPosition": "TRIM_HORIZON"},
    "kafka": WAITING | {
        "SelfManagedEventSource": SERVERS,
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": UUID},
        "SourceAccessConfigurations": ACCESS,
        "StartingPosition": "TRIM_HORIZON",
        "Topics": ["t1"],
    },
    "msk": WAITING | {
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": UUID},
        "EventSourceArn": CLUSTER,
        "StartingPosition": "LATEST",
        "Topics": ["t1"],
    },
    "mq": WAITING | {
        "EventSourceArn": BROKER,
        "Queues": ["q"],
        "SourceAccessConfigurations": ACCESS,
    },
    "documentdb": WAITING | {
        "DocumentDBEventSourceConfig": {"DatabaseName": "shop", "FullDocument": "Default"},
        "EventSourceArn": DOCUMENTS,
        "MaximumBatchingWindowInSeconds": 0,
        "StartingPosition": "TRIM_HORIZON",
        "StateTransitionReason": "User action",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(MINIMAL))
def test_p2_the_fields_of_a_minimal_mapping(kind):
    more = {"MaximumBatchingWindowInSeconds": 0} if kind == "documentdb" else {}
    assert shown(kind, **more) == MINIMAL[kind]


def test_what_is_set_appears():
    more = {
        "ScalingConfig": {"MaximumConcurrency": 7},
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": ["a"]}'}]},
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert shown("sqs", **more) == MINIMAL["sqs"] | more
    poller = {"MinimumPollers": 2, "MaximumPollers": 200}
    queue = shown("sqs", ProvisionedPollerConfig={"MinimumPollers": 2})
    assert queue == MINIMAL["sqs"] | {"ProvisionedPollerConfig": poller}


def test_kafka_shows_retries_in_provisioned_mode_and_its_window_once_set():
    provisioned = {"MinimumPollers": 1, "MaximumPollers": 200}
    retries = {
        "BisectBatchOnFunctionError": False,
        "FunctionResponseTypes": [],
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
    }
    more = MINIMAL["kafka"] | {"ProvisionedPollerConfig": provisioned}
    assert shown("kafka", **PROVISIONED) == more | retries
    assert shown("kafka", **PROVISIONED, MaximumRetryAttempts=2) == more | retries | {
        "MaximumRetryAttempts": 2
    }
    set_to = {
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 64,
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1_764_000_000.5,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }
    assert shown("kafka", **set_to) == MINIMAL["kafka"] | set_to


def test_what_runs_has_its_own_reasons():
    """1.7: a code where the cluster is to blame, and what came of the last batch."""
    status = Status("Enabled", "EVENT_SOURCE_AUTHN_ERROR", "PROBLEM: SASL authentication failed")
    assert shown("kafka", status) == MINIMAL["kafka"] | {
        "State": "Enabled",
        "StateTransitionReason": "EVENT_SOURCE_AUTHN_ERROR",
        "LastProcessingResult": "PROBLEM: SASL authentication failed",
    }
    assert "LastProcessingResult" not in shown("sqs", status)
    assert shown("sqs", state="Deleting")["State"] == "Deleting"


def test_a_list_keeps_encrypted_filters_to_itself():
    """1.8."""
    criteria = {"Filters": [{"Pattern": '{"body": ["a"]}'}]}
    keyed = shown("sqs", FilterCriteria=criteria, KMSKeyArn="arn:aws:kms:x")
    assert keyed["FilterCriteria"] == criteria
    assert "FilterCriteria" not in listed_mapping(keyed)
    assert "FilterCriteria" in listed_mapping(shown("sqs", FilterCriteria=criteria))
