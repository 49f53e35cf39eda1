"""Tags of functions and event source mappings, through boto3."""

import uuid

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create

HOOK = "arn:aws:router:us-east-1:000000000000:webhook/hook"


@pytest.fixture
def function(aws):
    name = f"t-{uuid.uuid4().hex[:8]}"
    create(aws, name)
    return name


@pytest.fixture
def mapping(aws, function):
    created = aws(
        "lambda", "create_event_source_mapping", FunctionName=function, EventSourceArn=HOOK,
        Tags={"team": "shop"},
    )  # fmt: skip
    yield created
    aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


def tags_of(aws, arn):
    return aws("lambda", "list_tags", Resource=arn)["Tags"]


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", operation, validates=False, **params)
    return info.value


def test_tags_of_a_mapping(aws, mapping):
    """1.8: 204 both; an absent key is fine; Get does not show them."""
    arn, name = mapping["EventSourceMappingArn"], mapping["UUID"]
    assert tags_of(aws, arn) == {"team": "shop"}
    done = aws("lambda", "tag_resource", Resource=arn, Tags={"team": "bus", "ü b": ""})
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(aws, arn) == {"team": "bus", "ü b": ""}
    done = aws("lambda", "untag_resource", Resource=arn, TagKeys=["team", "absent"])
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(aws, arn) == {"ü b": ""}
    shown = aws("lambda", "get_event_source_mapping", UUID=name)
    assert "Tags" not in shown
    assert shown["LastModified"] == mapping["LastModified"]


def test_an_update_keeps_tags(aws, mapping):
    aws("lambda", "update_event_source_mapping", UUID=mapping["UUID"], BatchSize=3)
    assert tags_of(aws, mapping["EventSourceMappingArn"]) == {"team": "shop"}


def test_tags_of_a_function(aws, function):
    arn = ARN + function
    aws("lambda", "tag_resource", Resource=arn, Tags={"a": "1", "b": "2"})
    assert tags_of(aws, arn) == {"a": "1", "b": "2"}
    assert aws("lambda", "get_function", FunctionName=function)["Tags"] == {"a": "1", "b": "2"}
    aws("lambda", "untag_resource", Resource=arn, TagKeys=["a"])
    assert tags_of(aws, arn) == {"b": "2"}


GONE = "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:" + str(uuid.UUID(int=1))


def test_refusals(aws, mapping, function):
    arn = mapping["EventSourceMappingArn"]
    for operation, more in (
        ("list_tags", {}),
        ("tag_resource", {"Tags": {"a": "1"}}),
        ("untag_resource", {"TagKeys": ["a"]}),
    ):
        error = refused(aws, operation, Resource=GONE, **more)
        assert (error.status, error.code) == (404, "ResourceNotFoundException")
        assert error.message == f"Event source mapping not found: {GONE}"
        elsewhere = arn.replace("us-east-1", "eu-central-1")
        assert refused(aws, operation, Resource=elsewhere, **more).status == 404
        error = refused(aws, operation, Resource=f"{arn}:live", **more)
        assert (error.status, error.code) == (400, "ValidationException")
        assert f"Value '{arn}:live' at 'resource' failed to satisfy constraint" in error.message
        error = refused(aws, operation, Resource=f"{ARN}none", **more)
        assert error.message == f"Function not found: {ARN}none"
        error = refused(aws, operation, Resource=f"{ARN}{function}:live", **more)
        assert error.message == (
            "Tags on function aliases and versions are not supported. Please specify a function "
            "ARN."
        )
    error = refused(aws, "tag_resource", Resource=arn, Tags={})
    assert error.message == "An error occurred and the request cannot be processed."
    many = {f"key{number}": "" for number in range(50)}
    error = refused(aws, "tag_resource", Resource=arn, Tags=many)
    assert error.message == "Number of tags exceeds resource tag limit."
    assert tags_of(aws, arn) == {"team": "shop"}
    error = refused(
        aws, "create_event_source_mapping", FunctionName=function, EventSourceArn=HOOK,
        Tags={**many, "one more": ""},
    )  # fmt: skip
    assert error.message == "Number of tags exceeds resource tag limit."
    error = refused(aws, "untag_resource", Resource=arn, TagKeys=[])
    assert "Value null at 'tagKeys'" in error.message
