"""From a name and a qualifier to what runs."""

import random

import msgspec
import pytest

from router.functions.publish import publish
from router.functions.resolve import FunctionResolver, drawn_version, look_up
from router.model.errors import NotFound, NotInvoked
from router.model.version import LATEST, Alias
from router.store.base import Delete
from router.store.catalog import Catalog, own_name, put
from tests.unit.functions.test_dependents import Memory, function


async def no_folder(folder):
    raise AssertionError(folder)


@pytest.fixture
async def catalog():
    """`f` with versions 1 and 2; `live` leads to 1 and gives 2 a quarter."""
    catalog = Catalog(Memory())
    first = await publish(catalog.versions, function("f", "1"), no_folder, 1)
    await catalog.commit(first.changes)
    changed = msgspec.structs.replace(first.function, timeout_s=9, last_modified_ms=2)
    second = await publish(catalog.versions, changed, no_folder, 2)
    await catalog.commit(second.changes)
    alias = Alias(function="f", name="live", version="1", weights={"2": 0.25}, revision_id="r")
    await catalog.commit([put("alias", own_name("f", "live"), alias)])
    return catalog


@pytest.fixture
def resolver(catalog):
    return FunctionResolver(catalog, "us-east-1", "000000000000", random.Random(1).random)


@pytest.mark.parametrize(
    ("qualifier", "version", "timeout_ms"),
    [(None, LATEST, 9_000), (LATEST, LATEST, 9_000), ("1", "1", 3_000), ("2", "2", 9_000)],
)
def test_a_qualifier_leads_to_its_version(resolver, qualifier, version, timeout_ms):
    found = resolver.get("f", qualifier)
    assert (found.version, found.timeout_ms) == (version, timeout_ms)
    assert found.arn == "arn:aws:lambda:us-east-1:000000000000:function:f"
    assert resolver.get("f", qualifier) is found


@pytest.mark.parametrize(("name", "qualifier"), [("g", None), ("f", "3"), ("f", "dead")])
def test_what_does_not_exist(resolver, name, qualifier):
    with pytest.raises(NotFound, match=name):
        resolver.get(name, qualifier)
    with pytest.raises(NotInvoked) as info:
        resolver.get_for_mapping(name, qualifier)
    assert info.value.reason == "function_missing"


def test_a_weighted_alias_draws_each_time(resolver):
    drawn = [resolver.get("f", "live").version for _ in range(2_000)]
    assert abs(drawn.count("2") - 500) < 3 * (2_000 * 0.25 * 0.75) ** 0.5
    assert set(drawn) == {"1", "2"}


def test_a_given_draw_decides(resolver):
    assert resolver.get("f", "live", draw=0.2499).version == "2"
    assert resolver.get("f", "live", draw=0.25).version == "1"
    assert resolver.get_for_mapping("f", "live", draw=0.0).version == "2"


@pytest.mark.parametrize(
    ("weight", "share", "version"),
    [(0.0, 0.0, "1"), (1.0, 0.999999, "2"), (1.0, 0.0, "2"), (0.5, 0.5, "1")],
)
def test_the_ends_of_a_weight(weight, share, version):
    alias = Alias(function="f", name="a", version="1", weights={"2": weight}, revision_id="r")
    assert drawn_version(alias, share) == version


async def test_environments_go_on_through_what_does_not_concern_them(catalog, resolver):
    """Publishing and tags start nothing anew; an update does, a redundant one too (4.3)."""
    before = resolver.get("f")
    latest = catalog.functions["f"]
    tagged = msgspec.structs.replace(latest, tags={"a": "b"}, revision_id="t", last_version=7)
    await catalog.commit([put("function", "f", tagged)])
    assert resolver.get("f").revision == before.revision
    for changed in ({"memory_mb": 256}, {"last_modified_ms": 3}, {"environment": {"AB": "1"}}):
        await catalog.commit([put("function", "f", msgspec.structs.replace(latest, **changed))])
        assert resolver.get("f").revision != before.revision


def test_only_weights_share(resolver):
    shared = [resolver.is_shared("f", it) for it in (None, "1", "live", "dead")]
    assert shared == [False, False, True, False]


async def test_current_is_all_that_may_run(catalog, resolver):
    assert [one.version for one in resolver.current("f")] == [LATEST, "1", "2"]
    await catalog.commit([Delete("version", "f:1")])
    assert [one.version for one in resolver.current("f")] == [LATEST, "2"]
    await catalog.commit([Delete("function", "f")])
    assert resolver.current("f") == []


def test_an_alias_is_found_with_what_takes_the_rest(catalog):
    found = look_up(catalog, "f", "live")
    assert (found.version, found.alias.name) == ("1", "live")
    assert look_up(catalog, "f", None).alias is None
