"""Event source mappings as boto3 sees them (`event-source-mappings.md` 1)."""

import time
import uuid

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create

HOOK = "arn:aws:router:us-east-1:000000000000:webhook/hook"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture
def function(aws):
    name = f"m-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    return name


@pytest.fixture
def mapping(aws, function):
    created = aws(
        "lambda", "create_event_source_mapping", FunctionName=function, EventSourceArn=HOOK
    )
    yield created
    if any(
        item["UUID"] == created["UUID"]
        for item in aws("lambda", "list_event_source_mappings")["EventSourceMappings"]
    ):
        aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", f"{operation}_event_source_mapping", validates=False, **params)
    return info.value


def test_a_minimal_mapping_of_a_stream_has_exactly_these_fields(mapping, function):
    """P2, P3."""
    uuid.UUID(mapping["UUID"])
    modified = mapping.pop("LastModified")["$time"]
    assert abs(modified - time.time()) < 60
    meta = mapping["ResponseMetadata"]
    assert meta["HTTPStatusCode"] == 202
    assert {key: value for key, value in mapping.items() if key != "ResponseMetadata"} == {
        "UUID": mapping["UUID"],
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "EventSourceArn": HOOK,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{mapping['UUID']}"
        ),
        "FunctionArn": ARN + function,
        "FunctionResponseTypes": [],
        "DestinationConfig": {"OnFailure": {}},
        "BisectBatchOnFunctionError": False,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "User action",
    }


def test_states(aws, mapping):
    name = mapping["UUID"]
    assert aws("lambda", "get_event_source_mapping", UUID=name)["State"] == "Enabled"
    changed = aws("lambda", "update_event_source_mapping", UUID=name, Enabled=False)
    assert changed["State"] == "Disabling"
    assert aws("lambda", "get_event_source_mapping", UUID=name)["State"] == "Disabled"
    changed = aws("lambda", "update_event_source_mapping", UUID=name, Enabled=True)
    assert changed["State"] == "Enabling"
    changed = aws("lambda", "update_event_source_mapping", UUID=name, BatchSize=7)
    assert (changed["State"], changed["BatchSize"]) == ("Updating", 7)
    gone = aws("lambda", "delete_event_source_mapping", UUID=name)
    assert (gone["State"], gone["BatchSize"]) == ("Deleting", 7)
    for operation in ("get", "update", "delete"):
        error = refused(aws, operation, UUID=name)
        assert (error.status, error.code) == (404, "ResourceNotFoundException")
        assert error.message == "The resource you requested does not exist."


def test_created_disabled(aws, function):
    """P3: `Disabled` at once, and `Enabled` is never in an answer."""
    created = aws(
        "lambda",
        "create_event_source_mapping",
        FunctionName=f"{function}:$LATEST",
        EventSourceArn=HOOK,
        Enabled=False,
    )
    assert created["State"] == "Disabled"
    assert "Enabled" not in created
    assert created["FunctionArn"] == f"{ARN}{function}:$LATEST"
    aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


def test_everything_a_stream_takes(aws, function):
    queue = aws("sqs", "create_queue", QueueName=f"dead-{function}")["QueueUrl"]
    arn = QUEUE + queue.rpartition("/")[2]
    settings = {
        "BatchSize": 10_000,
        "MaximumBatchingWindowInSeconds": 300,
        "ParallelizationFactor": 10,
        "StartingPosition": "LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": arn}},
        "BisectBatchOnFunctionError": True,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 10_000,
        "TumblingWindowInSeconds": 900,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    created = aws(
        "lambda",
        "create_event_source_mapping",
        FunctionName=function,
        EventSourceArn=HOOK,
        **settings,
    )
    shown = aws("lambda", "get_event_source_mapping", UUID=created["UUID"])
    assert {name: shown[name] for name in settings} == settings
    cleared = aws(
        "lambda",
        "update_event_source_mapping",
        UUID=created["UUID"],
        DestinationConfig={"OnFailure": {"Destination": ""}},
        FunctionResponseTypes=[],
        FilterCriteria={},
        TumblingWindowInSeconds=0,
    )
    assert cleared["TumblingWindowInSeconds"] == 0
    assert cleared["DestinationConfig"] == {"OnFailure": {}}
    assert cleared["FunctionResponseTypes"] == []
    assert cleared["BatchSize"] == 10_000
    assert "FilterCriteria" not in cleared
    aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


def criteria(*patterns):
    return {"Filters": [{"Pattern": pattern} for pattern in patterns]}


