"""Publishes what a template's versions ask for, and tells everybody their numbers.

What else has its name from the router alone gets it here too: layers' versions and ids of URLs.
"""

from collections import ChainMap
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from router.functions.publish import Publication, is_same, publish
from router.functions.url_id import new_url_id
from router.model.function_url import FunctionUrl
from router.model.resources import Function
from router.model.version import Version
from router.store.catalog import Catalog, own_name
from router.template.desired import Desired, name_of
from router.template.layering import Codes, LayerPlans
from router.template.resources.base import NextLayer, NextVersion

Wish = tuple[str, str, Desired]
"""Kind, name and resource."""

T = TypeVar("T", bound=msgspec.Struct)


class Numbering:
    """The versions of one plan."""

    def __init__(
        self, catalog: Catalog, codes: Codes, now_ms: int, *, keeps_versions: bool
    ) -> None:
        """`keeps_versions`: what `AutoPublishAlias` published stays when it publishes again."""
        self._catalog = catalog
        self._codes = codes
        self._layers = LayerPlans(catalog, codes, now_ms)
        self._now_ms = now_ms
        self._keeps_versions = keeps_versions
        self._planned: dict[str, Version] = {}
        self._numbers: dict[str, str] = {}

    async def run(self, wishes: Sequence[Wish]) -> list[Wish]:
        """The wishes with versions in place of what asks for them, each after what it needs.

        Raises `FolderUnusable` for code that cannot be copied.
        """
        found: list[Wish] = []
        functions: dict[str, int] = {}
        for kind, _, unnumbered in wishes:
            wish = self._numbered(unnumbered)
            if isinstance(wish, FunctionUrl):
                wish = self._with_id(wish)
            if isinstance(wish, NextLayer):
                layer = await self._layers.publish(wish)
                self._numbers[wish.token] = str(layer.number)
                found.append((kind, name_of(layer), layer))
                continue
            if isinstance(wish, Function):
                wish = await self._layers.give(wish)
                functions[wish.name] = len(found)
            if not isinstance(wish, NextVersion):
                found.append((kind, name_of(wish), wish))
                continue
            at = functions[wish.function]
            function = found[at][2]
            if not isinstance(function, Function):
                raise TypeError(f"{wish.function} is no function")
            publication = await self._publish(wish, function)
            version, last = publication.version, publication.function.last_version
            self._numbers[wish.token] = str(version.number)
            counting = msgspec.structs.replace(function, last_version=last)
            found[at] = "function", function.name, counting
            if publication.is_new or version.owner == wish.owner:
                self._planned[name_of(version)] = version
                found.append(("version", name_of(version), version))
        return found

    def _with_id(self, wish: FunctionUrl) -> FunctionUrl:
        """The URL with the id it has, or a new one in place of what stands for it."""
        known = self._catalog.function_urls.get(name_of(wish))
        is_known = known is not None and known.owner == wish.owner
        self._numbers[wish.id] = known.id if known is not None and is_known else new_url_id()
        return msgspec.structs.replace(wish, id=self._numbers[wish.id])

    def numbered_text(self, text: str) -> str:
        """A text with the numbers of the versions it refers to."""
        for token, number in self._numbers.items():
            text = text.replace(token, number)
        return text

    def _numbered(self, resource: T) -> T:
        if not self._numbers:
            return resource
        before = msgspec.json.encode(resource).decode()
        text = self.numbered_text(before)
        return resource if text == before else msgspec.json.decode(text, type=type(resource))

    async def _publish(self, wish: NextVersion, wanted: Function) -> Publication:
        known = self._catalog.functions.get(wish.function)
        last = max(wanted.last_version, known.last_version if known else 0)
        function = msgspec.structs.replace(wanted, last_version=last)
        if not wish.is_automatic:
            for version in self._catalog.versions.values():
                if version.owner == wish.owner and version.function.name == wish.function:
                    return Publication(version, function, [])
        versions = ChainMap(self._planned, self._catalog.versions)
        newest = versions.get(own_name(wish.function, str(last)))
        if newest is not None and is_same(newest, function):
            return Publication(newest, function, [])  # nothing to copy
        is_kept = wish.is_automatic and self._keeps_versions
        return await publish(
            versions,
            function,
            self._codes.snapshot,
            self._now_ms,
            description=wish.description,
            owner=None if is_kept else wish.owner,
        )
