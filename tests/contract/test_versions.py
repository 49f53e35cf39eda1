"""Versions as boto3 sees them: publish, list, invoke, delete.

`functions-and-invocation.md` 4.1 to 4.4.
"""

import pytest

from tests.contract.test_functions import ARN, create, package, refused

OTHER = "def handler(event, context):\n    return 'other'\n"


@pytest.fixture
def function(aws, name):
    create(aws, name)
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    return name


@pytest.fixture
def name(request):
    return f"v-{request.node.name.translate(str.maketrans('[]', '--'))}"[:60]


def publish(aws, name, **more):
    return aws("lambda", "publish_version", FunctionName=name, **more)


def configure(aws, name, **more):
    aws("lambda", "wait:function_updated_v2", FunctionName=name)
    shown = aws("lambda", "update_function_configuration", FunctionName=name, **more)
    aws("lambda", "wait:function_updated_v2", FunctionName=name)
    return shown


def revision(aws, name, **more):
    return aws("lambda", "get_function_configuration", FunctionName=name, **more)["RevisionId"]


def test_publishing_counts_up_and_never_twice_the_same_number(aws, function):
    before = revision(aws, function)
    first = publish(aws, function, Description="first")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["Description"]) == ("1", "first")
    assert first["FunctionArn"] == f"{ARN}{function}:1"
    assert (first["State"], first["LastUpdateStatus"]) == ("Active", "Successful")
    aws("lambda", "wait:published_version_active", FunctionName=function, Qualifier="1")
    after = revision(aws, function)
    assert len({before, after, first["RevisionId"]}) == 3
    # Nothing has changed: the same version, and no revision changes.
    again = publish(aws, function, Description="another word")
    assert (again["Version"], again["RevisionId"]) == ("1", first["RevisionId"])
    assert again["Description"] == "first"
    assert revision(aws, function) == after
    configure(aws, function, MemorySize=256)
    assert publish(aws, function)["Version"] == "2"
    aws("lambda", "delete_function", FunctionName=function, Qualifier="2")
    assert publish(aws, function)["Version"] == "3"
    listed = aws("lambda", "list_versions_by_function", FunctionName=function)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "3"]
    assert [one["FunctionArn"] for one in listed] == [
        f"{ARN}{function}:{version}" for version in ("$LATEST", "1", "3")
    ]
    assert [one["MemorySize"] for one in listed] == [256, 128, 256]
    assert not {"State", "LastUpdateStatus"} & set(listed[1])


def test_a_version_keeps_what_it_was(aws, function, harness):
    publish(aws, function)
    code = package(OTHER)
    updated = aws("lambda", "update_function_code", FunctionName=function, ZipFile=code)
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    configure(aws, function, Environment={"Variables": {"AB": "1"}}, Timeout=9)
    one = aws("lambda", "get_function", FunctionName=function, Qualifier="1")["Configuration"]
    assert one["CodeSha256"] != updated["CodeSha256"]
    assert one["Timeout"] == 3
    assert "Environment" not in one
    answer = aws("lambda", "invoke", FunctionName=f"{function}:1")
    assert answer["ExecutedVersion"] == "1"
    assert harness.invoker.calls[-1][:2] == (function, "1")
    assert aws("lambda", "invoke", FunctionName=function)["ExecutedVersion"] == "$LATEST"
    error = refused(aws, "invoke", FunctionName=function, Qualifier="2")
    assert error.message == f"Function not found: {ARN}{function}:2"


