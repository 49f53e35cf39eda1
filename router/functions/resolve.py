"""From a name and a qualifier to what runs (`functions-and-invocation.md` 3.2, 5.2)."""

import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from router.functions.publish import content_of
from router.model.arn import function_arn
from router.model.errors import NotFound, NotInvoked
from router.model.function import FunctionVersion
from router.model.log_settings import default_group, log_settings
from router.model.resources import Function
from router.model.version import LATEST, Alias, Version
from router.store.catalog import Catalog, own_name

Draw = Callable[[], float]
"""A number from 0 up to 1, drawn anew at each call."""


class Found(msgspec.Struct, frozen=True):
    """What a qualifier leads to."""

    function: Function
    """As it is in this version."""
    version: str
    """A number, or `$LATEST`."""
    alias: Alias | None = None
    """The one it was asked for by; `version` is the one that takes what the weights leave."""


class Known(Protocol):
    """What exists: the catalog, or what it would be."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """By name."""

    @property
    def versions(self) -> Mapping[str, Version]:
        """By `own_name`."""

    @property
    def aliases(self) -> Mapping[str, Alias]:
        """By `own_name`."""


def look_up(catalog: Known, name: str, qualifier: str | None) -> Found | None:
    """The version behind a qualifier; None when the function, version or alias does not exist."""
    function = catalog.functions.get(name)
    if function is None:
        return None
    if qualifier is None or qualifier == LATEST:
        return Found(function, LATEST)
    alias = catalog.aliases.get(own_name(name, qualifier))
    version = qualifier if alias is None else alias.version
    if version == LATEST:
        return Found(function, LATEST, alias)
    published = catalog.versions.get(own_name(name, version))
    return None if published is None else Found(published.function, version, alias)


def has_qualifier(catalog: Catalog, name: str, qualifier: str | None) -> bool:
    """Whether the function exists and has this version or alias; none means `$LATEST`."""
    return look_up(catalog, name, qualifier) is not None


def versions_of(catalog: Catalog, name: str) -> list[Version]:
    """A function's published versions, the oldest first."""
    start = own_name(name, "")
    found = [version for key, version in catalog.versions.items() if key.startswith(start)]
    return sorted(found, key=lambda version: version.number)


def version_of(
    function: Function, region: str, account: str, version: str = LATEST
) -> FunctionVersion:
    """What an environment needs to run this version of a function."""
    logs = log_settings(function.name, function.extra.get("LoggingConfig"))
    return FunctionVersion(
        name=function.name,
        arn=function_arn(region, account, function.name),
        version=version,
        runtime=function.runtime,
        handler=function.handler,
        code_path=function.code_path,
        code_hash=function.code_hash,
        layers_path=function.layers_path,
        image=function.image,
        timeout_ms=function.timeout_s * 1000,
        memory_mb=function.memory_mb,
        ephemeral_mb=function.ephemeral_mb,
        environment=function.environment,
        file_systems=function.file_systems,
        log_group=logs.group or default_group(function.name),
        logs=logs,
        dead_letter_arn=function.dead_letter_arn,
        revision=_revision_of(function),
    )


def _revision_of(function: Function) -> str:
    """Another one after each update, the same after what environments need not know of.

    A function that is published, tagged or limited goes on in the environments it has.
    """
    content = msgspec.json.encode((function.last_modified_ms, content_of(function)))
    return hashlib.sha256(content).hexdigest()[:32]


class FunctionResolver:
    """Looks functions up by name and qualifier in the catalog."""

    def __init__(
        self, catalog: Catalog, region: str, account: str, draw: Draw = random.random
    ) -> None:
        """`draw` decides which version of a weighted alias runs."""
        self._catalog = catalog
        self._region = region
        self._account = account
        self._draw = draw
        self._made: dict[tuple[str, str], tuple[Function, FunctionVersion]] = {}

    def get(
        self, name: str, qualifier: str | None = None, *, draw: float | None = None
    ) -> FunctionVersion:
        """The version to run. Raises `NotFound`.

        A weighted alias is drawn for each time it is asked for, by `draw` when it is given.
        """
        found = look_up(self._catalog, name, qualifier)
        if found is not None and found.alias is not None and found.alias.weights:
            share = self._draw() if draw is None else draw
            found = look_up(self._catalog, name, drawn_version(found.alias, share))
        if found is None:
            raise NotFound(f"function {name}{':' + qualifier if qualifier else ''} does not exist")
        key = (name, found.version)
        made = self._made.get(key)
        if made is None or made[0] is not found.function:
            version = version_of(found.function, self._region, self._account, found.version)
            made = self._made[key] = (found.function, version)
        return made[1]

    def get_for_mapping(
        self, name: str, qualifier: str | None, *, draw: float | None = None
    ) -> FunctionVersion:
        """As `get`, for a mapping. Raises `NotInvoked("function_missing")`."""
        try:
            return self.get(name, qualifier, draw=draw)
        except NotFound as error:
            raise NotInvoked("function_missing", str(error)) from None

    def is_shared(self, name: str, qualifier: str | None) -> bool:
        """Whether the qualifier is an alias that has weights now."""
        alias = self._catalog.aliases.get(own_name(name, qualifier or LATEST))
        return alias is not None and bool(alias.weights)

    def current(self, name: str) -> list[FunctionVersion]:
        """All that may run of a function now; nothing once it is gone."""
        versions: list[str] = []
        if name in self._catalog.functions:
            versions = [LATEST, *(str(it.number) for it in versions_of(self._catalog, name))]
        for key in [key for key in self._made if key[0] == name and key[1] not in versions]:
            del self._made[key]
        return [self.get(name, version) for version in versions]


def may_loop(catalog: Known, name: str) -> bool:
    """Whether a function's loops go on: a setting of all its versions (7.6)."""
    function = catalog.functions.get(name)
    return function is not None and function.recursive_loop == "Allow"


def may_share(one: Function, other: Function) -> bool:
    """Whether two versions may share the invocations of an alias (5.2)."""
    letters = [function.extra.get("DeadLetterConfig") for function in (one, other)]
    return one.role == other.role and letters[0] == letters[1]


def drawn_version(alias: Alias, share: float) -> str:
    """The version that a number from 0 up to 1 falls to."""
    for version, weight in alias.weights.items():
        if share < weight:
            return version
        share -= weight
    return alias.version
