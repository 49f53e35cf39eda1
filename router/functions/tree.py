"""A folder of code: its hash, and the one zip it makes wherever and whenever it is made."""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.model.errors import RouterError
from router.model.limits import CODE_ENTRIES_MAX, CODE_UNZIPPED_BYTES_MAX

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold; every entry has it."""

SKIPPED_FOLDERS: Final = frozenset({"__pycache__", ".git"})
SKIPPED_SUFFIXES: Final = frozenset({".pyc"})
"""What running or versioning code leaves behind is not code."""

SKIPPED_PREFIX: Final = ".."
"""Kubernetes keeps the files of a mounted ConfigMap or Secret in a folder `..TIME`, to which the
names people gave are links: each is code once."""

STORE_FILE: Final = "router.db"
"""A folder below the code that holds a store is a router's data folder, and no code either."""


class FolderUnusable(RouterError):
    """A code folder cannot be read, or is larger than Lambda allows."""

    code = "code_folder_unusable"


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file as (path below the folder, file), in one order everywhere.

    A symbolic link that leads out of the folder is left out.
    """
    if not folder.is_dir():
        raise FolderUnusable(f"{folder} is not a folder")
    root = folder.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if _is_code(parent, name))
        for name in names:
            path = Path(parent, name)
            if path.suffix in SKIPPED_SUFFIXES or not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                continue
            found.append((path.relative_to(folder).as_posix(), path))
    if len(found) > CODE_ENTRIES_MAX:
        raise FolderUnusable(f"{folder} has more than {CODE_ENTRIES_MAX} files")
    yield from sorted(found)


def _is_code(parent: str, name: str) -> bool:
    if name in SKIPPED_FOLDERS or name.startswith(SKIPPED_PREFIX):
        return False
    return not Path(parent, name, STORE_FILE).exists()


def _raise(error: OSError) -> None:
    raise FolderUnusable(f"{error.filename} cannot be read: {error.strerror}")


def tree_hash(folder: Path) -> tuple[str, int]:
    """SHA-256 (hex) over names, modes and contents, and the size in bytes.

    Raises `FolderUnusable`.
    """
    digest, size_bytes = hashlib.sha256(), 0
    for name, path in files(folder):
        content = _read(path)
        size_bytes += len(content)
        if size_bytes > CODE_UNZIPPED_BYTES_MAX:
            raise FolderUnusable(f"{folder} holds more than {CODE_UNZIPPED_BYTES_MAX} bytes")
        mode = "x" if is_executable(path) else "-"
        inner = hashlib.sha256(content).hexdigest()
        digest.update(f"{mode}{inner}{name}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest(), size_bytes


def deterministic_zip(folder: Path) -> bytes:
    """The same bytes for the same names, modes and contents. Raises `FolderUnusable`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in files(folder):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, so that the modes count
            entry.external_attr = (0o100755 if is_executable(path) else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, _read(path))
    return out.getvalue()


def is_executable(path: Path) -> bool:
    """Whether anybody may execute a file."""
    return bool(path.stat().st_mode & 0o111)


def is_public(folder: Path) -> bool:
    """Whether any user may read all files, once in the folder. Raises `FolderUnusable`."""
    folders = {folder}
    for _name, path in files(folder):
        if not path.stat().st_mode & 0o004:
            return False
        folders.update(parent for parent in path.parents if parent.is_relative_to(folder))
    return all(path.stat().st_mode & 0o005 == 0o005 for path in folders)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderUnusable(f"{path} cannot be read: {error.strerror}") from None
