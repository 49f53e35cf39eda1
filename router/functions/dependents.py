"""What belongs to a function and goes with it."""

from collections.abc import Sequence
from typing import Final

from router.functions.packages import overlay_hash
from router.store.base import Change, Delete
from router.store.catalog import Catalog, named, own_name

KINDS: Final = ("version", "alias", "event_invoke", "function_url", "permission", "provisioned")
"""Kinds whose names are `own_name(function, qualifier)`, or begin so and go on after a colon."""


def removal(catalog: Catalog, function: str) -> list[Delete]:
    """The changes that delete a function and all that belongs to it. Its mappings stay (P7)."""
    start = own_name(function, "")
    belonging = [
        Delete(kind, name)
        for kind in KINDS
        for name in catalog.table(kind)
        if name.startswith(start)
    ]
    return [*belonging, Delete("function", function)]


def removal_of_version(catalog: Catalog, function: str, qualifier: str) -> list[Delete]:
    """The changes that delete a version or an alias and what belongs to it alone."""
    own = own_name(function, qualifier)
    return [
        Delete(kind, name)
        for kind in KINDS
        for name in catalog.table(kind)
        if name == own or name.startswith(f"{own}:")
    ]


def changed_functions(changes: Sequence[Change]) -> set[str]:
    """Names of functions of which something that runs has come, gone or changed."""
    return {
        name.partition(":")[0] for kind, name in named(changes) if kind in ("function", "version")
    }


def code_in_use(catalog: Catalog) -> set[str]:
    """Hashes of all code that is a layer's, or that a function or one of its versions runs."""
    functions = [*catalog.functions.values()]
    functions += [version.function for version in catalog.versions.values()]
    used = {layer.code_hash for layer in catalog.layer_versions.values()}
    for function in functions:
        used.add(function.code_hash)
        if hashes := [layer.code_hash for layer in function.layers]:
            used |= {*hashes, overlay_hash(hashes)}
    return used
