"""Layers as boto3 sees them (`functions-and-invocation.md` 4.5, 5.1, 5.6)."""

import base64
import hashlib
import json
import urllib.request
import uuid

import pytest

from tests.contract.test_functions import create, package, refused

START = "arn:aws:lambda:us-east-1:000000000000:layer:"


@pytest.fixture
def name():
    return f"l-{uuid.uuid4().hex[:8]}"


def publish(aws, name, data=None, **more):
    content = {"ZipFile": data or package("x = 1\n", "python/x.py")}
    return aws("lambda", "publish_layer_version", LayerName=name, Content=content, **more)


def test_a_version_is_published_shown_and_fetched(aws, name):
    data = package("x = 1\n", "python/x.py")
    made = publish(
        aws, name, data, Description="d", CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["arm64"], LicenseInfo="MIT",
    )  # fmt: skip
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["LayerArn"] == START + name
    assert made["LayerVersionArn"] == f"{START}{name}:1"
    assert (made["Version"], made["Description"], made["LicenseInfo"]) == (1, "d", "MIT")
    assert made["CompatibleRuntimes"] == ["python3.12"]
    assert made["CompatibleArchitectures"] == ["arm64"]
    assert made["CreatedDate"].endswith("+0000")
    assert made["Content"]["CodeSize"] == len(data)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert made["Content"]["CodeSha256"] == digest
    by_name = aws("lambda", "get_layer_version", LayerName=name, VersionNumber=1)
    by_arn = aws("lambda", "get_layer_version_by_arn", Arn=made["LayerVersionArn"])
    for shown in (by_name, by_arn):
        assert shown["LayerVersionArn"] == made["LayerVersionArn"]
        with urllib.request.urlopen(shown["Content"]["Location"]) as answer:
            assert answer.read() == data


