"""Event invocations and their configs as boto3 sees them (`functions-and-invocation.md` 5.4, 6)."""

import http.client
import json
import time
import uuid

import pytest

from router.model.event_invoke import EventInvoke
from router.store.asynchronous import EventsFull
from router.store.catalog import put
from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create, refused

QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
BUCKET = "arn:aws:s3:::failed"
NO_CONFIG = "The function {}:{} doesn't have an EventInvokeConfig"


@pytest.fixture
def name():
    return f"f-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def function(aws, name):
    create(aws, name)
    return name


def configure(aws, operation, name, **params):
    return aws("lambda", f"{operation}_function_event_invoke_config", FunctionName=name, **params)


def waiting(harness, name):
    found = harness.store.asynchronous.waiting().get(name)
    return 0 if found is None else found.events


def test_an_event_is_accepted_once_it_is_stored(aws, harness, function):
    answer = aws(
        "lambda", "invoke", FunctionName=function, InvocationType="Event", Payload=b'{"a":1}'
    )
    assert answer["StatusCode"] == 202
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "0"
    assert "ExecutedVersion" not in answer
    assert waiting(harness, function) == 1
    answer = aws("lambda", "invoke_async", FunctionName=function, InvokeArgs=b"{}")
    assert (answer["Status"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (202, 202)
    assert waiting(harness, function) == 2


def invoke(harness, path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", harness.servers["open"].port)
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read() or b"null")
    connection.close()
    return reply.status, reply.headers.get("x-amzn-ErrorType"), answer


def test_an_event_has_a_limit_of_its_own(harness, function):
    path = f"/2015-03-31/functions/{function}/invocations"
    event = {"X-Amz-Invocation-Type": "Event"}
    fits, too_long = b'"' + b"x" * (1_048_576 - 2) + b'"', b'"' + b"x" * (1_048_577 - 2) + b'"'
    assert invoke(harness, path, fits, **event)[0] == 202
    status, code, answer = invoke(harness, path, too_long, **event)
    assert (status, code, answer["Type"]) == (413, "RequestEntityTooLargeException", "User")
    assert answer["message"] == (
        "Request must be smaller than 1048576 bytes for the InvokeFunction operation"
    )
    assert invoke(harness, path, too_long)[0] == 200, "whoever waits may send more"
    older = f"/2014-11-13/functions/{function}/invoke-async/"
    assert invoke(harness, older, fits[-262_143:])[0] == 400
    status, code, answer = invoke(harness, older, fits)
    assert (status, code) == (413, "RequestEntityTooLargeException")
    assert answer["message"] == (
        "Request must be smaller than 262144 bytes for the InvokeAsync operation"
    )


def test_an_event_that_cannot_be_taken(aws, harness, function, name, monkeypatch):
    given = {"FunctionName": function, "InvocationType": "Event"}
    error = refused(aws, "invoke", **given, Payload=b"not json")
    assert (error.status, error.code) == (400, "InvalidRequestContentException")
    error = refused(aws, "invoke", **given | {"FunctionName": "nobody"})
    assert (error.status, error.message) == (404, f"Function not found: {ARN}nobody:$LATEST")
    error = refused(aws, "invoke_async", FunctionName="nobody", InvokeArgs=b"{}")
    assert (error.status, error.message) == (404, f"Function not found: {ARN}nobody:$LATEST")

    async def full(_event):
        raise EventsFull("full")

    monkeypatch.setattr(harness.store.asynchronous, "enqueue", full)
    error = refused(aws, "invoke", **given)
    assert (error.status, error.code, error.message) == (
        429, "TooManyRequestsException", "Rate Exceeded.",
    )  # fmt: skip
    assert error.response["Reason"] == "ReservedFunctionInvocationRateLimitExceeded"


def test_put_replaces_and_update_merges(aws, function):
    arn = f"{ARN}{function}:$LATEST"
    first = configure(
        aws, "put", function, MaximumRetryAttempts=0, DestinationConfig={
            "OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET},
        },
    )  # fmt: skip
    assert first["FunctionArn"] == arn
    assert first["DestinationConfig"] == {
        "OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET},
    }  # fmt: skip
    assert first["MaximumRetryAttempts"] == 0
    assert "MaximumEventAgeInSeconds" not in first
    assert abs(first["LastModified"]["$time"] - time.time()) < 60
    updated = configure(aws, "update", function, MaximumEventAgeInSeconds=60)
    assert updated["MaximumRetryAttempts"] == 0
    assert updated["MaximumEventAgeInSeconds"] == 60
    assert updated["DestinationConfig"] == first["DestinationConfig"]
    cleared = configure(
        aws, "update", function, DestinationConfig={"OnSuccess": {"Destination": ""}}
    )
    assert cleared["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": BUCKET}}
    replaced = configure(aws, "put", function, MaximumRetryAttempts=1)
    assert replaced["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert "MaximumEventAgeInSeconds" not in replaced
    got = configure(aws, "get", f"{function}:$LATEST")
    assert {**got, "ResponseMetadata": 0} == {**replaced, "ResponseMetadata": 0}
    configure(aws, "delete", function)
    error = refused(aws, "get_function_event_invoke_config", FunctionName=function)
    assert (error.status, error.message) == (404, NO_CONFIG.format(ARN + function, "$LATEST"))


def test_a_time_is_a_number_on_the_wire(harness, aws, function):
    configure(aws, "put", function, MaximumRetryAttempts=1)
    connection = http.client.HTTPConnection("127.0.0.1", harness.servers["open"].port)
    connection.request("GET", f"/2019-09-25/functions/{function}/event-invoke-config")
    assert isinstance(json.loads(connection.getresponse().read())["LastModified"], int | float)
    connection.close()


def test_a_config_belongs_to_one_qualifier_and_lists_have_pages(aws, harness, function):
    configure(aws, "put", function, MaximumRetryAttempts=0)
    other = EventInvoke(function=function, qualifier="1", retries_max=1, last_modified_ms=0)
    harness.run(harness.catalog.commit([put("event_invoke", other.name, other)]))
    assert configure(aws, "get", f"{function}:1")["MaximumRetryAttempts"] == 1
    listed = aws("lambda", "list_function_event_invoke_configs", FunctionName=function, MaxItems=1)
    (first,) = listed["FunctionEventInvokeConfigs"]
    assert first["FunctionArn"] == f"{ARN}{function}:$LATEST"
    rest = aws(
        "lambda", "list_function_event_invoke_configs", FunctionName=function,
        Marker=listed["NextMarker"],
    )  # fmt: skip
    (second,) = rest["FunctionEventInvokeConfigs"]
    assert second["FunctionArn"] == f"{ARN}{function}:1"
    assert "NextMarker" not in rest
    aws("lambda", "delete_function", FunctionName=function)
    create(aws, function)
    listed = aws("lambda", "list_function_event_invoke_configs", FunctionName=function)
    assert listed["FunctionEventInvokeConfigs"] == [], "it went with its function"


@pytest.mark.parametrize(
    ("operation", "params", "status", "text"),
    [
        ("put", {}, 400,
         "You must specify at least one of error handling or destination setting."),
        ("update", {}, 400,
         "You must specify at least one of error handling or destination setting."),
        ("put", {"FunctionName": "nobody", "MaximumRetryAttempts": 1}, 404,
         "The function doesn't exist."),
        ("update", {"FunctionName": "nobody", "MaximumRetryAttempts": 1}, 404,
         "The function doesn't exist."),
        ("put", {"Qualifier": "nobody", "MaximumRetryAttempts": 1}, 404,
         "The function doesn't exist."),
        ("update", {"MaximumRetryAttempts": 1}, 404, NO_CONFIG.format("{arn}", "$LATEST")),
        ("get", {"FunctionName": "nobody"}, 404, NO_CONFIG.format(ARN + "nobody", "$LATEST")),
        ("delete", {"Qualifier": "live"}, 404, NO_CONFIG.format("{arn}", "live")),
        ("put", {"MaximumRetryAttempts": 3}, 400,
         ("1 validation error detected: Value '3' at 'maximumRetryAttempts' failed to satisfy "
         "constraint: Member must have value less than or equal to 2")),
        ("put", {"MaximumEventAgeInSeconds": 59}, 400,
         ("1 validation error detected: Value '59' at 'maximumEventAgeInSeconds' failed to satisfy "
         "constraint: Member must have value greater than or equal to 60")),
        ("put", {"DestinationConfig": {"OnFailure": {"Destination": "{arn}"}}}, 400,
         "You can't specify the function as a destination for itself."),
        ("put", {"DestinationConfig": {"OnFailure": {"Destination": ARN + "nobody"}}}, 400,
         f"The destination ARN {ARN}nobody is invalid."),
        ("put", {"DestinationConfig": {"OnSuccess": {"Destination": BUCKET}}}, 400,
         ("The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
         f"{BUCKET}), onFailure=null) is invalid.")),
        ("put", {"DestinationConfig": {"OnFailure": {"Destination": QUEUE + ".fifo"}}}, 400,
         ("The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure("
         f"destination={QUEUE}.fifo)) is invalid.")),
        ("put", {"DestinationConfig": {"OnFailure": {"Destination": "kafka://topic"}}}, 400,
         ("The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure("
         "destination=kafka://topic)) is invalid.")),
    ],
)  # fmt: skip
def test_what_is_refused(aws, function, operation, params, status, text):
    def here(value):
        if isinstance(value, dict):
            return {key: here(inner) for key, inner in value.items()}
        return value.replace("{arn}", ARN + function) if isinstance(value, str) else value

    given = {"FunctionName": function} | here(params)
    error = refused(aws, f"{operation}_function_event_invoke_config", **given)
    assert (error.status, error.message) == (status, here(text))


@pytest.mark.parametrize("target", [BUCKET, QUEUE + ".fifo", ARN + "f"])
def test_a_dead_letter_queue_is_a_standard_queue_or_topic(aws, name, target):
    with pytest.raises(ClientError) as info:
        create(aws, name, DeadLetterConfig={"TargetArn": target})
    assert (info.value.status, info.value.code) == (400, "InvalidParameterValueException")
    assert target in info.value.message
    for good in ("", QUEUE):
        create(aws, f"{name}{len(good)}", DeadLetterConfig={"TargetArn": good})
