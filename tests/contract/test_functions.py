"""Functions and their invocation as boto3 and the CLI see them (`functions-and-invocation.md`)."""

import base64
import hashlib
import http.client
import io
import json
import re
import urllib.request
import uuid
import zipfile

import pytest

from tests.contract.support import ClientError

ROLE = "arn:aws:iam::000000000000:role/any"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def package(text="def handler(event, context):\n    return event\n", name="app.py"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


def create(aws, name, **more):
    params = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": package()},
    }
    return aws("lambda", "create_function", validates=False, **{**params, **more})


@pytest.fixture
def name():
    return f"f-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def function(aws, name):
    create(aws, name)
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    return name


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", operation, validates=False, **params)
    return info.value


def test_create_goes_from_pending_to_active(aws, name):
    data = package()
    created = create(aws, name, Environment={"Variables": {"AB": "1"}}, Tags={"t": "1"})
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert created["State"] == "Pending"
    assert created["StateReasonCode"] == "Creating"
    assert "LastUpdateStatus" not in created
    assert created["FunctionArn"] == ARN + name
    assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert created["CodeSize"] == len(data)
    assert created["Environment"] == {"Variables": {"AB": "1"}}
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    shown = aws("lambda", "get_function", FunctionName=name)
    configuration = shown["Configuration"]
    assert configuration["State"] == "Active"
    assert configuration["LastUpdateStatus"] == "Successful"
    assert configuration["RevisionId"] != created["RevisionId"]
    assert configuration["LastModified"].endswith("+0000")
    assert shown["Tags"] == {"t": "1"}
    assert "Concurrency" not in shown
    with urllib.request.urlopen(shown["Code"]["Location"]) as answer:
        assert answer.read() == data


