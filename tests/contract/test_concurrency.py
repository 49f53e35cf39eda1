"""Reserved concurrency and the account's, through boto3 (`functions-and-invocation.md` 5.3)."""

import uuid

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create


@pytest.fixture
def function(aws):
    name = f"c-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    yield name
    aws("lambda", "delete_function", FunctionName=name)


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", operation, validates=False, **params)
    return info.value


def reserve(aws, function, reserved):
    return aws(
        "lambda",
        "put_function_concurrency",
        FunctionName=function,
        ReservedConcurrentExecutions=reserved,
    )


def reserved_of(aws, function):
    found = aws("lambda", "get_function_concurrency", FunctionName=function)
    return found.get("ReservedConcurrentExecutions")


def test_a_reservation_comes_and_goes(aws, function):
    before = aws("lambda", "get_function", FunctionName=function)
    assert "Concurrency" not in before
    assert reserved_of(aws, function) is None
    done = reserve(aws, function, 7)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert done["ReservedConcurrentExecutions"] == 7
    assert reserved_of(aws, function) == 7
    after = aws("lambda", "get_function", FunctionName=function)
    assert after["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    assert after["Configuration"]["LastModified"] == before["Configuration"]["LastModified"]
    qualified = aws("lambda", "get_function", FunctionName=function, Qualifier="$LATEST")
    assert "Concurrency" not in qualified
    done = aws("lambda", "delete_function_concurrency", FunctionName=function)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert reserved_of(aws, function) is None
    aws("lambda", "delete_function_concurrency", FunctionName=function)


def test_nothing_is_a_reservation_too(aws, function):
    reserve(aws, function, 0)
    found = aws("lambda", "get_function", FunctionName=function)
    assert found["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    assert reserved_of(aws, function) == 0


def test_100_stay_for_all_others(aws, function):
    """The account is AWS's: 1,000, of which 100 stay."""
    other = f"c-{uuid.uuid4().hex[:8]}"
    create(aws, other)
    try:
        reserve(aws, other, 400)
        reserve(aws, function, 500)
        error = refused(
            aws, "put_function_concurrency", FunctionName=function, ReservedConcurrentExecutions=501
        )
        assert (error.status, error.code) == (400, "InvalidParameterValueException")
        assert error.message == (
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of [100]."
        )
        assert "Type" not in error.response
        limit = aws("lambda", "get_account_settings")["AccountLimit"]
        assert limit == {
            "TotalCodeSize": 80530636800,
            "CodeSizeUnzipped": 262144000,
            "CodeSizeZipped": 52428800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 100,
        }
        reserve(aws, function, 3)
    finally:
        aws("lambda", "delete_function", FunctionName=other)
    usage = aws("lambda", "get_account_settings")
    assert usage["AccountLimit"]["UnreservedConcurrentExecutions"] == 997
    assert usage["AccountUsage"]["FunctionCount"] >= 1
    assert usage["AccountUsage"]["TotalCodeSize"] > 0


@pytest.mark.parametrize(
    ("operation", "asked", "params"),
    [
        ("get_function_concurrency", "", {}),
        ("put_function_concurrency", ":$LATEST", {"ReservedConcurrentExecutions": 1}),
        ("delete_function_concurrency", "", {}),
    ],
)
def test_a_function_that_is_not_there(aws, operation, asked, params):
    error = refused(aws, operation, FunctionName="nobody", **params)
    assert (error.status, error.code) == (404, "ResourceNotFoundException")
    assert error.message == f"Function not found: {ARN}nobody{asked}"


@pytest.mark.parametrize("qualifier", ["1", "live", "$LATEST"])
def test_versions_and_aliases_reserve_nothing(aws, function, qualifier):
    error = refused(
        aws,
        "put_function_concurrency",
        FunctionName=f"{function}:{qualifier}",
        ReservedConcurrentExecutions=1,
    )
    assert (error.status, error.code) == (400, "InvalidParameterValueException")
    assert error.message == (
        "This operation is permitted on Lambda functions only. Aliases and versions do not "
        "support this operation. Please specify either a function name or an unqualified function "
        "ARN."
    )


def test_less_than_nothing_is_refused(aws, function):
    error = refused(
        aws, "put_function_concurrency", FunctionName=function, ReservedConcurrentExecutions=-1
    )
    assert (error.status, error.code) == (400, "ValidationException")
    assert "greater than or equal to 0" in error.message


def test_a_throttle_says_for_what(aws, function):
    """6.4: body, Reason and header; which one it is, is the dispatcher's to say."""
    error = refused(aws, "invoke", FunctionName=function, Payload=b'"throttle reserved"')
    assert (error.status, error.code) == (429, "TooManyRequestsException")
    assert error.message == "Rate Exceeded."
    assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert error.response["Error"].get("Type", error.response.get("Type")) == "User"
    assert error.headers["retry-after"] == "1"
