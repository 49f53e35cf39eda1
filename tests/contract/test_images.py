"""Functions of unpacked container images, as boto3 sees them (`functions-and-invocation.md` 4)."""

import json
import uuid

import pytest

from tests.contract.support import IMAGES, ClientError

ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module", autouse=True)
def images(harness):
    for number, uri in enumerate(IMAGES, 1):
        folder = harness.folder / "images" / uri[-1]
        (folder / "rootfs").mkdir(parents=True)
        (folder / "rootfs/file").write_text("x" * number)
        config = {"Entrypoint": ["/entry"], "Cmd": [f"app.v{number}"], "Env": ["SECRET=s3cr3t"]}
        (folder / "config.json").write_text(json.dumps([{"Config": config}]))


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("lambda", operation, **params)
    assert (info.value.status, info.value.code) == (400, "InvalidParameterValueException")
    return info.value.message


def create(aws, **more):
    params = {
        "FunctionName": f"i-{uuid.uuid4().hex[:8]}",
        "Role": ROLE,
        "PackageType": "Image",
        "Code": {"ImageUri": IMAGES[0]},
    }
    return aws("lambda", "create_function", **{**params, **more})


def test_a_function_of_an_image_is_made_shown_changed_and_published(aws, harness):
    made = create(aws, ImageConfig={"WorkingDirectory": "/work"})
    assert made["PackageType"] == "Image"
    assert not {"Runtime", "Handler", "Layers"} & made.keys()
    assert made["ImageConfigResponse"] == {"ImageConfig": {"WorkingDirectory": "/work"}}
    assert made["CodeSize"] == 0
    assert "s3cr3t" not in json.dumps(made)
    which = {"FunctionName": made["FunctionName"]}
    aws("lambda", "wait:function_active_v2", **which)
    code = aws("lambda", "get_function", **which)["Code"]
    digest = made["CodeSha256"]
    assert len(digest) == 64
    assert code == {
        "RepositoryType": "ECR",
        "ImageUri": IMAGES[0],
        "ResolvedImageUri": f"registry.example:5000/team/app@sha256:{digest}",
    }
    assert aws("lambda", "publish_version", **which)["Version"] == "1"
    updated = aws("lambda", "update_function_code", **which, ImageUri=IMAGES[1])
    assert updated["CodeSha256"] != digest
    assert updated["ImageConfigResponse"] == made["ImageConfigResponse"]
    aws("lambda", "wait:function_updated_v2", **which)
    changed = aws(
        "lambda", "update_function_configuration", **which, ImageConfig={"Command": ["app.own"]}
    )
    assert changed["ImageConfigResponse"] == {"ImageConfig": {"Command": ["app.own"]}}
    aws("lambda", "wait:function_updated_v2", **which)
    kept = aws("lambda", "update_function_configuration", **which, Timeout=9)
    assert kept["ImageConfigResponse"] == changed["ImageConfigResponse"]
    aws("lambda", "wait:function_updated_v2", **which)
    function = harness.catalog.functions[made["FunctionName"]]
    assert function.image.words == ("/entry", "app.own")
    version = aws("lambda", "get_function", **which, Qualifier="1")
    assert version["Configuration"]["CodeSha256"] == digest
    assert version["Code"]["ImageUri"] == IMAGES[0]
    assert aws("lambda", "publish_version", **which)["Version"] == "2"
    assert aws("lambda", "publish_version", **which)["Version"] == "2"
    none = aws("lambda", "update_function_configuration", **which, ImageConfig={})
    assert "ImageConfigResponse" not in none


def test_an_image_that_is_not_unpacked_says_what_to_do(aws):
    uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:v7"
    text = refused(
        aws,
        "create_function",
        FunctionName="unknown",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": uri},
    )
    assert text == (
        f"image {uri} is not unpacked here, and there is no container engine behind this router. "
        f'Unpack its files into a folder and set "{uri}" = "/path/to/folder" under [images] in '
        f"router.toml, or ROUTER_IMAGES={uri}=/path/to/folder; or put what is in its /var/task "
        "into a zip, with Runtime and Handler."
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"Runtime": "python3.12"}, "Please don't provide Handler or Runtime or Layer when the"),
        ({"Handler": "a.b"}, "Please don't provide Handler or Runtime or Layer when the"),
        ({"Code": {"ZipFile": b"x"}}, "Please provide ImageUri when"),
        ({"ImageConfig": {"WorkingDirectory": "work"}}, "WorkingDirectory work is no absolute"),
        ({"ImageConfig": {"Command": ["a\0b"]}}, "ImageConfig holds a null byte"),
    ],
)
def test_what_an_image_cannot_have(aws, more, words):
    text = refused(
        aws,
        "create_function",
        **{
            "FunctionName": "not-made",
            "Role": ROLE,
            "PackageType": "Image",
            "Code": {"ImageUri": IMAGES[0]},
            **more,
        },
    )
    assert text.startswith(words) or words in text


def test_an_image_stays_one(aws):
    which = {"FunctionName": create(aws)["FunctionName"]}
    aws("lambda", "wait:function_active_v2", **which)
    text = refused(aws, "update_function_code", **which, ZipFile=b"x")
    assert text == "Please provide ImageUri when updating a function with packageType Image."
    text = refused(aws, "update_function_configuration", **which, Runtime="python3.12")
    assert "PackageType is Image." in text
    aws("lambda", "delete_function", **which)
