"""Aliases and their weights as boto3 sees them (`functions-and-invocation.md` 5.2)."""

import math

import pytest

from tests.contract.support import ClientError
from tests.contract.test_functions import ARN, create, refused

NAMES = iter(f"a-{number}" for number in range(1_000))
INVOCATIONS = 1_000


@pytest.fixture
def function(aws):
    """With versions 1 and 2, which differ."""
    name = next(NAMES)
    create(aws, name, Publish=True)
    aws("lambda", "wait:function_active_v2", FunctionName=name)
    aws("lambda", "update_function_configuration", FunctionName=name, Timeout=4)
    aws("lambda", "wait:function_updated_v2", FunctionName=name)
    assert aws("lambda", "publish_version", FunctionName=name)["Version"] == "2"
    return name


def create_alias(aws, function, **more):
    given = {"FunctionName": function, "Name": "live", "FunctionVersion": "1", **more}
    return aws("lambda", "create_alias", validates=False, **given)


def routing(**weights):
    return {"AdditionalVersionWeights": {name[1:]: value for name, value in weights.items()}}


def test_life_of_an_alias(aws, function):
    created = create_alias(aws, function)
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert created["AliasArn"] == f"{ARN}{function}:live"
    assert (created["Name"], created["FunctionVersion"]) == ("live", "1")
    assert created["Description"] == ""
    assert "RoutingConfig" not in created
    where = {"FunctionName": function, "Name": "live"}
    updated = aws("lambda", "update_alias", **where, RoutingConfig=routing(v2=0.25))
    assert updated["FunctionVersion"] == "1"
    assert updated["RoutingConfig"] == routing(v2=0.25)
    assert updated["RevisionId"] != created["RevisionId"]
    described = aws("lambda", "update_alias", **where, Description="d")
    assert described["RoutingConfig"] == routing(v2=0.25)
    moved = aws("lambda", "update_alias", **where, FunctionVersion="2", RoutingConfig=routing())
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "d")
    assert "RoutingConfig" not in moved
    shown = aws("lambda", "get_alias", **where)
    assert shown["RevisionId"] == moved["RevisionId"]
    answer = aws("lambda", "delete_alias", **where)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    aws("lambda", "delete_alias", **where)  # 204 again
    error = refused(aws, "get_alias", **where)
    assert error.message == f"Cannot find alias arn: {ARN}{function}:live"


def test_an_alias_shows_in_the_arn_and_its_version_beside(aws, function):
    create_alias(aws, function, FunctionVersion="2")
    shown = aws("lambda", "get_function_configuration", FunctionName=f"{function}:live")
    assert shown["FunctionArn"] == f"{ARN}{function}:live"
    assert (shown["Version"], shown["Timeout"]) == ("2", 4)
    assert aws("lambda", "invoke", FunctionName=f"{function}:live")["ExecutedVersion"] == "2"


def test_creating_an_alias_changes_no_other_revision(aws, function):
    """4.3."""

    def revisions():
        return [
            aws("lambda", "get_function_configuration", FunctionName=function, **which)[
                "RevisionId"
            ]
            for which in ({}, {"Qualifier": "1"})
        ]

    before = revisions()
    create_alias(aws, function)
    assert revisions() == before


def test_aliases_are_listed_by_name_and_version(aws, function):
    for name, version in (("c", "1"), ("a", "2"), ("b", "1")):
        create_alias(aws, function, Name=name, FunctionVersion=version)
    first = aws("lambda", "list_aliases", FunctionName=function, MaxItems=2)
    assert [one["Name"] for one in first["Aliases"]] == ["a", "b"]
    rest = aws("lambda", "list_aliases", FunctionName=function, Marker=first["NextMarker"])
    assert [one["Name"] for one in rest["Aliases"]] == ["c"]
    assert "NextMarker" not in rest
    of_one = aws("lambda", "list_aliases", FunctionName=function, FunctionVersion="1")
    assert [one["Name"] for one in of_one["Aliases"]] == ["b", "c"]


