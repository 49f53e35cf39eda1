"""The large zygote is there for functions that use boto3, before they run, and for nobody else.

And what environments share with the zygote they are forked from.
"""

import asyncio
import py_compile

import pytest

from router.workers import zygotes
from router.workers.launcher import own_interpreter
from router.workers.pool import PoolSettings
from tests.patience import until

from .conftest import Bed

PLAIN = "import json\ndef handler(event, context):\n    return 'plain'\n"
USES = (
    "import sys\nEARLY = 'boto3' in sys.modules\ndef handler(event, context):\n    return EARLY\n"
)
USES += "# boto3\n"
HAS_COMPILED = """
HAS = any(kind.__name__ == "AST" for kind in object.__subclasses__())
def handler(event, context):
    return HAS
"""
BARE, LARGE = (own_interpreter(), False), (own_interpreter(), True)


@pytest.fixture
async def bed(data, facts, tmp_path):
    """With a runtime folder of one small module, which stands for boto3."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    (folder / "boto3.py").write_text("")
    runtime = zygotes.RuntimeFolder(str(folder), frozenset({"boto3"}), ("boto3",))
    bed = Bed(data, facts)
    await bed.open(PoolSettings(), runtime)
    yield bed
    await bed.pool.close(0)


async def looked_at(bed: Bed) -> None:
    task = bed.launcher.zygotes._expecting
    assert task is not None
    await task


async def test_without_a_function_that_uses_it_there_is_only_the_bare_one(bed: Bed):
    assert list(bed.launcher.zygotes.known) == [BARE]
    plain = bed.function(PLAIN)
    bed.pool.expect([plain])
    await looked_at(bed)
    assert (await bed.invoke(plain)).payload == b'"plain"'
    assert list(bed.launcher.zygotes.known) == [BARE]


async def test_a_function_that_uses_it_is_expected_with_it(bed: Bed):
    bed.pool.expect([bed.function(PLAIN), bed.function(USES), bed.function(USES)])
    await looked_at(bed)
    assert list(bed.launcher.zygotes.known) == [BARE, LARGE]
    large = bed.launcher.zygotes.known[LARGE]
    assert (await bed.run(USES)).payload == b"true"
    assert bed.launcher.zygotes.known[LARGE] is large


async def test_one_that_nobody_announced_has_it_all_the_same(bed: Bed):
    replies = await asyncio.gather(*(bed.run(USES, name=f"f-{number}") for number in range(3)))
    assert [reply.payload for reply in replies] == [b"true"] * 3
    assert list(bed.launcher.zygotes.known) == [BARE, LARGE]


@pytest.mark.parametrize(
    "fields", [{"runtime": "provided.al2023"}, {"runtime": "nodejs22.x"}, {"file_systems": ("x",)}]
)
async def test_functions_that_never_come_from_it_do_not_start_it(bed: Bed, fields):
    bed.pool.expect([bed.function(USES, **fields)])
    assert bed.launcher.zygotes._expecting is None


async def test_few_wait_to_be_looked_at_and_none_after_the_end(bed: Bed, monkeypatch):
    monkeypatch.setattr(zygotes, "EXPECTED_MAX", 2)
    bed.pool.expect([bed.function(PLAIN), bed.function(PLAIN), bed.function(USES)])
    assert len(bed.launcher.zygotes._expected) == 2
    await looked_at(bed)
    assert list(bed.launcher.zygotes.known) == [BARE]
    started, start = [], zygotes.Zygote.start

    async def seen(zygote, isolation):
        started.append(zygote)
        await start(zygote, isolation)

    monkeypatch.setattr(zygotes.Zygote, "start", seen)
    bed.pool.expect([bed.function(USES)])
    await until(lambda: started and started[0].is_alive, look_s=0)
    await bed.pool.close(0)  # while it gets ready
    assert bed.launcher.zygotes.known == {}
    assert started[0]._process.poll() is not None


async def test_one_that_does_not_start_is_tried_again_by_who_needs_it(bed: Bed, monkeypatch):
    started = zygotes.Zygote.start

    async def refuses(*_args):
        raise zygotes.ZygoteDied("no memory")

    monkeypatch.setattr(zygotes.Zygote, "start", refuses)
    function = bed.function(USES)
    bed.pool.expect([function])
    await looked_at(bed)
    assert list(bed.launcher.zygotes.known) == [BARE]
    monkeypatch.setattr(zygotes.Zygote, "start", started)
    assert (await bed.invoke(function)).payload == b"true"


async def test_what_the_first_compilation_makes_is_there_before_the_fork(bed: Bed):
    function = bed.function(HAS_COMPILED)
    py_compile.compile(f"{function.code_path}/app.py")  # nothing to compile for its environment
    assert (await bed.invoke(function)).payload == b"true"
