"""The catalog: everything that exists, typed and in memory, written through to the store.

One owner of the truth. Whoever changes what exists computes changes against the catalog and
commits them; they are durable first, then visible, then listeners hear of them.
"""

import asyncio
import collections.abc
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from router.model.concurrency import Provisioned
from router.model.errors import RouterError
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.layer import Layer, LayerVersion
from router.model.log_group import LogGroup
from router.model.permission import Permission
from router.model.resources import Function, Mapping, Queue, Stack, Webhook
from router.model.version import Alias, Version
from router.store.base import Change, Delete, MetadataStore, Put, Resource

KINDS: Final[dict[str, type[msgspec.Struct]]] = {
    "function": Function,
    "mapping": Mapping,
    "queue": Queue,
    "webhook": Webhook,
    "stack": Stack,
    "version": Version,
    "alias": Alias,
    "permission": Permission,
    "function_url": FunctionUrl,
    "provisioned": Provisioned,
    "layer": Layer,
    "layer_version": LayerVersion,
    "event_invoke": EventInvoke,
    "log_group": LogGroup,
}
"""What may exist: kind → what it is stored as. Each has a table, and one a name in `Catalog`."""

Listener = Callable[[Sequence[Change]], Awaitable[None] | None]


class CatalogError(RouterError):
    """The store holds a resource this router cannot read."""

    code = "catalog_error"


class Catalog:
    """Everything of each kind by name: mappings by UUID, what is a function's own by `own_name`.

    The dicts are for reading; change them only through `commit`.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._listeners: list[Listener] = []
        self._tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.functions: dict[str, Function] = self._tables["function"]
        self.mappings: dict[str, Mapping] = self._tables["mapping"]
        self.queues: dict[str, Queue] = self._tables["queue"]
        self.webhooks: dict[str, Webhook] = self._tables["webhook"]
        self.stacks: dict[str, Stack] = self._tables["stack"]
        self.versions: dict[str, Version] = self._tables["version"]
        self.aliases: dict[str, Alias] = self._tables["alias"]
        self.permissions: dict[str, Permission] = self._tables["permission"]
        self.function_urls: dict[str, FunctionUrl] = self._tables["function_url"]
        self.provisioned: dict[str, Provisioned] = self._tables["provisioned"]
        self.layers: dict[str, Layer] = self._tables["layer"]
        self.layer_versions: dict[str, LayerVersion] = self._tables["layer_version"]
        self.event_invokes: dict[str, EventInvoke] = self._tables["event_invoke"]
        self.log_groups: dict[str, LogGroup] = self._tables["log_group"]

    async def load(self) -> None:
        """Read everything. Raises `CatalogError` for what cannot be read."""
        for resource in await self._store.load():
            self._keep(resource)

    def listen(self, listener: Listener) -> None:
        """Call `listener` in the loop after each commit, with its changes, in order.

        What it returns is waited for before the commit is over: for who acts on changes elsewhere.
        """
        self._listeners.append(listener)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator["Catalog"]:
        """Hold off other changes while changes are computed and committed with `commit_locked`."""
        async with self._lock:
            yield self

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make changes durable, then visible, then known. One transaction."""
        async with self._lock:
            await self.commit_locked(changes)

    async def commit_locked(self, changes: Sequence[Change]) -> None:
        """As `commit`, inside `changing()`.

        A caller that is cancelled waits for the end all the same: what was asked of the store may
        be written, and then it must become known, before anybody else changes anything.
        """
        if not changes:
            return
        committing = asyncio.ensure_future(self._make(changes))
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            while not committing.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([committing])
            committing.exception()  # its caller does not wait for it any more
            raise

    async def _make(self, changes: Sequence[Change]) -> None:
        await self._store.apply(changes)
        for change in changes:
            if isinstance(change, Put):
                self._keep(change.resource)
            elif isinstance(change, Delete):
                self._table(change.kind).pop(change.name, None)
        hearing = [listener(changes) for listener in self._listeners]
        for heard in hearing:
            if heard is not None:
                await heard

    def table(self, kind: str) -> collections.abc.Mapping[str, Any]:
        """Everything of one kind by name. Raises `CatalogError` for a kind there is none of."""
        return self._table(kind)

    def _keep(self, resource: Resource) -> None:
        self._table(resource.kind)[resource.name] = decode(resource)

    def _table(self, kind: str) -> dict[str, Any]:
        try:
            return self._tables[kind]
        except KeyError:
            raise CatalogError(f"the store holds a resource of unknown kind {kind!r}") from None


def own_name(function: str, qualifier: str) -> str:
    """The name of what a function has for a version (its number), an alias or `$LATEST`."""
    return f"{function}:{qualifier}"


def named(changes: Sequence[Change]) -> Iterator[tuple[str, str]]:
    """Kind and name of each resource that has come, gone or changed."""
    for change in changes:
        if isinstance(change, Put):
            yield change.resource.kind, change.resource.name
        elif isinstance(change, Delete):
            yield change.kind, change.name


def put(kind: str, name: str, value: msgspec.Struct) -> Put:
    """The change that creates or replaces a typed resource."""
    return Put(Resource(kind, name, msgspec.json.encode(value)))


def decode(resource: Resource) -> msgspec.Struct:
    """A typed resource. Raises `CatalogError`."""
    try:
        return msgspec.json.decode(resource.body, type=KINDS[resource.kind])
    except (KeyError, msgspec.MsgspecError) as error:
        raise CatalogError(
            f"the store's {resource.kind} {resource.name!r} cannot be read: {error}"
        ) from error