def test_filters_are_kept_changed_and_cleared(aws, function):
    """1.6: `{}` clears, what is left out stays; 1.4: not returned when there are none."""
    pushes, tags = '{"body": {"ref": [{"prefix": "refs/"}]}}', '{ "path" : ["/a", "/b"] }'
    source = {"FunctionName": function, "EventSourceArn": HOOK}
    created = aws(
        "lambda", "create_event_source_mapping", FilterCriteria=criteria(pushes), **source
    )
    name = created["UUID"]
    assert created["FilterCriteria"] == criteria(pushes)

    def update(**settings):
        return aws("lambda", "update_event_source_mapping", UUID=name, **settings)

    assert update(BatchSize=7)["FilterCriteria"] == criteria(pushes)
    assert update(FilterCriteria=criteria(pushes, tags))["FilterCriteria"] == criteria(pushes, tags)
    error = refused(aws, "update", UUID=name, FilterCriteria=criteria('{"a": []}'))
    assert (error.status, error.message) == (400, "Invalid filter pattern definition.")
    error = refused(aws, "update", UUID=name, FilterCriteria=criteria(*[tags] * 6))
    assert error.message == "Filter criteria exceed the limit of 5 filters."
    shown = aws("lambda", "get_event_source_mapping", UUID=name)
    assert shown["FilterCriteria"] == criteria(pushes, tags)
    assert "FilterCriteria" not in update(FilterCriteria={})
    assert "FilterCriteria" not in aws("lambda", "get_event_source_mapping", UUID=name)
    update(FilterCriteria=criteria(tags))
    assert "FilterCriteria" not in update(FilterCriteria={"Filters": []})
    aws("lambda", "delete_event_source_mapping", UUID=name)


def test_no_filters_at_creation_are_none(aws, function):
    """1.4, recorded on AWS."""
    source = {"FunctionName": function, "EventSourceArn": HOOK}
    for empty in ({"Filters": []}, {}):
        created = aws("lambda", "create_event_source_mapping", FilterCriteria=empty, **source)
        assert "FilterCriteria" not in created
        aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"


def test_filters_are_not_encrypted_here(aws, mapping):
    """1.2: a key is refused by name, on Create and Update; the empty text takes none away."""
    text = "Filter criteria encrypted with a KMS key are " + YET
    name = mapping["UUID"]
    error = refused(aws, "update", UUID=name, KMSKeyArn=KEY)
    assert (error.status, error.message) == (400, text)
    shown = aws("lambda", "update_event_source_mapping", UUID=name, KMSKeyArn="")
    assert "KMSKeyArn" not in shown


def test_filters_under_a_key_are_not_listed(aws, harness, mapping):
    """1.8, for mappings an earlier version took a key for: Get shows filters, List does not."""
    import msgspec

    from router.store.catalog import put

    name = mapping["UUID"]
    known = harness.catalog.mappings[name]
    keyed = msgspec.structs.replace(known, filters=('{"path": ["/a"]}',), extra={"KMSKeyArn": KEY})
    harness.run(harness.catalog.commit([put("mapping", name, keyed)]))
    assert "FilterCriteria" in aws("lambda", "get_event_source_mapping", UUID=name)
    found = aws("lambda", "list_event_source_mappings")["EventSourceMappings"]
    (listed,) = [item for item in found if item["UUID"] == name]
    assert listed["KMSKeyArn"] == KEY
    assert "FilterCriteria" not in listed
    aws("lambda", "update_event_source_mapping", UUID=name, KMSKeyArn="")
    found = aws("lambda", "list_event_source_mappings")["EventSourceMappings"]
    assert "FilterCriteria" in next(item for item in found if item["UUID"] == name)


def test_a_filter_longer_than_the_model_allows(aws, function):
    long = '{"path": ["' + "a" * 4_096 + '"]}'
    error = refused(
        aws, "create", FunctionName=function, EventSourceArn=HOOK, FilterCriteria=criteria(long)
    )
    assert (error.status, error.code) == (400, "ValidationException")
    assert error.message.endswith("Member must have length less than or equal to 4096")


def test_the_same_stream_twice(aws, mapping, function):
    """P5: the blanks inside the brackets are AWS's."""
    error = refused(aws, "create", FunctionName=function, EventSourceArn=HOOK)
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == (
        f'The event source arn (" {HOOK} ") and function (" {function} ") provided mapping already '
        f"exists. Please update or delete the existing mapping with UUID {mapping['UUID']}"
    )


