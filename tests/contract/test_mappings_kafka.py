"""Mappings of Kafka topics as boto3 sees them (`event-source-mappings.md` 1, 7).

Nothing here needs a broker: a cluster is asked for when a mapping runs.
"""

import uuid

import pytest

from tests.contract.test_functions import ARN, create
from tests.contract.test_mappings_queues import QUEUE, bare, made, refused, update

SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-a1b2c3"
ACCESS = [{"Type": "BASIC_AUTH", "URI": SECRET}]
CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/core/1b2c3d4e-0000-4a4a-9b9b-0123456789ab-4"
FAILED = {"OnFailure": {"Destination": "kafka://failed"}}
ON_DEMAND = "Kafka mappings take it in provisioned mode only (ProvisionedPollerConfig)."


def servers(*names):
    return {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(names)}}


@pytest.fixture
def function(aws):
    name = f"k-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    return name


@pytest.fixture
def source(function):
    """Settings of a self-managed cluster nobody else reads."""
    return {
        "FunctionName": function,
        "SelfManagedEventSource": servers(f"{function}-1:9092", f"{function}-2:9092"),
        "Topics": ["orders"],
        "SourceAccessConfigurations": ACCESS,
    }


@pytest.fixture
def mapping(aws, source):
    return aws("lambda", "create_event_source_mapping", **source)


def test_a_minimal_self_managed_mapping_has_exactly_these_fields(mapping, source, function):
    """1.4: no window while its 500 ms hold; the group is the UUID (P19)."""
    name = mapping["UUID"]
    assert bare(mapping) == {
        "UUID": name,
        "BatchSize": 100,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{name}"
        ),
        "FunctionArn": ARN + function,
        "LastProcessingResult": "No records processed",
        "SelfManagedEventSource": source["SelfManagedEventSource"],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": name},
        "SourceAccessConfigurations": ACCESS,
        "StartingPosition": "TRIM_HORIZON",
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "Topics": ["orders"],
    }


def test_a_minimal_mapping_of_msk(aws, function):
    created = made(aws, function, CLUSTER, Topics=[function], StartingPosition="LATEST")
    name = created["UUID"]
    assert bare(created) == {
        "UUID": name,
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": name},
        "BatchSize": 100,
        "EventSourceArn": CLUSTER,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{name}"
        ),
        "FunctionArn": ARN + function,
        "LastProcessingResult": "No records processed",
        "StartingPosition": "LATEST",
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "Topics": [function],
    }


def test_p5_one_shared_server_is_the_same_cluster(aws, mapping, source, function):
    shared = servers(f"{function}-2:9092", f"{function}-3:9092")
    error = refused(aws, "create", **{**source, "SelfManagedEventSource": shared})
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == (
        f'An event source mapping with event source ("{function}-2:9092,{function}-3:9092"), '
        f'function ("{ARN}{function}"), topics ("orders") already exists. Please update or delete '
        f"the existing mapping with UUID {mapping['UUID']}"
    )
    other = aws("lambda", "create_event_source_mapping", **{**source, "Topics": ["returns"]})
    assert other["Topics"] == ["returns"]


def test_retries_come_and_go_with_provisioned_mode(aws, mapping, function):
    """1.3 †: refused on demand, there with the pollers, and in the way of leaving them."""
    name = mapping["UUID"]
    aws("sqs", "create_queue", QueueName=f"failed-{function}")
    failed = {"OnFailure": {"Destination": f"{QUEUE}failed-{function}"}}
    error = refused(aws, "update", UUID=name, MaximumRetryAttempts=3)
    assert error.message == (
        "Unsupported 'maximumRetryAttempts' parameter for given event source mapping type. "
        + ON_DEMAND
    )
    changed = update(
        aws, mapping, ProvisionedPollerConfig={"MaximumPollers": 4}, MaximumRetryAttempts=3,
        BisectBatchOnFunctionError=True, DestinationConfig=failed,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        LoggingConfig={"SystemLogLevel": "INFO"},
        MetricsConfig={"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics"]},
    )  # fmt: skip
    assert changed["ProvisionedPollerConfig"] == {"MinimumPollers": 1, "MaximumPollers": 4}
    assert (changed["MaximumRetryAttempts"], changed["MaximumRecordAgeInSeconds"]) == (3, -1)
    assert changed["BisectBatchOnFunctionError"] is True
    assert changed["DestinationConfig"] == failed
    assert changed["LoggingConfig"] == {"SystemLogLevel": "INFO"}
    error = refused(aws, "update", UUID=name, ProvisionedPollerConfig={})
    assert ON_DEMAND in error.message
    back = update(
        aws, mapping, ProvisionedPollerConfig={}, MaximumRetryAttempts=-1,
        BisectBatchOnFunctionError=False, FunctionResponseTypes=[], LoggingConfig={},
        MetricsConfig={}, DestinationConfig={"OnFailure": {"Destination": ""}},
    )  # fmt: skip
    assert bare(back, "State") == bare(mapping, "State")


