"""Unpacked images: their own root, program, variables; real processes at the rungs there are."""

import json
import os
import shutil
from pathlib import Path

import pytest

from router.model.errors import NotInvoked
from router.model.hosting import Hosting
from router.model.image import Image, ImageConfig
from router.workers.extensions.found import hosts
from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter
from router.workers.pool import PoolSettings
from tests.rootfs import ENTRY_POINT, PYTHON, python_image

from .conftest import Bed

pytestmark = pytest.mark.slow

SEES = """
import os
import shutil
def attempt(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return type(error).__name__
def handler(event, context):
    return {
        "here": os.getcwd(),
        "root": sorted(os.listdir("/")),
        "variables": dict(os.environ),
        "writes": {path: attempt(path) for path in event},
        "random": len(open("/dev/urandom", "rb").read(4)),
        "hosts": open("/etc/hosts").read(),
        "own": open("/etc/own").read(),
        "status": open("/proc/self/status").read(),
        "old": [line for line in open("/proc/self/mountinfo") if "/proc/driver" in line],
    }
"""

PLACES = ("proc", "sys", "dev", "tmp", "etc")

IMAGE = Image(
    uri="registry.example/app:1",
    entry_point=ENTRY_POINT,
    command=("app.handler",),
    working_directory="/function",
    variables={"PATH": "/function:/usr/bin", "GREETING": "hello", "BRACES": "{task}"},
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    base = tmp_path_factory.mktemp("image")
    for folder in (base, *base.parents):
        if folder.owner() == base.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    root = python_image(base / "rootfs", SEES)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/own").write_text("the image's")
    (root / "etc/hosts").symlink_to("/somewhere/else")  # what a link leads to is not ours to change
    return root


def function(bed, root, image=IMAGE, **fields):
    fields = {"runtime": "", "handler": "", "image": image} | fields
    return bed.function("", **{"code_path": str(root), **fields})


def listed(root):
    return sorted(
        (str(path), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in root.rglob("*")
    )


@pytest.fixture
def needs_view(facts):
    assert "mounts" in facts.mechanisms, facts.text


async def seen(bed, made, *paths):
    reply = await bed.invoke(made, json.dumps(paths).encode())
    assert reply.error_type is None, reply.payload
    return json.loads(reply.payload)


@pytest.mark.usefixtures("needs_view")
async def test_an_image_is_all_that_its_function_sees_and_stays_as_it_is(bed: Bed, root):
    before = listed(root)
    made = function(bed, root, environment={"GREETING": "hi", "MORE": "x"})
    result = await seen(bed, made, "/tmp/new", "/new", "/etc/new", "/function/new", "/dev/new")
    assert result["here"] == "/function"
    assert {"function", "bootstrap.py", "proc", "dev", "tmp"} <= set(result["root"])
    assert not {"srv", "boot", "run"} & set(result["root"])
    writes = result["writes"]
    assert writes.pop("/tmp/new") == "written"
    assert set(writes.values()) <= {"OSError", "PermissionError"}
    assert result["random"] == 4
    # Extensions of the image listen by the names that Lambda has for that.
    assert "sandbox.localdomain" in hosts()
    assert result["hosts"] == hosts()
    assert result["own"] == "the image's"
    assert result["old"] == []
    assert listed(root) == before
    again = await seen(bed, made)
    assert again["here"] == "/function"


@pytest.mark.usefixtures("needs_view")
async def test_variables_are_the_images_then_the_functions_then_the_platforms(bed: Bed, root):
    """As recorded on AWS: no TZ, LANG or LD_LIBRARY_PATH but the image's own."""
    bed.extra = {"AWS_ACCESS_KEY_ID": "ASIAOWN"}
    image = Image(
        uri=IMAGE.uri,
        entry_point=ENTRY_POINT,
        command=("app.handler",),
        working_directory="/function",
        variables={**IMAGE.variables, "AWS_ACCESS_KEY_ID": "theirs", "_HANDLER": "theirs"},
    )
    made = function(bed, root, image, environment={"GREETING": "hi"})
    variables = (await seen(bed, made))["variables"]
    assert variables["GREETING"] == "hi"
    assert variables["BRACES"] == "{task}"
    assert variables["PATH"] == "/function:/usr/bin"
    assert variables["AWS_ACCESS_KEY_ID"] == "ASIAOWN"
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_Image"
    assert variables["_HANDLER"] == ""
    assert variables["LAMBDA_TASK_ROOT"] == "/var/task"
    assert not {"TZ", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH"} & variables.keys()


@pytest.mark.usefixtures("needs_view")
async def test_image_config_overrides_each_part_for_itself(bed: Bed, root, tmp_path):
    (root / "other").mkdir(exist_ok=True)
    (root / "other/app.py").write_text("def other(event, context):\n    return 'other'\n")
    config = ImageConfig(command=("app.other",), working_directory="/other")
    image = Image(uri="x", entry_point=ENTRY_POINT, command=("app.handler",), config=config)
    assert (await bed.invoke(function(bed, root, image))).payload == b'"other"'
    by_name = Image(
        uri="x",
        entry_point=(Path(PYTHON).name, *ENTRY_POINT[1:]),
        command=("app.other",),
        working_directory="/other",
        variables={"PATH": f"/nowhere:{Path(PYTHON).parent}"},
    )
    assert (await bed.invoke(function(bed, root, by_name))).payload == b'"other"'


@pytest.mark.usefixtures("needs_view")
async def test_an_image_with_a_place_for_everything_is_shown_whole(bed: Bed, root, data):
    """What a container engine exports has empty `/etc/resolv.conf`, `/etc/hosts`, `/dev` …"""
    whole = data / "whole"
    shutil.copytree(root, whole, symlinks=True, copy_function=os.link)
    (whole / "etc/hosts").unlink()
    for name in ("etc/hosts", "etc/resolv.conf"):
        (whole / name).touch()
    for name in PLACES:
        (whole / name).mkdir(exist_ok=True)
    result = await seen(bed, function(bed, whole), "/tmp/new", "/new")
    assert result["hosts"] == hosts()
    assert result["writes"]["/tmp/new"] == "written"
    assert result["writes"]["/new"] != "written"
    assert result["random"] == 4
    assert (whole / "etc/hosts").read_text() == ""


EXTENSION = f"""#!{PYTHON} -S
import http.client, json, os
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
headers = {{"Lambda-Extension-Name": "watch"}}
connection.request("POST", "/2020-01-01/extension/register", '{{"events": ["INVOKE"]}}', headers)
answer = connection.getresponse()
answer.read()
number = answer.headers["Lambda-Extension-Identifier"]
open("/tmp/extension", "w").write(os.getcwd())
while True:
    headers = {{"Lambda-Extension-Identifier": number}}
    connection.request("GET", "/2020-01-01/extension/event/next", headers=headers)
    connection.getresponse().read()
"""


@pytest.mark.usefixtures("needs_view")
async def test_extensions_of_an_image_are_started_within_it(bed: Bed, root, data):
    own = data / "extended"
    shutil.copytree(root, own, symlinks=True, copy_function=os.link)
    (own / "opt/extensions").mkdir(parents=True)
    (own / "opt/extensions/watch").write_text(EXTENSION)
    (own / "opt/extensions/watch").chmod(0o755)
    (own / "function/app.py").unlink()
    source = "def handler(event, context):\n    return open('/tmp/extension').read()\n"
    (own / "function/app.py").write_text(source)
    reply = await bed.invoke(function(bed, own))
    assert reply.payload == b'"/"', reply
    (own / "opt/extensions/watch").unlink()
    (own / "opt/extensions").rmdir()
    (own / "opt/extensions").symlink_to("/usr/bin")  # the host's, were it followed
    reply = await bed.invoke(function(bed, own, code_hash="other", name="g"))
    assert reply.error_type == "Runtime.ExitError"  # no file: nothing was started


@pytest.mark.usefixtures("needs_view")
async def test_what_cannot_be_started_is_the_functions_error(bed: Bed, root):
    """The types AWS has for images that name what they do not hold."""
    for image, error_type, text in (
        (Image(uri="x", entry_point=("/nope", "a")), "Runtime.InvalidEntrypoint", "[/nope]"),
        (Image(uri="x", entry_point=("nope",)), "Runtime.InvalidEntrypoint", "[nope]"),
        (Image(uri="x", entry_point=("/etc/own",)), "Runtime.InvalidEntrypoint", "permission"),
        (
            Image(uri="x", entry_point=ENTRY_POINT, working_directory="/nope"),
            "Runtime.InvalidWorkingDir",
            "chdir /nope: no such file or directory",
        ),
    ):
        reply = await bed.invoke(function(bed, root, image))
        assert reply.error_type == error_type
        assert text in json.loads(reply.payload)["errorMessage"]


@pytest.mark.usefixtures("needs_view")
async def test_a_file_system_is_seen_beside_the_image(data, facts, root):
    ledger = data / "ledger"
    ledger.mkdir()
    ledger.chmod(0o777)
    bed = Bed(data, facts)
    bed.hosting = Hosting(file_systems={"/mnt/ledger": str(ledger)})
    await bed.open(PoolSettings())
    try:
        made = function(bed, root, file_systems=("/mnt/ledger",))
        result = await seen(bed, made, "/mnt/ledger/row", "/mnt/other")
        assert result["writes"]["/mnt/ledger/row"] == "written"
        assert result["writes"]["/mnt/other"] != "written"
        assert (ledger / "row").exists()
    finally:
        await bed.pool.close(0)


@pytest.mark.parametrize(("rung", "view"), [(0, True), (1, True), (2, False), (3, False)])
async def test_without_a_private_view_an_image_is_refused_and_it_says_why(data, root, rung, view):
    if probe(own_interpreter(), IsolationSettings(mounts=view)).rung < rung:
        return
    facts = probe(own_interpreter(), IsolationSettings(rung=rung, mounts=view))
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    try:
        with pytest.raises(NotInvoked, match="an image needs a private file view") as info:
            await bed.invoke(function(bed, root))
        assert info.value.reason == "start_failed"
    finally:
        await bed.pool.close(0)


@pytest.mark.usefixtures("needs_view")
async def test_an_image_nobody_else_may_read_says_what_to_do(bed: Bed, facts, data):
    root = data / "closed"
    for name in PLACES:
        (root / name).mkdir(parents=True)
    for name in ("etc/hosts", "etc/resolv.conf"):
        (root / name).touch()
    root.chmod(0o700)
    image = Image(uri="x", entry_point=("/program",))
    if "uid" in facts.mechanisms:
        with pytest.raises(NotInvoked, match=f"chmod o\\+rx {root}"):
            await bed.invoke(function(bed, root, image))
        return
    assert (await bed.invoke(function(bed, root, image))).error_type == "Runtime.InvalidEntrypoint"
