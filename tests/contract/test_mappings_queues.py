"""Mappings of queues as boto3 sees them (`event-source-mappings.md` 1, 8)."""

import time
import uuid

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create

QUEUE = "arn:aws:sqs:us-east-1:000000000000:"
WINDOW = (
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
    "10"
)

MOST = (
    "Value '{}' at '{}' failed to satisfy constraint: Member must have value less than or equal to "
    "{}"
)


@pytest.fixture
def function(aws):
    name = f"q-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    return name


@pytest.fixture
def queue(aws, function):
    aws("sqs", "create_queue", QueueName=f"jobs-{function}")
    return f"{QUEUE}jobs-{function}"


@pytest.fixture
def fifo(aws, function):
    attributes = {"FifoQueue": "true"}
    aws("sqs", "create_queue", QueueName=f"jobs-{function}.fifo", Attributes=attributes)
    return f"{QUEUE}jobs-{function}.fifo"


@pytest.fixture
def mapping(aws, function, queue):
    return made(aws, function, queue)


def made(aws, function, source, **settings):
    return aws(
        "lambda",
        "create_event_source_mapping",
        FunctionName=function,
        EventSourceArn=source,
        **settings,
    )


def update(aws, mapping, **settings):
    return aws("lambda", "update_event_source_mapping", UUID=mapping["UUID"], **settings)


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", f"{operation}_event_source_mapping", validates=False, **params)
    return info.value


def bare(answer, *names):
    """An answer without what differs from call to call."""
    return {
        name: value
        for name, value in answer.items()
        if name not in {"ResponseMetadata", "LastModified", *names}
    }


@pytest.mark.parametrize("kind", ["queue", "fifo"])
def test_p2_a_minimal_mapping_has_exactly_these_fields(aws, function, kind, request):
    source = request.getfixturevalue(kind)
    created = made(aws, function, source)
    assert abs(created["LastModified"]["$time"] - time.time()) < 60
    name = created["UUID"]
    assert bare(created) == {
        "UUID": name,
        "BatchSize": 10,
        "EventSourceArn": source,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{name}"
        ),
        "FunctionArn": ARN + function,
        "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    shown = aws("lambda", "get_event_source_mapping", UUID=name)
    assert bare(shown) == bare(created) | {"State": "Enabled"}


def test_p3_created_disabled(aws, function, queue):
    created = made(aws, function, queue, Enabled=False)
    assert created["State"] == "Disabled"
    assert "Enabled" not in created


def test_p4_an_update_is_checked_with_what_stays(aws, mapping):
    error = refused(aws, "update", UUID=mapping["UUID"], BatchSize=11)
    assert (error.status, error.code) == (400, "InvalidParameterValueException")
    assert error.message == WINDOW
    update(aws, mapping, MaximumBatchingWindowInSeconds=1)
    changed = update(aws, mapping, BatchSize=11)
    assert (changed["BatchSize"], changed["MaximumBatchingWindowInSeconds"]) == (11, 1)
    error = refused(aws, "update", UUID=mapping["UUID"], MaximumBatchingWindowInSeconds=0)
    assert error.message == WINDOW
    shown = aws("lambda", "get_event_source_mapping", UUID=mapping["UUID"])
    assert (shown["BatchSize"], shown["MaximumBatchingWindowInSeconds"]) == (11, 1)


def test_p5_the_same_queue_twice(aws, function, queue, mapping):
    error = refused(aws, "create", FunctionName=function, EventSourceArn=queue)
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == (
        f'An event source mapping with SQS arn (" {queue} ") and function (" {function} ") already '
        f"exists. Please update or delete the existing mapping with UUID {mapping['UUID']}"
    )


