"""Resource policies, and what functions have without effect.

`functions-and-invocation.md` 5.5, 5.6, 15.
"""

import json

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create, refused

BUCKET = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


@pytest.fixture(scope="module")
def shared(aws):
    """With a version 1 and an alias."""
    create(aws, "p-shared", Publish=True)
    aws("lambda", "create_alias", FunctionName="p-shared", Name="live", FunctionVersion="1")
    return "p-shared"


@pytest.fixture
def function(aws, shared):
    yield shared
    for qualifier in ("", ":1", ":live"):
        arn = f"{ARN}{shared}{qualifier}"
        try:
            aws("lambda", "delete_resource_policy", ResourceArn=arn)
        except ClientError as error:
            assert error.status == 404


def add(aws, function, **more):
    return aws("lambda", "add_permission", FunctionName=function, **{**BUCKET, **more})


def policy(aws, function, **which):
    shown = aws("lambda", "get_policy", FunctionName=function, **which)
    return json.loads(shown["Policy"]), shown["RevisionId"]


@pytest.mark.parametrize(
    ("more", "principal", "condition"),
    [
        ({}, {"Service": "s3.amazonaws.com"}, None),
        ({"Principal": "123456789012"}, {"AWS": "arn:aws:iam::123456789012:root"}, None),
        ({"Principal": "arn:aws:iam::123456789012:role/r"},
         {"AWS": "arn:aws:iam::123456789012:role/r"}, None),
        ({"Principal": "*", "FunctionUrlAuthType": "NONE", "Action": "lambda:InvokeFunctionUrl"},
         "*", {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        ({"Principal": "*", "InvokedViaFunctionUrl": True},
         "*", {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
        ({"SourceArn": "arn:aws:s3:::bucket", "SourceAccount": "123456789012"},
         {"Service": "s3.amazonaws.com"},
         {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
          "StringEquals": {"AWS:SourceAccount": "123456789012"}}),
        ({"PrincipalOrgID": "o-1234567890", "EventSourceToken": "t"},
         {"Service": "s3.amazonaws.com"},
         {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890", "lambda:EventSourceToken": "t"}}),
    ],
)  # fmt: skip
def test_members_become_a_statement(aws, function, more, principal, condition):
    answer = add(aws, function, **more)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = json.loads(answer["Statement"])
    assert statement == {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": principal,
        "Action": more.get("Action", "lambda:InvokeFunction"),
        "Resource": ARN + function,
        **({"Condition": condition} if condition else {}),
    }
    document, _revision = policy(aws, function)
    assert document == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}


def test_life_of_a_policy(aws, function):
    add(aws, function)
    _, first = policy(aws, function)
    aws("lambda", "add_permission", FunctionName=function, RevisionId=first,
        **{**BUCKET, "StatementId": "again"})  # fmt: skip
    document, second = policy(aws, function)
    assert [one["Sid"] for one in document["Statement"]] == ["s3", "again"]
    assert first != second
    for operation, more in (
        ("add_permission", {**BUCKET, "StatementId": "third"}),
        ("remove_permission", {"StatementId": "s3"}),
    ):
        error = refused(aws, operation, FunctionName=function, RevisionId=first, **more)
        assert (error.status, error.code) == (412, "PreconditionFailedException")
        assert error.message == (
            "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy "
            "API to retrieve the latest Revision Id"
        )
    error = refused(aws, "add_permission", FunctionName=function, **BUCKET)
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == (
        "The statement id (s3) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )
    for sid in ("s3", "again"):
        answer = aws("lambda", "remove_permission", FunctionName=function, StatementId=sid)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    error = refused(aws, "get_policy", FunctionName=function)
    assert (error.status, error.message) == (404, "The resource you requested does not exist.")


def test_each_qualifier_has_a_policy_of_its_own(aws, function):
    for qualifier in ("1", "live"):
        statement = json.loads(add(aws, function, Qualifier=qualifier)["Statement"])
        assert statement["Resource"] == f"{ARN}{function}:{qualifier}"
        assert policy(aws, f"{function}:{qualifier}")[0]["Statement"] == [statement]
    assert refused(aws, "get_policy", FunctionName=function).status == 404


def test_texts(aws, function):
    arn = ARN + function
    for operation, params, status, message in (
        ("add_permission", {**BUCKET, "Qualifier": "$LATEST"}, 400,
         "We currently do not support adding policies for $LATEST."),
        ("add_permission", {**BUCKET, "Principal": "nobody"}, 400,
         "The provided principal was invalid. Please check the principal and try again."),
        ("add_permission", {**BUCKET, "Qualifier": "dead"}, 404,
         f"Cannot find alias arn: {arn}:dead"),
        ("add_permission", {**BUCKET, "Qualifier": "9"}, 404, f"Function not found: {arn}:9"),
        ("add_permission", {**BUCKET, "FunctionName": "none"}, 404,
         f"Function not found: {ARN}none"),
        ("remove_permission", {"StatementId": "x"}, 404,
         "No policy is associated with the given resource."),
        ("remove_permission", {"StatementId": "x", "FunctionName": "none"}, 404,
         f"No policy found for: {ARN}none"),
        ("get_policy", {}, 404, "The resource you requested does not exist."),
        ("get_policy", {"FunctionName": "none"}, 404, f"Function not found: {ARN}none"),
    ):  # fmt: skip
        error = refused(aws, operation, **{"FunctionName": function, **params})
        assert (error.status, error.message) == (status, message)
    add(aws, function)
    error = refused(aws, "remove_permission", FunctionName=function, StatementId="x")
    assert error.message == "Statement x is not found in resource policy."


def test_a_policy_has_a_longest_length(aws, function):
    big = {"EventSourceToken": "t" * 250}

    def fill():
        for number in range(1_000):
            add(aws, function, StatementId=f"s{number}", **big)

    with pytest.raises(ClientError, match="is bigger than the limit") as info:
        fill()
    assert info.value.code == "PolicyLengthExceededException"
    assert len(json.dumps(policy(aws, function)[0], separators=(",", ":"))) <= 20_480


def test_a_policy_as_a_whole(aws, function):
    """The newest operations: a document by ARN."""
    where = {"ResourceArn": ARN + function}
    statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "a", **statement}]})
    answer = aws("lambda", "put_resource_policy", **where, Policy=document)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    shown = aws("lambda", "get_resource_policy", **where)
    assert (shown["Policy"], shown["RevisionId"]) == (answer["Policy"], answer["RevisionId"])
    assert policy(aws, function) == (json.loads(shown["Policy"]), shown["RevisionId"])
    add(aws, function)
    error = refused(
        aws, "put_resource_policy", **where, Policy=document, RevisionId=answer["RevisionId"]
    )
    assert error.status == 412
    aws("lambda", "put_resource_policy", **where, Policy=document)
    assert [one["Sid"] for one in policy(aws, function)[0]["Statement"]] == ["a"]
    for text in ("{", "{}", '{"Statement": []}', '{"Statement": [{"Effect": "Allow"}]}',
                 json.dumps({"Statement": [{"Sid": "a", **statement}] * 2})):  # fmt: skip
        assert refused(aws, "put_resource_policy", **where, Policy=text).status == 400
    assert aws("lambda", "delete_resource_policy", **where)["ResponseMetadata"][
        "HTTPStatusCode"
    ] == 204  # fmt: skip
    assert refused(aws, "get_resource_policy", **where).status == 404


def test_a_policy_goes_with_what_it_is_of(aws, function):
    name = "p-gone"
    create(aws, name, Publish=True)
    aws("lambda", "create_alias", FunctionName=name, Name="live", FunctionVersion="1")
    add(aws, name)
    add(aws, name, Qualifier="live")
    aws("lambda", "delete_alias", FunctionName=name, Name="live")
    aws("lambda", "create_alias", FunctionName=name, Name="live", FunctionVersion="1")
    assert refused(aws, "get_policy", FunctionName=name, Qualifier="live").status == 404
    aws("lambda", "delete_function", FunctionName=name)
    create(aws, name)
    assert refused(aws, "get_policy", FunctionName=name).status == 404


def test_recursion_and_runtime_management_are_kept(aws, function):
    where = {"FunctionName": function}
    assert aws("lambda", "get_function_recursion_config", **where)["RecursiveLoop"] == "Terminate"
    put = aws("lambda", "put_function_recursion_config", **where, RecursiveLoop="Allow")
    assert put["RecursiveLoop"] == "Allow"
    assert aws("lambda", "get_function_recursion_config", **where)["RecursiveLoop"] == "Allow"
    shown = aws("lambda", "get_runtime_management_config", **where)
    assert (shown["UpdateRuntimeOn"], shown["FunctionArn"]) == (
        "Auto", f"{ARN}{function}:$LATEST"
    )  # fmt: skip
    runtime = f"arn:aws:lambda:us-east-1::runtime:{'0' * 64}"
    manual = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime}
    put = aws("lambda", "put_runtime_management_config", **where, Qualifier="1", **manual)
    assert put["FunctionArn"] == f"{ARN}{function}:1"
    shown = aws("lambda", "get_runtime_management_config", **where, Qualifier="1")
    assert (shown["UpdateRuntimeOn"], shown["RuntimeVersionArn"]) == ("Manual", runtime)
    error = refused(aws, "put_runtime_management_config", **where, UpdateRuntimeOn="Manual")
    assert error.status == 400


def test_what_there_is_none_of(aws, function):
    """Terraform asks for a function's code signing at each read, and fails on an error."""
    answer = aws("lambda", "get_function_code_signing_config", FunctionName=function)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "CodeSigningConfigArn" not in answer
    assert refused(aws, "get_function_code_signing_config", FunctionName="none").status == 404
    assert aws("lambda", "list_code_signing_configs")["CodeSigningConfigs"] == []
    assert aws("lambda", "list_capacity_providers")["CapacityProviders"] == []
    listed = aws("lambda", "list_durable_executions_by_function", FunctionName=function)
    assert listed["DurableExecutions"] == []
    config = f"arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-{'0' * 17}"
    error = refused(aws, "get_code_signing_config", CodeSigningConfigArn=config)
    assert (error.status, error.message) == (
        404, f"The Lambda code signing configuration {config} can not be found."
    )  # fmt: skip
    assert "Type" not in error.response
    error = refused(
        aws,
        "put_function_code_signing_config",
        FunctionName=function,
        CodeSigningConfigArn=config,
    )
    assert (error.status, error.code) == (404, "CodeSigningConfigNotFoundException")
    assert refused(aws, "get_capacity_provider", CapacityProviderName="x").status == 404
