"""Code packages on disk: named by what they hold, whole or not there at all.

Layout of the folder: `<hash>/` unpacked code, `<hash>.zip` the package as uploaded.
"""

import asyncio
import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from router.functions import overlay, tree, zips
from router.functions.bytecode import add_bytecode
from router.model.resources import Function

FLUSHED_FILES_MAX: Final = 1_000
"""Packages with more files are flushed with everything else that waits for the disk."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Package(msgspec.Struct, frozen=True):
    """Code ready to run."""

    path: str
    hash: str
    """Hex; of the uploaded zip, or of a folder's contents."""
    size_bytes: int
    """Of the zip, or of the folder's files."""
    sha256: str | None
    """Base64 of the zip's SHA-256 (`CodeSha256`); None for a folder."""
    unzipped_bytes: int = 0
    """Of the files, without what is compiled beside them."""


class CodeStore:
    """All code packages of one data folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def add_zip(self, data: bytes) -> Package:
        """Unpack and keep a zip. Raises `BadZip`."""
        return await asyncio.to_thread(self._add_zip, data)

    async def snapshot(self, folder: Path) -> Package:
        """Keep a copy of a folder of code. Raises `tree.FolderUnusable`."""
        return await asyncio.to_thread(self._snapshot, folder)

    async def overlay(self, hashes: Sequence[str]) -> str:
        """The folder that is several packages one over the other: what a later one has counts.

        Its name is the one `overlay_hash` tells. Raises `OSError` for one that is gone.
        """
        return await asyncio.to_thread(self._overlay, tuple(hashes))

    async def zip_of(self, code_hash: str, code_path: str) -> bytes:
        """The uploaded zip, or a folder's deterministic one. Raises `tree.FolderUnusable`."""
        return await asyncio.to_thread(self._zip_of, code_hash, code_path)

    async def sha256_of(self, code_hash: str, code_path: str) -> str:
        """Base64 of the SHA-256 of `zip_of`. Raises `tree.FolderUnusable`."""
        return await asyncio.to_thread(self._sha256_of, code_hash, code_path)

    async def sweep(self, in_use: Collection[str]) -> int:
        """Remove packages no function uses and leftovers of a crash; how many."""
        return await asyncio.to_thread(self._sweep, frozenset(in_use))

    def _add_zip(self, data: bytes) -> Package:
        digest = hashlib.sha256(data)
        name = digest.hexdigest()
        self._keep(name, lambda target: zips.extract(data, target))
        self._keep_file(f"{name}.zip", data)
        return Package(
            path=str(self._root / name),
            hash=name,
            size_bytes=len(data),
            sha256=base64.b64encode(digest.digest()).decode(),
            unzipped_bytes=zips.unzipped_bytes(data),
        )

    def _snapshot(self, folder: Path) -> Package:
        name, size_bytes = tree.tree_hash(folder)

        def copy(target: Path) -> None:
            for below, source in tree.files(folder):
                path = target / below
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
                path.chmod(0o755 if tree.is_executable(source) else 0o644)

        self._keep(name, copy)
        return Package(str(self._root / name), name, size_bytes, None, size_bytes)

    def _overlay(self, hashes: Sequence[str]) -> str:
        name = overlay_hash(hashes)
        if len(hashes) == 1:
            return str(self._root / name)

        def fill(target: Path) -> None:
            for one in hashes:
                overlay.put_over(self._root / one, target)

        self._keep(name, fill)
        return str(self._root / name)

    def _zip_of(self, code_hash: str, code_path: str) -> bytes:
        path = self._root / f"{code_hash}.zip"
        if _HASH.fullmatch(code_hash) and path.is_file():
            return path.read_bytes()
        return tree.deterministic_zip(Path(code_path))

    def _sha256_of(self, code_hash: str, code_path: str) -> str:
        digest = hashlib.sha256(self._zip_of(code_hash, code_path)).digest()
        return base64.b64encode(digest).decode()

    def _keep(self, name: str, fill: Callable[[Path], object]) -> None:
        """Make a folder under a temporary name; rename it once it is whole and on disk."""
        final = self._root / name
        if final.is_dir():
            return
        self._root.mkdir(parents=True, exist_ok=True)
        self._root.chmod(0o755)
        temporary = Path(tempfile.mkdtemp(dir=self._root, prefix=".new-"))
        try:
            fill(temporary)
            add_bytecode(temporary)
            for folder in [temporary, *(path for path in temporary.rglob("*") if path.is_dir())]:
                if not folder.is_symlink():
                    folder.chmod(0o755)
            _flush(temporary)
            try:
                temporary.rename(final)
            except OSError:
                if not final.is_dir():  # else somebody else made the same code just now
                    raise
            _flush_folder(self._root)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _keep_file(self, name: str, data: bytes) -> None:
        final = self._root / name
        if final.is_file():
            return
        descriptor, temporary = tempfile.mkstemp(dir=self._root, prefix=".new-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(final)
        _flush_folder(self._root)

    def _sweep(self, in_use: frozenset[str]) -> int:
        removed = 0
        if not self._root.is_dir():
            return 0
        for path in self._root.iterdir():
            name = path.name.removesuffix(".zip")
            if path.name.startswith(".new-") or (_HASH.fullmatch(name) and name not in in_use):
                removed += 1
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        return removed


def overlay_hash(hashes: Sequence[str]) -> str:
    """The name of several packages one over the other: of one it is its own, of none empty."""
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def with_code(function: Function, package: Package, *, is_in_place: bool = False) -> Function:
    """The function with other code."""
    return msgspec.structs.replace(
        function,
        code_path=package.path,
        code_hash=package.hash,
        code_size=package.size_bytes,
        code_sha256=package.sha256,
        unzipped_bytes=package.unzipped_bytes,
        is_in_place=is_in_place,
    )


def package_of(function: Function) -> Package:
    """The code that `with_code` has given a function."""
    return Package(
        path=function.code_path,
        hash=function.code_hash,
        size_bytes=function.code_size,
        sha256=function.code_sha256,
        unzipped_bytes=function.unzipped_bytes,
    )


def _flush(folder: Path) -> None:
    """Bring a folder's files to disk, so that a rename never names half of them."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    if len(paths) > FLUSHED_FILES_MAX:
        os.sync()
        return
    for path in (*paths, folder):
        if path.is_dir():
            _flush_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
