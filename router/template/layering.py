"""Publishes what a template's layers ask for, and gives functions what they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from router.functions.packages import Package
from router.model.arn import ArnError, parse_arn
from router.model.layer import LayerVersion, layer_key
from router.model.resources import Function, LayerUse
from router.store.catalog import Catalog
from router.template.resources.base import NextLayer


class Codes(Protocol):
    """Code on disk: `functions.packages.CodeStore`."""

    async def snapshot(self, folder: Path) -> Package:
        """Keep a copy of a folder. Raises `FolderUnusable`."""

    async def overlay(self, hashes: Sequence[str]) -> str:
        """The folder that several packages make, one over the other."""

    async def sha256_of(self, code_hash: str, code_path: str) -> str:
        """Base64 of the SHA-256 of a package's zip."""


class LayerPlans:
    """The layers of one plan."""

    def __init__(self, catalog: Catalog, codes: Codes, now_ms: int) -> None:
        self._catalog = catalog
        self._codes = codes
        self._now_ms = now_ms
        self._planned: dict[str, LayerVersion] = {}
        self._last: dict[str, int] = {}

    async def publish(self, wish: NextLayer) -> LayerVersion:
        """The version with what the folder holds now: the one there is, or the next one.

        Raises `FolderUnusable`.
        """
        package = await self._codes.snapshot(Path(wish.folder))
        number = self._number(wish, package.hash)
        version = LayerVersion(
            name=wish.name,
            number=number,
            code_hash=package.hash,
            code_size=package.size_bytes,
            unzipped_bytes=package.unzipped_bytes,
            sha256=package.sha256 or await self._codes.sha256_of(package.hash, package.path),
            description=wish.description,
            runtimes=wish.runtimes,
            architectures=wish.architectures,
            licence=wish.licence,
            created_ms=self._now_ms,
            owner=wish.owner,
        )
        self._planned[layer_key(wish.name, number)] = version
        self._last[wish.name] = max(number, self._last.get(wish.name, 0))
        return version

    async def give(self, function: Function) -> Function:
        """A function with the layers it names, as far as they exist."""
        if not function.layers:
            return function
        uses = tuple(self._find(function.name, use) for use in function.layers)
        path = ""
        if all(use.code_hash for use in uses):
            path = await self._codes.overlay([use.code_hash for use in uses])
        return msgspec.structs.replace(function, layers=uses, layers_path=path)

    def _number(self, wish: NextLayer, code_hash: str) -> int:
        for version in self._catalog.layer_versions.values():
            if version.owner == wish.owner and _says(version) == _says_of(wish, code_hash):
                return version.number
        known = self._catalog.layers.get(wish.name)
        return max(self._last.get(wish.name, 0), known.last_number if known else 0) + 1

    def _find(self, function: str, use: LayerUse) -> LayerUse:
        """What is behind an ARN; as given where nothing is."""
        try:
            name, number = parse_arn(use.arn).resource.removeprefix("layer:").split(":")
            key = layer_key(name, int(number))
        except (ArnError, ValueError):
            return use
        version = self._planned.get(key) or self._catalog.layer_versions.get(key)
        if version is not None:
            return LayerUse(use.arn, version.code_hash, version.code_size, version.unzipped_bytes)
        known = self._catalog.functions.get(function)
        kept = [other for other in (known.layers if known else ()) if other.arn == use.arn]
        return kept[0] if kept else use  # whoever used it goes on after it was deleted


def _says(version: LayerVersion) -> tuple[object, ...]:
    return (
        version.name,
        version.code_hash,
        version.description,
        version.runtimes,
        version.architectures,
        version.licence,
    )


def _says_of(wish: NextLayer, code_hash: str) -> tuple[object, ...]:
    return (
        wish.name,
        code_hash,
        wish.description,
        wish.runtimes,
        wish.architectures,
        wish.licence,
    )
