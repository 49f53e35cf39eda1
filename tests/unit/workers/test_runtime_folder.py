"""boto3 for handlers: only its closure, last on the path, never in the way of a function's own."""

import json
from pathlib import Path

import pytest

from router.workers import runtime_folder
from router.workers.pool import PoolSettings

from .conftest import Bed

BOTO3 = """
import boto3, sys
def handler(event, context):
    return [boto3.__version__, sys.path[-1], sys.path[0], "boto3" in PRELOADED]
""".replace("import boto3, sys", "import sys\nPRELOADED = list(sys.modules)\nimport boto3")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    return runtime_folder.build(folder)


def test_it_holds_boto3s_closure_and_nothing_else(built):
    assert {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"} <= set(
        built.packages
    )
    assert not {"aiohttp", "msgspec", "aiobotocore", "pytest", "__pycache__"} & set(built.packages)


def test_it_is_built_once(built):
    before = Path(built.path).stat().st_ctime_ns
    assert runtime_folder.build(Path(built.path).parents[1]) == built
    assert Path(built.path).stat().st_ctime_ns == before


def test_code_that_ships_a_package_of_it_gets_a_bare_zygote(built, tmp_path):
    (tmp_path / "app.py").write_text("import boto3")
    assert built.suits(str(tmp_path))
    (tmp_path / "urllib3").mkdir()
    assert not built.suits(str(tmp_path))


def test_code_that_never_speaks_of_it_gets_a_bare_zygote(built, tmp_path):
    (tmp_path / "app.py").write_text("import json")
    assert not built.suits(str(tmp_path))
    assert not runtime_folder.NONE.suits(str(tmp_path))


async def test_handlers_import_boto3_preloaded_last_on_the_path(data, facts, built):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(), built)
    try:
        reply = await bed.run(BOTO3)
        version, last, first, is_preloaded = json.loads(reply.payload)
        assert version
        assert first == "/var/task" or first.startswith(str(data))
        assert last in {"/var/runtime", built.path}
        assert is_preloaded
        source = (
            "import boto3\ndef handler(event, context):\n"
            "    client = boto3.client('sqs', region_name='us-east-1', "
            "aws_access_key_id='k', aws_secret_access_key='s')\n"
            "    return client.meta.service_model.service_name\n"
        )
        assert (await bed.run(source, name="client")).payload == b'"sqs"'
    finally:
        await bed.pool.close(0)


async def test_a_functions_own_package_wins(data, facts, built):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(), built)
    try:
        function = bed.function(
            "import boto3\ndef handler(event, context):\n    return boto3.MINE\n"
        )
        (Path(function.code_path) / "boto3.py").write_text("MINE = 'own'\n")
        assert (await bed.invoke(function)).payload == b'"own"'
    finally:
        await bed.pool.close(0)