def test_create_and_update_publish(aws, name):
    created = create(aws, name, Publish=True)
    assert (created["Version"], created["State"]) == ("1", "Pending")
    assert created["FunctionArn"] == ARN + name
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    updated = aws(
        "lambda", "update_function_code", FunctionName=name, ZipFile=package(OTHER), Publish=True
    )
    assert (updated["Version"], updated["State"]) == ("2", "Pending")
    assert updated["FunctionArn"] == f"{ARN}{name}:2"
    aws("lambda", "wait:function_updated_v2", FunctionName=name)
    aws("lambda", "wait:published_version_active", FunctionName=name, Qualifier="2")
    both = [
        aws("lambda", "get_function_configuration", FunctionName=name, **which)["CodeSha256"]
        for which in ({}, {"Qualifier": "2"}, {"Qualifier": "1"})
    ]
    assert both[0] == both[1] != both[2]


def test_terraform_polls_a_version_by_arn_and_qualifier(aws, function):
    publish(aws, function)
    shown = aws(
        "lambda", "get_function_configuration", FunctionName=f"{ARN}{function}:1", Qualifier="1"
    )
    assert shown["LastUpdateStatus"] == "Successful"


def test_stale_callers_are_told(aws, function):
    stale = revision(aws, function)
    configure(aws, function, Timeout=5)
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    for operation, more in (
        ("publish_version", {}),
        ("update_function_configuration", {"Timeout": 6}),
        ("update_function_code", {"ZipFile": package()}),
    ):
        error = refused(aws, operation, FunctionName=function, RevisionId=stale, **more)
        assert (error.status, error.code) == (412, "PreconditionFailedException")
        assert error.message == text
    publish(aws, function, RevisionId=revision(aws, function))
    current = aws("lambda", "get_function_configuration", FunctionName=function)["CodeSha256"]
    error = refused(aws, "publish_version", FunctionName=function, CodeSha256="c3RhbGU=")
    assert error.message == (
        f"CodeSHA256 (c3RhbGU=) is different from current CodeSHA256 in $LATEST ({current}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )


def test_a_version_that_an_alias_names_cannot_be_deleted(aws, function):
    publish(aws, function)
    aws("lambda", "create_alias", FunctionName=function, Name="live", FunctionVersion="1")
    error = refused(aws, "delete_function", FunctionName=function, Qualifier="1")
    assert (error.status, error.code) == (409, "ResourceConflictException")
    aws("lambda", "delete_alias", FunctionName=function, Name="live")
    aws("lambda", "delete_function", FunctionName=function, Qualifier="1")
    aws("lambda", "delete_function", FunctionName=function, Qualifier="17")  # 204, as AWS
    error = refused(aws, "get_function", FunctionName=function, Qualifier="1")
    assert error.message == f"Function not found: {ARN}{function}:1"


def test_all_goes_with_the_function_and_counting_begins_anew(aws, function):
    publish(aws, function)
    aws("lambda", "create_alias", FunctionName=function, Name="live", FunctionVersion="1")
    aws("lambda", "delete_function", FunctionName=function)
    create(aws, function)
    aws("lambda", "wait:function_active_v2", FunctionName=function)
    for qualifier in ("1", "live"):
        error = refused(aws, "get_function", FunctionName=function, Qualifier=qualifier)
        assert error.message == f"Function not found: {ARN}{function}:{qualifier}"
    assert publish(aws, function)["Version"] == "1"


def test_lists_are_paged(aws, function):
    for memory in (128, 256, 384):
        configure(aws, function, MemorySize=memory)
        publish(aws, function)
    for operation, key, more in (
        ("list_versions_by_function", "Versions", {"FunctionName": function}),
        ("list_functions", "Functions", {"FunctionVersion": "ALL"}),
    ):
        found = pages(aws, operation, key, MaxItems=1, **more)
        mine = [arn for arn in found if f":{function}:" in arn]
        assert mine == [f"{ARN}{function}:{version}" for version in ("$LATEST", 1, 2, 3)]
        error = refused(aws, operation, Marker="f:x", **more)
        assert error.code == "InvalidParameterValueException"
    assert pages(aws, "list_functions", "Functions").count(ARN + function) == 1


def pages(aws, operation, key, **params):
    """The ARNs on all pages: other tests leave functions in the same router."""
    found, marker = [], {}
    while True:
        page = aws("lambda", operation, **params, **marker)
        found += [one["FunctionArn"] for one in page[key]]
        if "NextMarker" not in page:
            return found
        marker = {"Marker": page["NextMarker"]}


def test_configuration_merges(aws, function):
    """4.1: what is not given stays; empty values take away."""
    before = aws("lambda", "get_function_configuration", FunctionName=function)
    updated = configure(
        aws,
        function,
        Description="d",
        Timeout=7,
        MemorySize=512,
        Handler="app.other",
        Role="arn:aws:iam::000000000000:role/other",
        Runtime="python3.11",
        Environment={"Variables": {"AB": "1"}},
        EphemeralStorage={"Size": 1024},
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
        TracingConfig={"Mode": "Active"},
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
    )
    assert (updated["State"], updated["LastUpdateStatus"]) == ("Active", "InProgress")
    after = aws("lambda", "get_function_configuration", FunctionName=function)
    assert len({before["RevisionId"], updated["RevisionId"], after["RevisionId"]}) == 3
    assert after["Description"] == "d"
    assert (after["Timeout"], after["MemorySize"]) == (7, 512)
    assert (after["Handler"], after["Runtime"]) == ("app.other", "python3.11")
    assert after["EphemeralStorage"] == {"Size": 1024}
    assert after["TracingConfig"] == {"Mode": "Active"}
    assert after["CodeSha256"] == before["CodeSha256"]
    configure(aws, function, DeadLetterConfig={}, LoggingConfig={"SystemLogLevel": "WARN"})
    after = aws("lambda", "get_function_configuration", FunctionName=function)
    assert after["DeadLetterConfig"]["TargetArn"].endswith(":dead")
    assert after["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "DEBUG",
        "SystemLogLevel": "WARN",
        "LogGroup": f"/aws/lambda/{function}",
    }
    assert after["Environment"] == {"Variables": {"AB": "1"}}
    configure(
        aws,
        function,
        DeadLetterConfig={"TargetArn": ""},
        Environment={"Variables": {}},
        LoggingConfig={"LogFormat": "Text"},
        Description="",
    )
    after = aws("lambda", "get_function_configuration", FunctionName=function)
    assert not {"DeadLetterConfig", "Environment"} & set(after)
    assert after["Description"] == ""
    assert after["LoggingConfig"]["LogFormat"] == "Text"
    # A redundant update is an update (4.3).
    again = configure(aws, function, Timeout=7)
    assert again["RevisionId"] != after["RevisionId"]


def test_layers_are_part_of_a_version(aws, function):
    layer = aws(
        "lambda", "publish_layer_version", LayerName=function, Content={"ZipFile": package("x = 1")}
    )["LayerVersionArn"]
    configure(aws, function, Layers=[layer])
    publish(aws, function)
    configure(aws, function, Timeout=5)
    configure(aws, function, Layers=[])
    shown = [
        aws("lambda", "get_function_configuration", FunctionName=function, **which)
        for which in ({"Qualifier": "1"}, {})
    ]
    assert [one["Arn"] for one in shown[0]["Layers"]] == [layer]
    assert "Layers" not in shown[1]
    assert publish(aws, function)["Version"] == "2"


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"Timeout": 901}, "ValidationException",
         ("1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
         "Member must have value less than or equal to 900")),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException",
         ("Lambda was unable to configure your environment variables because the environment "
         "variables you have provided contains reserved keys that are currently not supported "
         "for modification. Reserved keys used in this request: AWS_REGION")),
        ({"Runtime": "python3.7"}, "InvalidParameterValueException", None),
        ({"Runtime": "nope"}, "InvalidParameterValueException", None),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:none:1"]},
         "InvalidParameterValueException",
         "Layer version arn:aws:lambda:us-east-1:000000000000:layer:none:1 does not exist."),
        ({"FileSystemConfigs": [{"LocalMountPath": "/mnt/other", "Arn": (
            "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0"
        )}]}, "InvalidParameterValueException", None),
        ({"FunctionName": "none"}, "ResourceNotFoundException",
         f"Function not found: {ARN}none"),
    ],
)  # fmt: skip
def test_refusals_of_an_update_change_nothing(aws, shared, params, code, message):
    before = revision(aws, shared)
    error = refused(aws, "update_function_configuration", **{"FunctionName": shared, **params})
    assert error.code == code
    if message is not None:
        assert error.message == message
    assert revision(aws, shared) == before


