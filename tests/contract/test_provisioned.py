"""Provisioned concurrency through boto3 (`functions-and-invocation.md` 5.1, 5.3)."""

import uuid

import pytest

from router.model.concurrency import INIT_FAILED, ProvisionedStatus
from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create

UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."


@pytest.fixture
def function(aws):
    """With version 1 and alias `live` on it."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    create(aws, name, Publish=True)
    aws("lambda", "create_alias", FunctionName=name, Name="live", FunctionVersion="1")
    aws("lambda", "create_alias", FunctionName=name, Name="now", FunctionVersion="$LATEST")
    yield name
    aws("lambda", "delete_function", FunctionName=name)


@pytest.fixture
def put(aws, function):
    def put(qualifier, count, name=function):
        return aws(
            "lambda",
            "put_provisioned_concurrency_config",
            validates=False,
            FunctionName=name,
            Qualifier=qualifier,
            ProvisionedConcurrentExecutions=count,
        )

    return put


def refusal(call, *words):
    with pytest.raises(ClientError) as info:
        call(*words)
    return info.value.status, info.value.code, info.value.message


def shown(answer):
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


@pytest.mark.parametrize("qualifier", ["1", "live"])
def test_it_is_asked_for_shown_and_taken_back(harness, aws, function, put, qualifier):
    which = {"FunctionName": function, "Qualifier": qualifier}
    done = put(qualifier, 3)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 202
    wanted = {
        "RequestedProvisionedConcurrentExecutions": 3,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": done["LastModified"],
    }
    assert shown(done) == wanted
    assert done["LastModified"].endswith("+0000")
    got = aws("lambda", "get_provisioned_concurrency_config", **which)
    assert shown(got) == wanted
    harness.statuses.by_function[function] = ProvisionedStatus("FAILED", 1, INIT_FAILED)
    listed = aws("lambda", "list_provisioned_concurrency_configs", FunctionName=function)
    assert listed["ProvisionedConcurrencyConfigs"] == [
        wanted
        | {
            "FunctionArn": f"{ARN}{function}:{qualifier}",
            "AvailableProvisionedConcurrentExecutions": 1,
            "AllocatedProvisionedConcurrentExecutions": 1,
            "Status": "FAILED",
            "StatusReason": "FUNCTION_ERROR_INIT_FAILURE",
        }
    ]
    for _ in range(2):
        gone = aws("lambda", "delete_provisioned_concurrency_config", **which)
        assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ClientError) as info:
        aws("lambda", "get_provisioned_concurrency_config", **which)
    assert (info.value.status, info.value.code, info.value.message) == (
        404,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    )


def test_it_goes_with_its_alias_and_its_function(aws, function, put):
    put("live", 1)
    aws("lambda", "delete_alias", FunctionName=function, Name="live")
    aws("lambda", "create_alias", FunctionName=function, Name="live", FunctionVersion="1")
    listed = aws("lambda", "list_provisioned_concurrency_configs", FunctionName=function)
    assert listed["ProvisionedConcurrencyConfigs"] == []


def test_pages(aws, function, put):
    aws("lambda", "update_function_configuration", FunctionName=function, Timeout=9)
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    aws("lambda", "publish_version", FunctionName=function)
    put("1", 1)
    put("2", 1)
    first = aws("lambda", "list_provisioned_concurrency_configs", FunctionName=function, MaxItems=1)
    second = aws(
        "lambda",
        "list_provisioned_concurrency_configs",
        FunctionName=function,
        MaxItems=1,
        Marker=first["NextMarker"],
    )
    found = first["ProvisionedConcurrencyConfigs"] + second["ProvisionedConcurrencyConfigs"]
    assert [it["FunctionArn"] for it in found] == [f"{ARN}{function}:1", f"{ARN}{function}:2"]
    assert "NextMarker" not in second


def test_what_is_not_published_has_none(aws, function, put):
    for qualifier in ("$LATEST", "now"):
        assert refusal(put, qualifier, 1) == (400, "InvalidParameterValueException", UNPUBLISHED)
    for operation in ("get", "delete"):
        with pytest.raises(ClientError) as info:
            aws(
                "lambda",
                f"{operation}_provisioned_concurrency_config",
                FunctionName=function,
                Qualifier="$LATEST",
            )
        text = "The function resource provided must be an alias or a published version."
        assert (info.value.status, info.value.message) == (400, text)


def test_nothing_there(aws, function, put):
    arn = f"{ARN}{function}"
    code = "ResourceNotFoundException"
    assert refusal(put, "7", 1) == (404, code, f"Function not found: {arn}:7")
    assert refusal(put, "dead", 1) == (404, code, f"Cannot find alias arn: {arn}:dead")
    assert refusal(put, "1", 1, "nobody") == (404, code, f"Function not found: {ARN}nobody:1")
    with pytest.raises(ClientError) as info:
        aws("lambda", "list_provisioned_concurrency_configs", FunctionName="nobody")
    assert info.value.message == f"Function not found: {ARN}nobody"


def test_a_version_has_it_by_itself_or_by_an_alias(aws, function, put):
    put("live", 1)
    assert refusal(put, "1", 1) == (
        409,
        "ResourceConflictException",
        "Version is pointed by a Provisioned Concurrency alias",
    )
    aws(
        "lambda",
        "delete_provisioned_concurrency_config",
        FunctionName=function,
        Qualifier="live",
    )
    put("1", 1)
    assert refusal(put, "live", 1) == (
        409,
        "ResourceConflictException",
        (
            "Alias can't be used for Provisioned Concurrency configuration on an already "
            "Provisioned version"
        ),
    )


def test_it_is_part_of_what_is_reserved(aws, function, put):
    reserve = {"FunctionName": function, "ReservedConcurrentExecutions": 2}
    aws("lambda", "put_function_concurrency", **reserve)
    assert refusal(put, "1", 3) == (
        400,
        "InvalidParameterValueException",
        (
            "Requested Provisioned Concurrency should not be greater than the "
            "reservedConcurrentExecution for function"
        ),
    )
    put("1", 2)
    with pytest.raises(ClientError) as info:
        aws("lambda", "put_function_concurrency", **{**reserve, "ReservedConcurrentExecutions": 1})
    assert info.value.message == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned "
        "concurrency [2]."
    )


def test_100_stay_for_all_others(aws, function, put):
    error = refusal(put, "1", 1001)
    assert error[2] == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved "
        "concurrency [1000]."
    )
    assert refusal(put, "1", 901)[2] == (
        "Specified ConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100]."
    )
    put("1", 900)
    put("1", 900)
    with pytest.raises(ClientError) as info:
        aws(
            "lambda",
            "put_function_concurrency",
            FunctionName=function,
            ReservedConcurrentExecutions=901,
        )
    assert "below its minimum value of [100]" in info.value.message
    assert refusal(put, "1", 0)[1] == "ValidationException"
