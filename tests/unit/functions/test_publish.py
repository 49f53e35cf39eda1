"""Publishing: numbers never come twice, what is the same is not published again (4.4)."""

import msgspec
import pytest

from router.functions.packages import CodeStore
from router.functions.publish import publish
from router.model.version import Version
from router.store.base import Delete
from router.store.catalog import Catalog
from tests.unit.functions.test_dependents import Memory, function


@pytest.fixture
def catalog():
    return Catalog(Memory())


@pytest.fixture
def codes(tmp_path):
    return CodeStore(tmp_path / "code")


@pytest.fixture
def made(catalog, codes):
    async def made(of, **more):
        publication = await publish(catalog.versions, of, codes.snapshot, 5, **more)
        await catalog.commit(publication.changes)
        return publication

    return made


async def test_a_version_is_the_function_as_it_is(made, catalog):
    latest = msgspec.structs.replace(function("f"), tags={"a": "b"}, description="d")
    publication = await made(latest)
    version = publication.version
    assert catalog.versions == {"f:1": version}
    assert catalog.functions["f"] == publication.function
    assert publication.function.last_version == 1
    assert len({latest.revision_id, publication.function.revision_id,
                version.function.revision_id}) == 3  # fmt: skip
    assert (version.function.description, version.function.tags) == ("d", {})
    assert version.function.last_modified_ms == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"code_hash": "1"},
        {"timeout_s": 4},
        {"environment": {"AB": "1"}},
        {"description": "new"},
        {"extra": {"TracingConfig": {"Mode": "Active"}}},
    ],
)
async def test_what_has_changed_is_published(made, changed):
    first = await made(function("f"), description="given")
    assert not (await made(first.function, description="other")).is_new
    second = await made(msgspec.structs.replace(first.function, **changed))
    assert (second.version.number, second.is_new) == (2, True)


@pytest.mark.parametrize(
    "changed",
    [
        {"tags": {"a": "b"}},
        {"recursive_loop": "Allow"},
        {"last_modified_ms": 9, "revision_id": "x"},
        {"runtime_management": {"1": {"UpdateRuntimeOn": "Manual"}}},
    ],
)
async def test_what_is_no_part_of_a_version_is_not_published(made, changed):
    first = await made(function("f"))
    again = await made(msgspec.structs.replace(first.function, **changed))
    assert (again.version, again.changes) == (first.version, [])


async def test_no_number_comes_twice(made, catalog):
    first = await made(function("f"))
    await catalog.commit([Delete("version", "f:1")])
    again = await made(first.function)
    assert (again.version.number, again.is_new) == (2, True)
    assert list(catalog.versions) == ["f:2"]


async def test_code_in_place_is_copied(made, tmp_path):
    """What is saved after it was published is not what the version runs."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")
    in_place = msgspec.structs.replace(
        function("f"), code_path=str(folder), code_hash="as it was seen last", is_in_place=True
    )
    first = await made(in_place)
    frozen = first.version.function
    (folder / "app.py").write_text("x = 2\n")
    assert not frozen.is_in_place
    assert (tmp_path / "code" / frozen.code_hash / "app.py").read_text() == "x = 1\n"
    assert first.function.code_path == str(folder)  # the function itself goes on in place
    second = await made(first.function)
    assert second.version.number == 2
    assert not (await made(second.function)).is_new


def test_a_version_survives_the_store():
    version = Version(number=3, function=function("f"), described="d")
    assert msgspec.json.decode(msgspec.json.encode(version), type=Version) == version
