"""Publishing: a function as it is now becomes a version (`functions-and-invocation.md` 4.4)."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from router.functions.packages import Package, with_code
from router.model.resources import Function, Owner
from router.model.version import Version
from router.store.base import Put
from router.store.catalog import own_name, put

NOT_CONTENT: Final = frozenset(
    {
        "code_path",
        "code_sha256",
        "code_size",
        "is_in_place",
        "layers_path",
        "last_modified_ms",
        "last_version",
        "owner",
        "recursive_loop",
        "reserved_concurrency",
        "revision_id",
        "runtime_management",
        "tags",
        "unzipped_bytes",
    }
)
"""Members of a function that are no part of a version, or follow from its code and layers."""

Snapshot = Callable[[Path], Awaitable[Package]]
"""Makes a copy of a folder of code: `CodeStore.snapshot`."""


class Publication(msgspec.Struct, frozen=True):
    """What publishing comes to."""

    version: Version
    function: Function
    """As it is after; it counts its versions."""
    changes: list[Put]
    """To be committed together; none when the newest version is the same."""

    @property
    def is_new(self) -> bool:
        """Whether a version was made."""
        return bool(self.changes)


def content_of(function: Function) -> dict[str, Any]:
    """Code and configuration: what makes one version differ from another."""
    return {
        field: getattr(function, field)
        for field in function.__struct_fields__
        if field not in NOT_CONTENT
    }


async def publish(
    versions: Mapping[str, Version],
    function: Function,
    snapshot: Snapshot,
    now_ms: int,
    *,
    description: str | None = None,
    owner: Owner | None = None,
) -> Publication:
    """The version that `function` is, a new one unless the newest of `versions` is the same.

    `function` may be on its way into the catalog still. Code used in place is copied, so that
    the version keeps it. Call inside `Catalog.changing()`. Raises `tree.FolderUnusable`.
    """
    frozen = function
    if function.is_in_place:
        frozen = with_code(function, await snapshot(Path(function.code_path)))
    newest = versions.get(own_name(function.name, str(function.last_version)))
    if newest is not None and is_same(newest, frozen):
        return Publication(newest, function, [])
    return _new_version(function, frozen, now_ms, description, owner)


def _new_version(
    function: Function, frozen: Function, now_ms: int, description: str | None, owner: Owner | None
) -> Publication:
    number = function.last_version + 1
    version = Version(
        number=number,
        function=msgspec.structs.replace(
            frozen,
            description=function.description if description is None else description,
            last_modified_ms=now_ms,
            last_version=0,
            owner=None,
            recursive_loop="Terminate",
            reserved_concurrency=None,
            revision_id=str(uuid.uuid4()),
            runtime_management={},
            tags={},
        ),
        described=function.description,
        owner=owner,
    )
    after = msgspec.structs.replace(function, last_version=number, revision_id=str(uuid.uuid4()))
    changes = [
        put("function", function.name, after),
        put("version", own_name(function.name, str(number)), version),
    ]
    return Publication(version, after, changes)


def is_same(version: Version, function: Function) -> bool:
    """Whether publishing the function would give this version again."""
    then = msgspec.structs.replace(version.function, description=version.described)
    return content_of(then) == content_of(function)