@pytest.fixture(scope="module")
def shared(aws):
    create(aws, "v-shared")
    aws("lambda", "wait:function_active_v2", FunctionName="v-shared")
    return "v-shared"


def test_line_10_what_terraform_calls_in_its_order(aws, name):
    """Section 13: create, read, change, publish, read without a difference, destroy."""
    role = "arn:aws:iam::000000000000:role/any"
    aws(
        "lambda", "create_function", FunctionName=name, Role=role, Runtime="python3.12",
        Handler="app.handler", Code={"ZipFile": package()}, Timeout=3, MemorySize=128,
        TracingConfig={"Mode": "PassThrough"}, Publish=True, Tags={"t": "1"},
    )  # fmt: skip
    aws("lambda", "wait:function_exists", FunctionName=name)
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    aws("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=1)

    def read():
        shown = aws("lambda", "get_function", FunctionName=name)
        versions = aws("lambda", "list_versions_by_function", FunctionName=name, MaxItems=10000)
        aws("lambda", "get_function_code_signing_config", FunctionName=name)
        for answer in (shown, versions):
            answer.pop("ResponseMetadata")
        shown["Code"].pop("Location")
        return shown, versions["Versions"][-1]

    before = read()
    assert before == read()
    assert before[0]["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    assert before[1]["Version"] == "1"
    configure(aws, name, Environment={"Variables": {"AB": "1"}}, Timeout=9)
    aws("lambda", "update_function_code", FunctionName=name, ZipFile=package(OTHER))
    aws("lambda", "wait:function_updated_v2", FunctionName=name)
    aws("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=2)
    number = publish(aws, name)["Version"]
    polled = aws(
        "lambda", "get_function_configuration", FunctionName=f"{ARN}{name}:{number}",
        Qualifier=number,
    )  # fmt: skip
    assert (number, polled["LastUpdateStatus"]) == ("2", "Successful")
    alias = {"FunctionName": name, "Name": "live"}
    aws("lambda", "create_alias", **alias, FunctionVersion=number)
    permission = {"FunctionName": name, "StatementId": "s", "Qualifier": "live"}
    aws("lambda", "add_permission", **permission, Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::bucket")  # fmt: skip
    policy = aws("lambda", "get_policy", FunctionName=name, Qualifier="live")["Policy"]
    assert '"Action":"lambda:InvokeFunction"' in policy
    after = read()
    assert after == read()
    assert after[1]["Version"] == "2"
    assert after[1]["CodeSha256"] == after[0]["Configuration"]["CodeSha256"]
    aws("lambda", "remove_permission", **permission)
    assert refused(aws, "get_policy", FunctionName=name, Qualifier="live").status == 404
    aws("lambda", "delete_alias", **alias)
    aws("lambda", "delete_function", FunctionName=name)
    assert refused(aws, "get_function", FunctionName=name).code == "ResourceNotFoundException"


def test_line_11_every_waiter_of_the_command_line(aws, cli, function):
    publish(aws, function)
    for waiter in (
        "function-exists", "function-active", "function-active-v2", "function-updated",
        "function-updated-v2",
    ):  # fmt: skip
        cli("lambda", "wait", waiter, "--function-name", function)
    cli("lambda", "wait", "published-version-active", "--function-name", f"{function}:1")