def test_everything_a_queue_takes_and_how_it_is_taken_away(aws, mapping):
    """1.4 and 1.6: blocks appear when set, and go by their clearing forms."""
    criteria = {"Filters": [{"Pattern": '{"body": {"kind": ["order"]}}'}]}
    changed = update(
        aws,
        mapping,
        ScalingConfig={"MaximumConcurrency": 2},
        FilterCriteria=criteria,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        MetricsConfig={"Metrics": ["EventCount"]},
    )
    assert bare(changed, "State") == bare(mapping, "State") | {
        "ScalingConfig": {"MaximumConcurrency": 2},
        "FilterCriteria": criteria,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    poller = {"MinimumPollers": 2}
    error = refused(aws, "update", UUID=mapping["UUID"], ProvisionedPollerConfig=poller)
    assert error.message == "ScalingConfig and ProvisionedPollerConfig cannot be used together."
    changed = update(aws, mapping, ProvisionedPollerConfig=poller, ScalingConfig={})
    assert changed["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 200}
    changed = update(aws, mapping, ProvisionedPollerConfig={"MaximumPollers": 5})
    assert changed["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 5}
    cleared = update(
        aws,
        mapping,
        ProvisionedPollerConfig={},
        FilterCriteria={},
        FunctionResponseTypes=[],
        MetricsConfig={},
        KMSKeyArn="",
    )
    assert bare(cleared, "State") == bare(mapping, "State")


def test_states(aws, mapping):
    assert update(aws, mapping, Enabled=False)["State"] == "Disabling"
    assert update(aws, mapping, BatchSize=7)["State"] == "Updating"
    name = mapping["UUID"]
    assert aws("lambda", "get_event_source_mapping", UUID=name)["State"] == "Disabled"
    assert update(aws, mapping, Enabled=True)["State"] == "Enabling"
    assert update(aws, mapping, Enabled=True)["State"] == "Updating"
    gone = aws("lambda", "delete_event_source_mapping", UUID=name)
    assert bare(gone) == bare(mapping) | {"State": "Deleting", "BatchSize": 7}
    assert refused(aws, "get", UUID=name).status == 404


def test_a_fifo_queue_takes_a_window_of_0_and_no_other(aws, function, fifo):
    created = made(aws, function, fifo, MaximumBatchingWindowInSeconds=0, BatchSize=10)
    error = refused(aws, "update", UUID=created["UUID"], MaximumBatchingWindowInSeconds=1)
    assert error.message == "Batching window is not supported for FIFO queues"
    error = refused(aws, "update", UUID=created["UUID"], BatchSize=11)
    assert error.message == "Maximum batch size must be between 1 and 10 inclusive"


def test_several_violations_of_the_model_are_one_message(aws, function, queue):
    """1.5: counted, in the model's order, before everything else."""
    error = refused(
        aws,
        "create",
        FunctionName=function,
        EventSourceArn=queue,
        BatchSize=10_001,
        MaximumBatchingWindowInSeconds=301,
        ScalingConfig={"MaximumConcurrency": 1_001},
        DestinationConfig={"OnSuccess": {"Destination": queue}},
    )
    assert (error.status, error.code) == (400, "ValidationException")
    assert error.message.startswith("3 validation errors detected: Value '10001' at 'batchSize' ")
    for text in (
        MOST.format(301, "maximumBatchingWindowInSeconds", 300),
        MOST.format(1_001, "scalingConfig.maximumConcurrency", 1_000),
    ):
        assert f"; {text}" in error.message


@pytest.mark.parametrize(
    ("operation", "state"),
    [("update", "Creating"), ("update", "Updating"), ("delete", "Updating")],
)
def test_a_busy_mapping_is_in_use(aws, harness, mapping, operation, state):
    """1.5."""
    name = mapping["UUID"]
    harness.runtime.busy[name] = state
    error = refused(aws, operation, UUID=name)
    assert (error.status, error.code) == (400, "ResourceInUseException")
    assert error.message == f"Cannot {operation} the event source mapping because it is in use."
    harness.runtime.busy.clear()
    assert update(aws, mapping, BatchSize=3)["BatchSize"] == 3
    harness.runtime.busy[name] = "Enabling"
    assert update(aws, mapping, BatchSize=4)["BatchSize"] == 4
    harness.runtime.busy.clear()


def test_the_marker_is_the_apis_own(aws):
    with pytest.raises(ClientError) as info:
        aws("lambda", "list_event_source_mappings", Marker="5f2d7c1e")
    error = info.value
    assert (error.status, error.code) == (400, "InvalidParameterValueException")
