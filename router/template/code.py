"""Code as functions run it: a folder used in place, or text written in the template."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from router.functions.packages import Package
from router.functions.tree import files, tree_hash
from router.template.resources.base import InlineCode

FOLDERS_KEPT_MAX = 256
"""Folders whose hash is remembered."""

CodeOf = Callable[[Path], Awaitable[Package]]
"""Makes a folder ready to run: `InPlace()`, or `CodeStore.snapshot`."""


class InPlace:
    """Runs folders where they are, as `router run` does.

    Contents are hashed again only when a name, size, mode or time of a file has changed.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[bytes, Package]] = {}

    async def __call__(self, folder: Path) -> Package:
        """The folder as a package. Raises `FolderUnusable`."""
        return await asyncio.to_thread(self._package, folder)

    def _package(self, folder: Path) -> Package:
        seen = folder_stamp(folder)
        known = self._known.get(folder)
        if known is not None and known[0] == seen:
            return known[1]
        code_hash, size_bytes = tree_hash(folder)
        package = Package(str(folder), code_hash, size_bytes, None, size_bytes)
        if len(self._known) >= FOLDERS_KEPT_MAX:
            self._known.clear()
        self._known[folder] = seen, package
        return package


def folder_stamp(folder: Path) -> bytes:
    """Names, sizes, times and modes of all files. Raises `FolderUnusable`."""
    digest = hashlib.sha256()
    for name, path in files(folder):
        facts = path.stat()
        text = f"{name}\0{facts.st_size} {facts.st_mtime_ns} {facts.st_mode} {facts.st_ino}\0"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.digest()


async def keep_inline(root: Path, code: InlineCode) -> Path:
    """Write inline code to a folder under `root` named by what it holds; the folder."""
    return await asyncio.to_thread(_keep_inline, root, code)


def _keep_inline(root: Path, code: InlineCode) -> Path:
    digest = hashlib.sha256(f"{code.file_name}\0{code.text}".encode()).hexdigest()
    folder = root / digest
    file = folder / code.file_name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{code.file_name}.new"
        temporary.write_text(code.text, "utf-8")
        temporary.replace(file)
    return folder
