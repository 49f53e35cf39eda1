"""What goes with a function, and what it leaves alone."""

import msgspec
import pytest

from router.functions.dependents import (
    changed_functions,
    code_in_use,
    removal,
    removal_of_version,
)
from router.functions.packages import overlay_hash
from router.model.layer import LayerVersion
from router.model.resources import Function, LayerUse
from router.model.version import Alias, Version
from router.store.base import Delete, DropProgress
from router.store.catalog import Catalog, own_name, put


class Memory:
    """A store of metadata that keeps nothing: the catalog does."""

    async def load(self):
        return ()

    async def apply(self, changes):
        pass


def function(name, code="0"):
    return Function(
        name=name,
        runtime="python3.11",
        handler="app.handler",
        role="arn:aws:iam::000000000000:role/r",
        code_path=f"/code/{code}",
        code_hash=code,
        last_modified_ms=1,
        revision_id="r",
    )


def version(name, number, code="0"):
    put_name = own_name(name, str(number))
    return put("version", put_name, Version(number=number, function=function(name, code)))


def alias(name, to):
    return put("alias", own_name(name, "live"), Alias(
        function=name, name="live", version=to, revision_id="r"
    ))  # fmt: skip


@pytest.fixture
async def catalog():
    catalog = Catalog(Memory())
    await catalog.commit(
        [
            *(put("function", name, function(name)) for name in ("f", "f-1", "g")),
            version("f", 1, "1"),
            version("f", 2, "2"),
            version("f-1", 1, "3"),
            alias("f", "2"),
            alias("g", "$LATEST"),
        ]
    )
    return catalog


async def test_a_function_goes_with_its_versions_and_aliases(catalog):
    """P7: mappings are not among them. Another function whose name begins the same stays whole."""
    changes = removal(catalog, "f")
    assert set(changes) == {
        Delete("version", "f:1"),
        Delete("version", "f:2"),
        Delete("alias", "f:live"),
        Delete("function", "f"),
    }
    await catalog.commit(changes)
    assert set(catalog.functions) == {"f-1", "g"}
    assert set(catalog.versions) == {"f-1:1"}
    assert set(catalog.aliases) == {"g:live"}


async def test_code_is_in_use_as_long_as_a_version_runs_it(catalog):
    assert code_in_use(catalog) == {"0", "1", "2", "3"}
    await catalog.commit([Delete("version", "f:1")])
    assert code_in_use(catalog) == {"0", "2", "3"}


async def test_a_layer_is_in_use_by_itself_and_by_who_names_it(catalog):
    layer = LayerVersion(
        name="l", number=1, code_hash="a", code_size=1, unzipped_bytes=1, sha256="", created_ms=1
    )
    uses = tuple(LayerUse(f"arn:l{code}:1", code, 1, 1) for code in "ab")
    with_layers = msgspec.structs.replace(function("f"), layers=uses)
    await catalog.commit([put("layer_version", "l:1", layer), put("function", "f", with_layers)])
    rest = {"0", "1", "2", "3"}
    assert code_in_use(catalog) == rest | {"a", "b", overlay_hash(["a", "b"])}
    await catalog.commit([Delete("function", "f")])
    assert code_in_use(catalog) == rest | {"a"}


def test_changes_tell_whose_environments_to_look_at():
    changes = [
        version("f", 1),
        alias("g", "$LATEST"),
        Delete("version", "h:2"),
        Delete("function", "i"),
        put("function", "j", function("j")),
        DropProgress("m"),
    ]
    assert changed_functions(changes) == {"f", "h", "i", "j"}


async def test_an_alias_or_version_goes_alone(catalog):
    assert removal_of_version(catalog, "f", "1") == [Delete("version", "f:1")]
    assert removal_of_version(catalog, "f", "live") == [Delete("alias", "f:live")]