def test_lanes_inside_a_partition_are_beyond_aws(aws, mapping):
    """1 to 1,000 here, refused there."""
    assert update(aws, mapping, ParallelizationFactor=1_000)["ParallelizationFactor"] == 1_000
    name = mapping["UUID"]
    error = refused(aws, "update", UUID=name, ParallelizationFactor=1_001)
    assert error.code == "ValidationException"
    assert error.message == (
        "1 validation error detected: Value '1001' at 'parallelizationFactor' failed to satisfy "
        "constraint: Member must have value less than or equal to 1000"
    )
    assert "ParallelizationFactor" not in update(aws, mapping, ParallelizationFactor=1)


def test_a_window_once_set_stays_one(aws, mapping):
    """1.6: it cannot go back to 500 ms."""
    changed = update(aws, mapping, MaximumBatchingWindowInSeconds=0)
    assert changed["MaximumBatchingWindowInSeconds"] == 0
    assert update(aws, mapping, BatchSize=5)["MaximumBatchingWindowInSeconds"] == 0


def test_a_group_is_one_mappings_alone(aws, source, function):
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": function}}
    first = aws("lambda", "create_event_source_mapping", **source, **group)
    assert first["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": function}
    error = refused(aws, "create", **{**source, "Topics": ["returns"]}, **group)
    assert error.status == 409
    assert error.message == (
        f"The consumer group {function} is used by another event source mapping already, with UUID "
        f"{first['UUID']}"
    )


YET = "not supported by this version of Event Router yet."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SourceAccessConfigurations": None},
         "Required 'sourceAccessConfigurations' parameter is missing."),
        ({"Topics": None}, "Required 'topics' parameter is missing."),
        ({"SelfManagedEventSource": None}, "Unrecognized event source."),
        ({"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}]},
         "Invalid parameters: VIRTUAL_HOST"),
        ({"SourceAccessConfigurations": [{"Type": "BASIC_AUTH"}]},
         "Required 'uRI' parameter is missing."),
        ({"StartingPosition": "AT_TIMESTAMP"}, "Need to specify a timestamp"),
        ({"DestinationConfig": FAILED},
         "Unsupported DestinationConfig parameter for given event source mapping type."),
        ({"TumblingWindowInSeconds": 5},
         "Unsupported 'tumblingWindowInSeconds' parameter for given event source mapping type."),
        ({"SourceAccessConfigurations": [{"Type": "IAM_AUTH"}]},
         f"SourceAccessConfigurations of type IAM_AUTH are {YET}"),
        ({"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}},
         f"Kafka mappings in Queue mode (share groups) are {YET}"),
    ],
)  # fmt: skip
def test_refusals(aws, source, settings, message):
    given = {name: it for name, it in {**source, **settings}.items() if it is not None}
    error = refused(aws, "create", **given)
    assert (error.status, error.code) == (400, "InvalidParameterValueException")
    assert error.message == message


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"Topics": [".x"]}, "at 'topics' failed to satisfy constraint"),
        ({"Topics": ["a1", "b1"]}, "Member must have length less than or equal to 1"),
        ({"SelfManagedEventSource": servers("no-port")}, "selfManagedEventSource.endpoints"),
        ({"MetricsConfig": {"Metrics": ["Lag"]}},
         "enum value set: [EventCount, ErrorCount, KafkaMetrics]"),
        ({"LoggingConfig": {"SystemLogLevel": "TRACE"}}, "enum value set: [DEBUG, INFO, WARN]"),
    ],
)  # fmt: skip
def test_what_breaks_the_model(aws, source, settings, text):
    error = refused(aws, "create", **{**source, **settings})
    assert (error.status, error.code) == (400, "ValidationException")
    assert text in error.message