def test_a_link_to_code_cannot_be_made_up(aws, function):
    link = aws("lambda", "get_function", FunctionName=function)["Code"]["Location"]
    for changed in (link[:-1] + ("0" if link[-1] != "0" else "1"), link.split("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as info:
            urllib.request.urlopen(changed)
        assert info.value.code == 403
        info.value.close()


def test_defaults(aws, function):
    shown = aws("lambda", "get_function_configuration", FunctionName=function)
    assert shown["Timeout"] == 3
    assert shown["MemorySize"] == 128
    assert shown["EphemeralStorage"] == {"Size": 512}
    assert shown["Architectures"] == ["x86_64"]
    assert shown["TracingConfig"] == {"Mode": "PassThrough"}
    assert shown["Version"] == "$LATEST"
    assert shown["PackageType"] == "Zip"
    assert shown["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function}"}
    assert "Environment" not in shown
    arn = shown["RuntimeVersionConfig"]["RuntimeVersionArn"]
    assert re.fullmatch(r"arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}", arn)
    listed = aws("lambda", "list_versions_by_function", FunctionName=function)["Versions"]
    assert not any("RuntimeVersionConfig" in version for version in listed)
    latest = aws("lambda", "get_function_configuration", FunctionName=f"{ARN}{function}:$LATEST")
    assert latest["FunctionArn"] == f"{ARN}{function}:$LATEST"


def test_update_of_code(aws, function):
    before = aws("lambda", "get_function_configuration", FunctionName=function)
    data = package("def handler(event, context):\n    return 2\n")
    updated = aws("lambda", "update_function_code", FunctionName=function, ZipFile=data)
    assert (updated["State"], updated["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updated["CodeSha256"] != before["CodeSha256"]
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    after = aws("lambda", "get_function_configuration", FunctionName=function)
    assert after["LastUpdateStatus"] == "Successful"
    assert len({before["RevisionId"], updated["RevisionId"], after["RevisionId"]}) == 3
    error = refused(
        aws,
        "update_function_code",
        FunctionName=function,
        ZipFile=data,
        RevisionId=before["RevisionId"],
    )
    assert (error.status, error.code) == (412, "PreconditionFailedException")
    assert "does not match the latest Revision Id" in error.message
    dry = package("x = 1\n")
    aws("lambda", "update_function_code", FunctionName=function, ZipFile=dry, DryRun=True)
    again = aws("lambda", "get_function_configuration", FunctionName=function)
    assert again["CodeSha256"] == after["CodeSha256"]


def test_delete(aws, function):
    error = refused(aws, "delete_function", FunctionName=function, Qualifier="$LATEST")
    assert error.message == "$LATEST version cannot be deleted without deleting the function."
    error = refused(aws, "delete_function", FunctionName=function, Qualifier="live")
    assert error.message == "Deletion of aliases is not currently supported."
    answer = aws("lambda", "delete_function", FunctionName=function)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    error = refused(aws, "get_function", FunctionName=function)
    assert (error.status, error.code) == (404, "ResourceNotFoundException")
    assert error.message == f"Function not found: {ARN}{function}"
    error = refused(aws, "delete_function", FunctionName=function, Qualifier="1")
    assert error.message == f"Function not found: {ARN}{function}"


def test_list_is_paged_and_shows_no_states(aws, function, name):
    create(aws, f"{name}-2")
    first = aws("lambda", "list_functions", MaxItems=1)
    assert len(first["Functions"]) == 1
    names = [item["FunctionName"] for item in first["Functions"]]
    marker = first.get("NextMarker")
    while marker:
        page = aws("lambda", "list_functions", Marker=marker, MaxItems=1)
        names += [item["FunctionName"] for item in page["Functions"]]
        marker = page.get("NextMarker")
    assert {function, f"{name}-2"} <= set(names)
    assert len(names) == len(set(names))
    assert not {"State", "LastUpdateStatus"} & set(first["Functions"][0])


@pytest.mark.parametrize(
    ("params", "status", "code", "message"),
    [
        ({"FunctionName": "x" * 65}, 400, "InvalidParameterValueException",
         (f"1 validation error detected: Value '{'x' * 65}' at 'functionName' failed to satisfy "
         "constraint: Member must have length less than or equal to 64")),
        ({"FunctionName": "x" * 141}, 400, "ValidationException", None),
        ({"FunctionName": "a/../b"}, 400, "ValidationException", None),
        ({"Role": "nobody"}, 400, "ValidationException",
         ("1 validation error detected: Value 'nobody' at 'role' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: "
         "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+")),
        ({"Runtime": "python9"}, 400, "InvalidParameterValueException", None),
        ({"Runtime": "nodejs22.x"}, 400, "InvalidParameterValueException",
         ("runtime nodejs22.x has no interpreter: no node is on the router's PATH. "
         'Set nodejs22.x = "/path/to/node" under [runtimes] in router.toml, or '
         "ROUTER_RUNTIMES=nodejs22.x=/path/to/node.")),
        ({"Runtime": "custom"}, 400, "InvalidParameterValueException",
         "Custom runtimes are not supported by this version of Event Router yet."),
        ({"Runtime": "python3.7"}, 400, "InvalidParameterValueException",
         ("The runtime parameter of python3.7 is no longer supported for creating or updating AWS "
         "Lambda functions. We recommend you use a supported runtime while creating or updating "
         "functions.")),
        ({"Timeout": 901}, 400, "ValidationException",
         ("1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
         "Member must have value less than or equal to 900")),
        ({"Timeout": 0, "MemorySize": 1}, 400, "ValidationException",
         ("2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: "
         "Member must have value greater than or equal to 1; Value '1' at 'memorySize' failed to "
         "satisfy constraint: Member must have value greater than or equal to 128")),
        ({"Architectures": ["x86_64", "arm64"]}, 400, "ValidationException",
         ("1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to "
         "satisfy constraint: Member must have length less than or equal to 1")),
        ({"Code": {"ZipFile": b"no zip"}}, 400, "InvalidParameterValueException",
         "Could not unzip uploaded file. Please check your file, then try to upload again."),
        ({"Code": {"S3Bucket": "bucket"}}, 400, "InvalidParameterValueException",
         "Both S3Bucket and S3Key are needed to take code from S3."),
        ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, 400,
         "InvalidParameterValueException",
         ("Please don't provide Handler or Runtime or Layer when the intended function PackageType "
         "is Image.")),
        ({"ImageConfig": {"Command": ["a"]}}, 400, "InvalidParameterValueException",
         "ImageConfig is for functions created with PackageType Image."),
        ({"Code": {"ImageUri": "x"}}, 400, "InvalidParameterValueException",
         "ImageUri is for functions created with PackageType Image."),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, 400,
         "InvalidParameterValueException",
         "Layer version arn:aws:lambda:us-east-1:000000000000:layer:l:1 does not exist."),
        ({"Environment": {"Variables": {"AWS_REGION": "x", "_HANDLER_X": "y"}}}, 400,
         "ValidationException", None),
        ({"Environment": {"Variables": {"AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y"}}}, 400,
         "InvalidParameterValueException",
         ("Lambda was unable to configure your environment variables because the environment "
         "variables you have provided contains reserved keys that are currently not supported "
         "for modification. Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT")),
        ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, 400,
         "InvalidParameterValueException",
         ("Lambda was unable to configure your environment variables because the environment "
         "variables you have provided exceeded the 4KB limit. String measured: "
         f'{{"BIG":"{"x" * 4096}"}}')),
    ],
)  # fmt: skip
def test_refusals_of_create(aws, name, params, status, code, message):
    with pytest.raises(ClientError) as info:
        create(aws, name, **params)
    error = info.value
    assert (error.status, error.code) == (status, code)
    if message is not None:
        assert error.message == message
    if code == "ValidationException":
        assert "Type" not in error.response


def test_name_taken(aws, function):
    with pytest.raises(ClientError) as info:
        create(aws, function)
    assert (info.value.status, info.value.code) == (409, "ResourceConflictException")
    assert info.value.message == f"Function already exist: {function}"
    assert info.value.response["Type"] == "User"


def test_other_regions_and_accounts(aws, function):
    arn = f"arn:aws:lambda:eu-west-1:000000000000:function:{function}"
    error = refused(aws, "get_function", FunctionName=arn)
    assert error.status == 404
    assert error.message == (
        "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
    )
    arn = f"arn:aws:lambda:us-east-1:111111111111:function:{function}"
    error = refused(aws, "get_function", FunctionName=arn)
    assert (error.status, error.code) == (403, "AccessDeniedException")
    assert "'111111111111'" in error.message
    error = refused(aws, "get_function", FunctionName=f"{function}:a", Qualifier="b")
    assert error.message == (
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def test_what_is_not_there_names_itself(aws):
    with pytest.raises(ClientError) as info:
        aws("sts", "get_session_token", validates=False)
    error = info.value
    assert (error.status, error.code) == (501, "NotImplementedException")
    assert error.message == (
        "sts GetSessionToken is not supported by this version of Event Router."
    )


def test_invoke(aws, function, harness):
    context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    answer = aws(
        "lambda",
        "invoke",
        FunctionName=function,
        Payload=b'{"a": 1}',
        LogType="Tail",
        ClientContext=context,
    )
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert base64.b64decode(answer["LogResult"]) == b"START\nEND\n"
    # One id in the answer's header and in the function.
    assert json.loads(answer["Payload"]) == {
        "event": {"a": 1},
        "request_id": answer["ResponseMetadata"]["RequestId"],
    }
    name, qualifier, payload, about = harness.invoker.calls[-1]
    assert (name, qualifier, payload) == (function, None, b'{"a": 1}')
    assert about["client_context"] == b'{"custom": {"a": 1}}'
    answer = aws("lambda", "invoke", FunctionName=f"{ARN}{function}:$LATEST")
    assert harness.invoker.calls[-1][1:3] == ("$LATEST", b"{}")
    assert "LogResult" not in answer


def test_invoke_of_a_function_that_fails(aws, function):
    answer = aws("lambda", "invoke", FunctionName=function, Payload=b'"fail"')
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"] == b'{"errorMessage":"no"}'


def test_dry_run_runs_nothing(aws, function, harness):
    before = len(harness.invoker.calls)
    answer = aws("lambda", "invoke", FunctionName=function, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert len(harness.invoker.calls) == before


@pytest.mark.parametrize(
    ("params", "status", "code", "message"),
    [
        ({"Payload": b"{"}, 400, "InvalidRequestContentException",
         "Could not parse request body into json: Could not parse payload into json: "),
        ({"Payload": b"[" * 100_000}, 400, "InvalidRequestContentException", ""),
        ({"Payload": b'"' + b"x" * 6_291_456 + b'"'}, 413, "RequestEntityTooLargeException",
         "Request must be smaller than 6291456 bytes for the InvokeFunction operation"),
        ({"ClientContext": "!"}, 400, "InvalidRequestContentException", ""),
        ({"Payload": b'"throttle"'}, 429, "TooManyRequestsException", "Rate Exceeded."),
        ({"InvocationType": "Nope"}, 400, "ValidationException",
         ("1 validation error detected: Value 'Nope' at 'invocationType' failed to satisfy "
         "constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]")),
        ({"Qualifier": "nope"}, 404, "ResourceNotFoundException", "Function not found: "),
    ],
)  # fmt: skip
def test_refusals_of_invoke(aws, function, params, status, code, message):
    error = refused(aws, "invoke", FunctionName=function, **params)
    assert (error.status, error.code) == (status, code)
    assert error.message.startswith(message)
    if status == 429:
        assert error.response["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert error.headers["retry-after"] == "1"


def test_invoke_of_nothing(aws, name):
    error = refused(aws, "invoke", FunctionName=name)
    assert (error.status, error.code) == (404, "ResourceNotFoundException")
    assert error.message == f"Function not found: {ARN}{name}:$LATEST"


def test_unknown_members_are_accepted_and_counted(harness, name):
    from router.telemetry import metrics

    counter = metrics.UNKNOWN_MEMBERS.labels("lambda", "CreateFunction")
    before = counter.value
    body = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": base64.b64encode(package()).decode(), "Novelty": 1},
        "MemberOfTomorrow": {"a": 1},
    }
    connection = http.client.HTTPConnection("127.0.0.1", harness.servers["open"].port)
    connection.request("POST", "/2015-03-31/functions/", json.dumps(body))
    answer = connection.getresponse()
    assert answer.status == 201
    assert uuid.UUID(answer.headers["x-amzn-RequestId"])
    answer.read()
    connection.close()
    assert counter.value == before + 2


def test_cli(cli, name, tmp_path):
    path = tmp_path / "code.zip"
    path.write_bytes(package())
    cli(
        "lambda", "create-function", "--function-name", name, "--runtime", "python3.12",
        "--role", ROLE, "--handler", "app.handler", "--zip-file", f"fileb://{path}",
    )  # fmt: skip
    cli("lambda", "wait", "function-active-v2", "--function-name", name)
    out = tmp_path / "out.json"
    answer = cli("lambda", "invoke", "--function-name", name, "--payload", '{"k": 1}', str(out))
    assert answer["StatusCode"] == 200
    assert json.loads(out.read_text())["event"] == {"k": 1}


def test_file_systems_are_kept_when_a_folder_is_mapped(aws, name):
    arn = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-" + "0" * 17
    given = [{"Arn": arn, "LocalMountPath": "/mnt/ledger"}]
    assert create(aws, name, FileSystemConfigs=given)["FileSystemConfigs"] == given
    shown = aws("lambda", "get_function", FunctionName=name)
    assert shown["Configuration"]["FileSystemConfigs"] == given
    shown = aws("lambda", "get_function_configuration", FunctionName=name)
    assert shown["FileSystemConfigs"] == given
    other = [{"Arn": arn, "LocalMountPath": "/mnt/other"}]
    with pytest.raises(ClientError) as info:
        create(aws, f"{name}-2", FileSystemConfigs=other)
    assert info.value.code == "InvalidParameterValueException"
    assert "ROUTER_FILE_SYSTEMS=/mnt/other=" in info.value.message


def test_logging_is_kept_and_levels_need_json(aws, name):
    config = {"LogFormat": "JSON", "LogGroup": "/shop", "SystemLogLevel": "WARN"}
    shown = create(aws, name, LoggingConfig=config)["LoggingConfig"]
    assert shown == {**config, "ApplicationLogLevel": "INFO"}
    with pytest.raises(ClientError) as info:
        create(aws, f"{name}-2", LoggingConfig={"ApplicationLogLevel": "DEBUG"})
    assert info.value.code == "InvalidParameterValueException"
    assert info.value.message == (
        'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your '
        'request or change the LogFormat to "JSON" and try again.'
    )


def test_a_reply_as_a_stream_of_events(aws, function):
    """Section 16, line 6: botocore iterates the chunks and the end."""
    answer = aws(
        "lambda", "invoke_with_response_stream", FunctionName=function, Payload=b'"hello"',
        LogType="Tail",
    )  # fmt: skip
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    chunk, end = answer["EventStream"]
    reply = json.loads(chunk["PayloadChunk"]["Payload"])
    assert reply["event"] == "hello"
    assert reply["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert set(end["InvokeComplete"]) == {"LogResult"}
    assert base64.b64decode(end["InvokeComplete"]["LogResult"]) == b"START\nEND\n"
    answer = aws("lambda", "invoke_with_response_stream", FunctionName=function, Payload=b'"fail"')
    assert answer["StatusCode"] == 200
    (end,) = answer["EventStream"]
    assert end["InvokeComplete"] == {
        "ErrorCode": "Error",
        "ErrorDetails": '{"errorMessage":"no"}',
    }
    answer = aws(
        "lambda", "invoke_with_response_stream", FunctionName=function, InvocationType="DryRun"
    )
    assert answer["StatusCode"] == 204
    for params, status in (
        ({"FunctionName": "none-such"}, 404),
        ({"FunctionName": function, "Payload": b"no json"}, 400),
        ({"FunctionName": function, "Payload": b'"throttle"'}, 429),
    ):
        assert refused(aws, "invoke_with_response_stream", **params).status == status


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_streamed_response_arrives_in_pieces(aws, function, is_failing):
    """Section 16, line 6: a mid-stream error still is a 200, and the end says it."""
    event = b'"stream and fail"' if is_failing else b'"stream"'
    answer = aws(
        "lambda", "invoke_with_response_stream", FunctionName=function, Payload=event,
        LogType="Tail",
    )  # fmt: skip
    assert answer["StatusCode"] == 200
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    *chunks, end = answer["EventStream"]
    assert [chunk["PayloadChunk"]["Payload"] for chunk in chunks] == [b"one ", b"two"]
    told = {"LogResult": base64.b64encode(b"LOG").decode()}
    if is_failing:
        told |= {"ErrorCode": "Runtime.StreamError", "ErrorDetails": '{"errorMessage":"no"}'}
    assert end["InvokeComplete"] == told
