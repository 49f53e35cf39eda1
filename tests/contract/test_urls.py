"""Settings of functions' URLs as boto3 sees them (`functions-and-invocation.md` 5.1, 10)."""

import re
import uuid

import pytest

from tests.contract.test_functions import create, refused

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture
def function(aws):
    name = f"u-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    return name


def test_a_url_is_made_shown_changed_and_deleted(aws, function):
    made = aws("lambda", "create_function_url_config", FunctionName=function, AuthType="NONE")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert re.fullmatch(
        r"http://[0-9a-z]{32}\.lambda-url\.us-east-1\.localhost:8080/", made["FunctionUrl"]
    )
    assert 40 <= len(made["FunctionUrl"]) <= 100
    assert made["FunctionArn"] == ARN + function
    assert made["AuthType"] == "NONE"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["CreationTime"])
    assert not {"InvokeMode", "Cors", "LastModifiedTime"} & set(made)
    shown = aws("lambda", "get_function_url_config", FunctionName=function)
    assert shown["InvokeMode"] == "BUFFERED"
    assert shown["FunctionUrl"] == made["FunctionUrl"]
    assert shown["LastModifiedTime"] == made["CreationTime"]
    cors = {
        "AllowOrigins": ["https://a.example.com"], "AllowMethods": ["GET", "*"],
        "AllowHeaders": ["x"], "ExposeHeaders": ["y"], "MaxAge": 0, "AllowCredentials": False,
    }  # fmt: skip
    changed = aws(
        "lambda", "update_function_url_config", FunctionName=function, AuthType="AWS_IAM", Cors=cors
    )
    assert "InvokeMode" not in changed
    assert (changed["AuthType"], changed["Cors"]) == ("AWS_IAM", cors)
    changed = aws(
        "lambda", "update_function_url_config", FunctionName=function, InvokeMode="BUFFERED"
    )
    assert (changed["AuthType"], changed["Cors"]) == ("AWS_IAM", cors)
    assert changed["InvokeMode"] == "BUFFERED"
    assert changed["FunctionUrl"] == made["FunctionUrl"]
    listed = aws("lambda", "list_function_url_configs", FunctionName=function)
    assert [one["FunctionUrl"] for one in listed["FunctionUrlConfigs"]] == [made["FunctionUrl"]]
    gone = aws("lambda", "delete_function_url_config", FunctionName=function)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    error = refused(aws, "get_function_url_config", FunctionName=function)
    assert (error.status, error.message) == (404, "The resource you requested does not exist.")
    again = aws("lambda", "create_function_url_config", FunctionName=function, AuthType="NONE")
    assert again["FunctionUrl"] != made["FunctionUrl"]


def test_a_second_url(aws, function):
    aws("lambda", "create_function_url_config", FunctionName=function, AuthType="NONE")
    error = refused(aws, "create_function_url_config", FunctionName=function, AuthType="NONE")
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == (
        f"Failed to create function url config for [functionArn = {ARN}{function}]. Error message: "
        " FunctionUrlConfig exists for this Lambda function"
    )


def test_functions_and_qualifiers_that_have_none(aws, function):
    for operation, more in (
        ("create_function_url_config", {"AuthType": "NONE"}),
        ("update_function_url_config", {"AuthType": "NONE"}),
        ("delete_function_url_config", {}),
        ("list_function_url_configs", {}),
    ):
        error = refused(aws, operation, FunctionName="none-such", **more)
        assert (error.status, error.message) == (404, "Function does not exist"), operation
    error = refused(
        aws, "create_function_url_config", FunctionName=function, AuthType="NONE", Qualifier="live"
    )
    assert (error.status, error.message) == (404, "Function does not exist")
    for qualifier in ("$LATEST", "1"):
        error = refused(
            aws, "create_function_url_config", FunctionName=function, AuthType="NONE",
            Qualifier=qualifier,
        )  # fmt: skip
        assert (error.status, error.code) == (400, "ValidationException")


def test_settings_that_cannot_be(aws, function):
    for more in (
        {"AuthType": "ANY"},
        {"AuthType": "NONE", "Cors": {"MaxAge": 86_401}},
        {"AuthType": "NONE", "Cors": {"AllowMethods": ["GET"] * 7}},
        {"AuthType": "NONE", "InvokeMode": "x"},
    ):
        error = refused(aws, "create_function_url_config", FunctionName=function, **more)
        assert (error.status, error.code) == (400, "ValidationException"), more
    error = refused(
        aws, "create_function_url_config", FunctionName=function, AuthType="NONE",
        Cors={"AllowMethods": ["get"]},
    )  # fmt: skip
    assert "get is no method of HTTP" in error.message


def test_a_url_goes_with_its_function(aws, function):
    aws("lambda", "create_function_url_config", FunctionName=function, AuthType="NONE")
    aws("lambda", "delete_function", FunctionName=function)
    error = refused(aws, "get_function_url_config", FunctionName=function)
    assert error.status == 404
    create(aws, function)
    error = refused(aws, "get_function_url_config", FunctionName=function)
    assert error.status == 404