LAMBDA = "arn:aws:lambda:us-east-1:000000000000:function:"
EVENT_BUS = "arn:aws:events:us-east-1:000000000000:event-bus/b"
UNSUPPORTED = "Unsupported DestinationConfig parameter for given event source mapping type."
YET = "not supported by this version of Event Router yet."


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"FunctionName": "missing"}, "InvalidParameterValueException", "Function does not exist"),
        ({"FunctionName": "missing", "EventSourceArn": QUEUE + "missing"},
         "InvalidParameterValueException", "Function does not exist"),
        ({"FunctionName": "missing", "EventSourceArn": QUEUE + "missing",
          "DestinationConfig": {"OnSuccess": {"Destination": QUEUE + "q"}}},
         "InvalidParameterValueException", UNSUPPORTED),
        ({"FunctionName": "missing", "EventSourceArn": None}, "InvalidParameterValueException",
         "Unrecognized event source."),
        ({"EventSourceArn": QUEUE + "missing"}, "InvalidParameterValueException",
         ("Error occurred while ReceiveMessage. SQS Error Code: "
         "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does "
         "not exist.")),
        ({"EventSourceArn": HOOK + "s"}, "InvalidParameterValueException",
         f"Stream not found: {HOOK}s"),
        ({"EventSourceArn": "arn:aws:s3:::bucket"}, "InvalidParameterValueException",
         "Unrecognized event source."),
        ({"StartingPosition": "invalid"}, "ValidationException",
         ("1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy "
         "constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]")),
        ({"StartingPosition": "AT_TIMESTAMP"}, "InvalidParameterValueException",
         "Need to specify a timestamp"),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 4_102_444_800},
         "InvalidParameterValueException", "StartingPositionTimestamp cannot be in the future."),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"},
         "InvalidParameterValueException",
         ("1 validation error detected: Value null at 'startingPosition' failed to satisfy "
         "constraint: Member must not be null.")),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
          "StartingPosition": "LATEST"}, "InvalidParameterValueException",
         f"Kinesis event source mappings are {YET}"),
        ({"BatchSize": 10_001}, "ValidationException",
         ("1 validation error detected: Value '10001' at 'batchSize' failed to satisfy constraint: "
         "Member must have value less than or equal to 10000")),
        ({"MaximumRecordAgeInSeconds": 59}, "InvalidParameterValueException",
         ("MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 "
         "(inclusive)")),
        ({"ScalingConfig": {"MaximumConcurrency": 2}}, "InvalidParameterValueException",
         "Unsupported 'scalingConfig' parameter for given event source mapping type."),
        ({"Topics": ["topic"]}, "InvalidParameterValueException",
         "Unsupported 'topics' parameter for given event source mapping type."),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, "InvalidParameterValueException",
         "Invalid filter pattern definition."),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"a": []}'}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"a": [1]}'}] * 6}},
         "InvalidParameterValueException", "Filter criteria exceed the limit of 5 filters."),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"eventSource": "aws:sqs"}'}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["ping"]}'}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"FilterCriteria": {"Filters": [{}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"EventSourceArn": QUEUE + "none", "FunctionName": "missing",
          "FilterCriteria": {"Filters": [{"Pattern": '{"body": "x"}'}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
          "StartingPosition": "LATEST",
          "FilterCriteria": {"Filters": [{"Pattern": '{"data": ["x"]}'}]}},
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"TumblingWindowInSeconds": 901}, "ValidationException",
         ("1 validation error detected: Value '901' at 'tumblingWindowInSeconds' failed to satisfy "
          "constraint: Member must have value less than or equal to 900")),
        ({"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}},
         "InvalidParameterValueException", UNSUPPORTED),
        ({"DestinationConfig": {"OnFailure": {"Destination": EVENT_BUS}}},
         "InvalidParameterValueException",
         (f"The on-failure destination {EVENT_BUS} is none: give the ARN of an SQS queue, an SNS "
          "topic, an S3 bucket or a Lambda function, or kafka://TOPIC.")),
        ({"DestinationConfig": {"OnFailure": {"Destination": "a queue"}}}, "ValidationException",
         ("1 validation error detected: Value 'a queue' at "
          "'destinationConfig.onFailure.destination' failed to satisfy constraint: Member must "
          "satisfy regular expression pattern: "
          r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
          r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)")),
        *(({"DestinationConfig": {"OnFailure": {"Destination": to}}},
           "InvalidParameterValueException", f"The on-failure destination does not exist: {to}")
          for to in (QUEUE + "none", LAMBDA + "none",
                     "arn:aws:sqs:eu-west-1:000000000000:elsewhere")),
        ({"FunctionResponseTypes": ["Nope"]}, "ValidationException",
         ("1 validation error detected: Value '[Nope]' at 'functionResponseTypes' failed to "
         "satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value "
         "set: [ReportBatchItemFailures], Member must not be null]")),
    ],
)  # fmt: skip
def test_refusals_of_create(aws, function, params, code, message):
    """P1 and the table of 1.5."""
    merged = {"FunctionName": function, "EventSourceArn": HOOK, **params}
    merged = {name: value for name, value in merged.items() if value is not None}
    error = refused(aws, "create", **merged)
    assert (error.status, error.code, error.message) == (400, code, message)


def test_sqs_mappings_are_checked_and_made(aws, function):
    name = f"source-{function}"
    url = aws("sqs", "create_queue", QueueName=name)["QueueUrl"]
    source = {"FunctionName": function, "EventSourceArn": QUEUE + name}
    error = refused(aws, "create", **source, BatchSize=11)
    assert error.message == (
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater "
        "than 10"
    )
    error = refused(aws, "create", **source, MaximumRetryAttempts=1)
    assert error.message == (
        "Unsupported 'maximumRetryAttempts' parameter for given event source mapping type."
    )
    error = refused(
        aws, "create", **source, DestinationConfig={"OnFailure": {"Destination": QUEUE + name}}
    )
    assert error.message == UNSUPPORTED
    aws("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    error = refused(aws, "create", **source)
    assert error.message == (
        "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds"
    )
    aws("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
    made = aws("lambda", "create_event_source_mapping", **source)
    assert made["BatchSize"] == 10
    assert "StartingPosition" not in made
    fifo = {"FunctionName": function, "EventSourceArn": QUEUE + "q.fifo"}
    error = refused(aws, "create", **fifo, MaximumBatchingWindowInSeconds=1, BatchSize=11)
    assert error.message == "Batching window is not supported for FIFO queues"


def test_update_is_checked_as_it_will_be(aws, mapping):
    """P4, on what a stream can break."""
    name = mapping["UUID"]
    error = refused(aws, "update", UUID=name, MaximumRecordAgeInSeconds=1)
    assert error.message.startswith("MaximumRecordAgeInSeconds must be")
    error = refused(aws, "update", UUID=name, FunctionName="missing")
    assert error.message == "Function does not exist"
    error = refused(aws, "update", UUID="short")
    assert error.code == "ValidationException"
    assert aws("lambda", "get_event_source_mapping", UUID=name)["BatchSize"] == 100


def test_function_deleted_mapping_stays(aws, mapping, function):
    """P7."""
    aws("lambda", "delete_function", FunctionName=function)
    shown = aws("lambda", "get_event_source_mapping", UUID=mapping["UUID"])
    assert shown["State"] == "Enabled"


def test_pages_of_a_hundred(aws, harness, mapping):
    """P6."""
    import msgspec

    from router.store.base import Delete
    from router.store.catalog import put

    base = harness.catalog.mappings[mapping["UUID"]]
    others = [
        msgspec.structs.replace(base, uuid=str(uuid.uuid4()), function=f"g{number}")
        for number in range(101)
    ]
    harness.run(harness.catalog.commit([put("mapping", other.uuid, other) for other in others]))
    page = aws("lambda", "list_event_source_mappings", MaxItems=10_000)
    assert len(page["EventSourceMappings"]) == 100
    rest = aws("lambda", "list_event_source_mappings", Marker=page["NextMarker"])
    assert "NextMarker" not in rest
    seen = {item["UUID"] for item in page["EventSourceMappings"] + rest["EventSourceMappings"]}
    assert {other.uuid for other in others} <= seen
    mine = aws("lambda", "list_event_source_mappings", FunctionName="g7", EventSourceArn=HOOK)
    assert [item["UUID"] for item in mine["EventSourceMappings"]] == [others[7].uuid]
    none = aws("lambda", "list_event_source_mappings", FunctionName="unknown")
    assert none["EventSourceMappings"] == []
    harness.run(harness.catalog.commit([Delete("mapping", other.uuid) for other in others]))


def test_trailing_slash(harness):
    """P32: older SDKs send one."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", harness.servers["open"].port)
    for path in ("/2015-03-31/event-source-mappings", "/2015-03-31/event-source-mappings/"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, b"EventSourceMappings" in answer.read()) == (200, True)
    connection.close()


def test_cli(cli, function):
    created = cli(
        "lambda", "create-event-source-mapping", "--function-name", function,
        "--event-source-arn", HOOK, "--batch-size", "5",
    )  # fmt: skip
    assert created["BatchSize"] == 5
    cli("lambda", "delete-event-source-mapping", "--uuid", created["UUID"])