@pytest.mark.parametrize(
    ("more", "status", "code", "message"),
    [
        ({"RoutingConfig": routing(v1=0.1, v2=0.1)}, 400, "InvalidParameterValueException",
         "Number of items in AdditionalVersionWeights cannot be greater than 1"),
        ({"RoutingConfig": routing(v1=0.1)}, 400, "InvalidParameterValueException",
         ("Invalid function version 1. Function version 1 is already included in routing "
         "configuration.")),
        ({"FunctionVersion": "$LATEST", "RoutingConfig": routing(v1=0.1)}, 400,
         "InvalidParameterValueException",
         "$LATEST is not supported for an alias pointing to more than 1 version"),
        ({"RoutingConfig": routing(v9=0.1)}, 404, "ResourceNotFoundException",
         "Function not found: {arn}:9"),
        ({"FunctionVersion": "9"}, 404, "ResourceNotFoundException",
         "Function not found: {arn}:9"),
        ({"RoutingConfig": routing(v2=2.0)}, 400, "ValidationException",
         ("1 validation error detected: Value '{{2=2.0}}' at "
         "'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must "
         "satisfy constraint: [Member must have value less than or equal to 1.0, Member must have "
         "value greater than or equal to 0.0, Member must not be null]")),
        ({"RoutingConfig": routing(vx=0.5)}, 400, "ValidationException", None),
        ({"Name": "7"}, 400, "ValidationException", None),
        ({"FunctionName": "none"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN}none:1"),
    ],
)  # fmt: skip
def test_refusals(aws, shared, more, status, code, message):
    with pytest.raises(ClientError) as info:
        create_alias(aws, shared, **{"Name": "refused", **more})
    assert (info.value.status, info.value.code) == (status, code)
    if message is not None:
        assert info.value.message == message.format(arn=ARN + shared)
    error = refused(aws, "get_alias", FunctionName=shared, Name="refused")
    assert error.status == 404


@pytest.fixture(scope="module")
def shared(aws):
    create(aws, "a-shared", Publish=True)
    aws("lambda", "wait:function_active_v2", FunctionName="a-shared")
    aws("lambda", "update_function_configuration", FunctionName="a-shared", Timeout=4)
    aws("lambda", "wait:function_updated_v2", FunctionName="a-shared")
    aws("lambda", "publish_version", FunctionName="a-shared")
    return "a-shared"


def test_conflicts_and_stale_callers(aws, function):
    created = create_alias(aws, function)
    error = refused(aws, "create_alias", FunctionName=function, Name="live", FunctionVersion="2")
    assert (error.status, error.code) == (409, "ResourceConflictException")
    assert error.message == f"Alias already exists: {ARN}{function}:live"
    where = {"FunctionName": function, "Name": "live"}
    aws("lambda", "update_alias", **where, Description="d", RevisionId=created["RevisionId"])
    error = refused(aws, "update_alias", **where, RevisionId=created["RevisionId"])
    assert (error.status, error.code) == (412, "PreconditionFailedException")
    error = refused(aws, "update_alias", FunctionName=function, Name="none")
    assert error.message == f"Alias not found: {ARN}{function}:none"


def test_versions_that_share_an_alias_have_one_role(aws, function):
    aws(
        "lambda",
        "update_function_configuration",
        FunctionName=function,
        Role="arn:aws:iam::000000000000:role/other",
    )
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    aws("lambda", "publish_version", FunctionName=function)
    with pytest.raises(ClientError, match="same execution role"):
        create_alias(aws, function, RoutingConfig=routing(v3=0.1))


def test_line_1_weights_share_invocations(aws, function, harness):
    """Acceptance 1: 1,000 invocations within three standard deviations of the weight."""
    weight = 0.3
    harness.draws.seed(1)  # a fair draw is outside them once in 370 runs
    create_alias(aws, function, RoutingConfig=routing(v2=weight))
    drawn = [
        aws("lambda", "invoke", FunctionName=function, Qualifier="live")["ExecutedVersion"]
        for _ in range(INVOCATIONS)
    ]
    assert set(drawn) == {"1", "2"}
    expected = INVOCATIONS * weight
    sigma = math.sqrt(INVOCATIONS * weight * (1 - weight))
    assert abs(drawn.count("2") - expected) < 3 * sigma
    aws("lambda", "delete_function", FunctionName=function)
    error = refused(aws, "invoke", FunctionName=function, Qualifier="live")
    assert error.message == f"Function not found: {ARN}{function}:live"