def test_members_nobody_gave_are_not_shown(aws, name):
    made = publish(aws, name)
    assert made["Description"] == ""
    assert not {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"} & set(made)


def test_numbers_are_never_given_twice(aws, name):
    assert [publish(aws, name)["Version"] for _ in range(3)] == [1, 2, 3]
    for number in (3, 3, 2):
        answer = aws("lambda", "delete_layer_version", LayerName=name, VersionNumber=number)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert publish(aws, name)["Version"] == 4
    listed = aws("lambda", "list_layer_versions", LayerName=name)["LayerVersions"]
    assert [version["Version"] for version in listed] == [4, 1]
    assert "Content" not in listed[0]


def test_lists_go_by_pages_and_by_what_fits(aws, name):
    publish(aws, name, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=["arm64"])
    publish(aws, name, CompatibleRuntimes=["python3.12"])
    publish(aws, name)

    def numbers(**params):
        listed = aws("lambda", "list_layer_versions", LayerName=name, **params)
        return [one["Version"] for one in listed["LayerVersions"]], listed.get("NextMarker")

    assert numbers() == ([3, 2, 1], None)
    first, marker = numbers(MaxItems=2)
    assert first == [3, 2]
    assert numbers(Marker=marker) == ([1], None)
    assert numbers(CompatibleRuntime="python3.11") == ([1], None)
    assert numbers(CompatibleArchitecture="x86_64") == ([], None)
    other = f"{name}-other"
    publish(aws, other, CompatibleRuntimes=["python3.12"])
    layers = aws("lambda", "list_layers", CompatibleRuntime="python3.12")["Layers"]
    found = {one["LayerName"]: one["LatestMatchingVersion"]["Version"] for one in layers}
    assert (found[name], found[other]) == (2, 1)
    missing = aws("lambda", "list_layer_versions", LayerName=f"{name}-none")
    assert missing["LayerVersions"] == []


def test_what_is_not_there(aws, name):
    for operation, params in (
        ("get_layer_version", {"LayerName": name, "VersionNumber": 1}),
        ("get_layer_version_by_arn", {"Arn": f"{START}{name}:1"}),
    ):
        error = refused(aws, operation, **params)
        assert (error.status, error.code) == (404, "ResourceNotFoundException")
        assert error.message == "The resource you requested does not exist."
    error = refused(aws, "get_layer_version", LayerName=name, VersionNumber=0)
    assert error.message == "Layer Version Cannot be less than 1"
    error = refused(aws, "get_layer_version_policy", LayerName=name, VersionNumber=1)
    assert error.message == f"Layer version {START}{name}:1 does not exist."


def test_a_package_that_is_none(aws, name):
    error = refused(aws, "publish_layer_version", LayerName=name, Content={"ZipFile": b"no zip"})
    assert error.message == (
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )
    error = refused(aws, "publish_layer_version", LayerName=name, Content={})
    assert error.message == "Please provide a source for function code."


def test_who_may_use_it_is_kept(aws, name):
    publish(aws, name)
    whose = {"LayerName": name, "VersionNumber": 1}
    share = {**whose, "StatementId": "s", "Action": "lambda:GetLayerVersion"}
    error = refused(aws, "get_layer_version_policy", **whose)
    assert error.status == 404
    made = aws("lambda", "add_layer_version_permission", **share, Principal="000000000000")
    statement = json.loads(made["Statement"])
    assert statement["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}
    assert statement["Resource"] == f"{START}{name}:1"
    shown = aws("lambda", "get_layer_version_policy", **whose)
    assert json.loads(shown["Policy"])["Statement"] == [statement]
    assert shown["RevisionId"] == made["RevisionId"]
    error = refused(aws, "add_layer_version_permission", **share, Principal="*")
    assert error.status == 409
    stale = refused(
        aws, "remove_layer_version_permission", **whose, StatementId="s", RevisionId="old"
    )
    assert (stale.status, stale.code) == (412, "PreconditionFailedException")
    assert "GetLayerPolicy API" in stale.message
    aws("lambda", "remove_layer_version_permission", **whose, StatementId="s")
    assert refused(aws, "get_layer_version_policy", **whose).status == 404


def test_a_function_names_layers(aws, name):
    first, second = publish(aws, name), publish(aws, f"{name}-b")
    arns = [first["LayerVersionArn"], second["LayerVersionArn"]]
    made = create(aws, f"f-{name}", Layers=arns)
    assert [one["Arn"] for one in made["Layers"]] == arns
    assert made["Layers"][0]["CodeSize"] == first["Content"]["CodeSize"]
    aws("lambda", "delete_layer_version", LayerName=name, VersionNumber=1)
    shown = aws("lambda", "get_function_configuration", FunctionName=f"f-{name}")
    assert [one["Arn"] for one in shown["Layers"]] == arns


def test_layers_a_function_cannot_name(aws, name):
    publish(aws, name)
    publish(aws, name)
    one, two = f"{START}{name}:1", f"{START}{name}:2"
    elsewhere = one.replace("us-east-1", "eu-west-1")
    for arns, text in (
        ([f"{START}{name}-{n}:1" for n in range(6)], "Cannot reference more than 5 layers."),
        (
            [one, two],
            (
                "Two different versions of the same layer are not allowed to be referenced in the "
                f"same function. {one} and {two} are versions of the same layer."
            ),
        ),
        ([f"{START}{name}:9"], f"Layer version {START}{name}:9 does not exist."),
        (
            [elsewhere],
            (
                "Layers are not in the same region as the function. Layers are expected to be in "
                "region us-east-1."
            ),
        ),
    ):
        error = refused(
            aws, "create_function", FunctionName=f"f-{name}", Runtime="python3.12",
            Role="arn:aws:iam::000000000000:role/any", Handler="app.handler",
            Code={"ZipFile": package()}, Layers=arns,
        )  # fmt: skip
        assert (error.code, error.message) == ("InvalidParameterValueException", text)
