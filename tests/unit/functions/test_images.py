"""Unpacked images on disk: what tools write beside them, and the hash that follows them."""

import json
import os

import pytest

from router.functions.images import ImageUnusable, with_image
from router.model.image import Image, ImageConfig
from router.model.resources import Function

DOCKER = [
    {
        "Config": {
            "Entrypoint": ["/lambda-entrypoint.sh"],
            "Cmd": ["app.handler"],
            "Env": ["PATH=/var/lang/bin:/bin", "EMPTY=", "TWO=a=b"],
            "WorkingDir": "/var/task",
        }
    }
]
IMAGE_CONFIG = {"architecture": "amd64", "config": DOCKER[0]["Config"]}
BUNDLE = {
    "ociVersion": "1.0.0",
    "process": {
        "args": ["/lambda-entrypoint.sh", "app.handler"],
        "env": ["PATH=/var/lang/bin:/bin", "EMPTY=", "TWO=a=b"],
        "cwd": "/var/task",
    },
    "root": {"path": "rootfs"},
}
VARIABLES = {"PATH": "/var/lang/bin:/bin", "EMPTY": "", "TWO": "a=b"}


def function(**config):
    image = Image(uri="registry.example/app:1", config=ImageConfig(**config))
    return Function(
        name="f",
        runtime="",
        handler="",
        role="r",
        code_path="",
        code_hash="",
        last_modified_ms=1,
        revision_id="1",
        image=image,
    )


def bundle(folder, document):
    (folder / "rootfs/bin").mkdir(parents=True, exist_ok=True)
    (folder / "rootfs/bin/program").write_text("x")
    if document is not None:
        (folder / "config.json").write_text(json.dumps(document))
    return str(folder)


@pytest.mark.parametrize("document", [DOCKER, IMAGE_CONFIG, BUNDLE])
async def test_every_tools_configuration_starts_the_same(tmp_path, document):
    made = await with_image(function(), bundle(tmp_path, document))
    assert made.image.words == ("/lambda-entrypoint.sh", "app.handler")
    assert made.image.folder == "/var/task"
    assert made.image.variables == VARIABLES
    assert made.code_path == str(tmp_path / "rootfs")
    assert made.code_sha256 == made.code_hash
    assert not made.is_in_place


async def test_a_root_file_system_alone_is_started_as_the_function_says(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "config.json").write_text("the program's own, not the image's")
    made = await with_image(function(entry_point=("/bin/program",)), str(tmp_path))
    assert made.image.words == ("/bin/program",)
    assert made.image.folder == "/"
    assert made.code_path == str(tmp_path)


async def test_null_members_are_none(tmp_path):
    config = {"Entrypoint": None, "Cmd": ["/program"], "Env": None, "WorkingDir": ""}
    made = await with_image(function(), bundle(tmp_path, {"config": config}))
    assert (made.image.words, made.image.folder) == (("/program",), "/")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, "names no program: give ImageConfig"),
        ({"config": {}}, "names no program: give ImageConfig"),
        ({"other": 1}, "no configuration of an image or bundle"),
        ([], "no configuration of an image or bundle"),
        ("text", "no configuration of an image or bundle"),
        ({"config": {"Cmd": "a text"}}, "names no program|no configuration"),
        ({"config": {"Cmd": [1]}}, "no configuration of an image or bundle"),
        ({"config": {"Cmd": ["a\0b"]}}, "no configuration of an image or bundle"),
        ({"config": {"Cmd": ["/a"], "Env": ["A=" + "x" * 70_000]}}, "at most 65536"),
    ],
)
async def test_what_cannot_be_started_is_refused_with_its_file(tmp_path, document, text):
    with pytest.raises(ImageUnusable, match=text):
        await with_image(function(), bundle(tmp_path, document))


async def test_a_bundle_does_not_tell_entry_point_and_command_apart(tmp_path):
    """Its one list is not guessed at: a command alone is refused, both together are fine."""
    folder = bundle(tmp_path, BUNDLE)
    with pytest.raises(ImageUnusable, match="does not say where its entry point ends"):
        await with_image(function(command=("app.other",)), folder)
    both = function(command=("app.other",), entry_point=("/lambda-entrypoint.sh",))
    assert (await with_image(both, folder)).image.words == ("/lambda-entrypoint.sh", "app.other")


async def test_there_is_no_such_folder(tmp_path):
    with pytest.raises(ImageUnusable, match="is not a folder"):
        await with_image(function(), str(tmp_path / "nope"))


async def test_the_hash_follows_files_and_configuration_but_not_overrides(tmp_path):
    folder = bundle(tmp_path, DOCKER)
    hashes = [(await with_image(function(), folder)).code_hash]
    hashes.append((await with_image(function(command=("app.other",)), folder)).code_hash)
    assert hashes[0] == hashes[1]
    (tmp_path / "rootfs/bin/program").write_text("longer")
    hashes.append((await with_image(function(), folder)).code_hash)
    os.symlink("/nowhere", tmp_path / "rootfs/bin/link")
    hashes.append((await with_image(function(), folder)).code_hash)
    bundle(tmp_path, IMAGE_CONFIG | {"config": {"Cmd": ["/other"]}})
    hashes.append((await with_image(function(), folder)).code_hash)
    assert len(set(hashes)) == 4
