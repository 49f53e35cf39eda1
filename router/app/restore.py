"""Makes a data folder of an archive that `backup.py` wrote.

Everything is unpacked and checked in a folder of its own inside; only what is whole is moved to
its place. Until then no router starts on the folder.
"""

import asyncio
import contextlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import msgspec

from router.app.backup import (
    CHUNK_BYTES,
    FOLDERS,
    FORMAT,
    MANIFEST,
    BackupFailed,
    Hashing,
    Manifest,
)
from router.app.identity import RESTORING
from router.model.resources import Function
from router.store.base import Change
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from router.store.sqlite import backup as store_backup
from router.store.sqlite.lock import LOCK_NAME, FolderLock
from router.store.sqlite.store import DATABASE_NAME

IGNORED: Final = frozenset({"lost+found", LOCK_NAME})
"""What an empty volume may hold."""

MANIFEST_BYTES_MAX: Final = 256 << 20


def restore(archive: IO[bytes], data: Path, tell: Callable[[int], None]) -> Manifest:
    """Unpack an archive into an empty folder, or one that does not exist; what it holds.

    Blocking, outside of a loop. `tell` hears of bytes read. Raises `BackupFailed`,
    `StoreUnusable`; the folder is as empty as it was then.
    """
    data = data.absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = sorted(path.name for path in data.iterdir() if path.name not in IGNORED)
    except OSError as error:
        raise BackupFailed(f"the data folder {data} cannot be used: {error.strerror}") from error
    if found:
        more = f" and {len(found) - 1} more" if found[1:] else ""
        raise BackupFailed(
            f"{data} is not empty (it holds {found[0]}{more}): restore into a folder of its own"
        )
    with FolderLock(data):
        fresh = data / RESTORING
        try:
            fresh.mkdir(mode=0o700)
            manifest = _unpack(archive, fresh, tell)
            _check(manifest, fresh)
            asyncio.run(_move_code(fresh, data))
            _settle(fresh, data)
        except OSError as error:
            raise BackupFailed(f"{data} cannot be written: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return manifest


def _unpack(archive: IO[bytes], fresh: Path, tell: Callable[[int], None]) -> Manifest:
    """Write out every file and compare it with the manifest at the end."""
    hashes: dict[str, str] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r|") as members:
            for member in members:
                if member.name == MANIFEST:
                    manifest = _manifest(members, member)
                    continue
                target = _target(fresh, member)
                if member.isreg():
                    hashes[member.name] = _write(members, member, target)
                    tell(member.size)
                elif member.isdir():
                    target.mkdir(mode=0o755)
                elif member.issym():
                    target.symlink_to(member.linkname)
                else:
                    raise BackupFailed(f"the archive holds {member.name}, which is no file")
    except (tarfile.TarError, EOFError) as error:
        raise BackupFailed(f"the archive cannot be read: {error}") from error
    if manifest is None:
        raise BackupFailed("the archive is not whole: its end is missing. Use another back-up")
    if wrong := sorted(
        name
        for name in hashes.keys() | manifest.files.keys()
        if hashes.get(name) != manifest.files.get(name)
    ):
        raise BackupFailed(f"the archive is damaged: {wrong[0]} is not what was backed up")
    return manifest


def _manifest(members: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    file = members.extractfile(member)
    if file is None or member.size > MANIFEST_BYTES_MAX:
        raise BackupFailed(f"the archive's {MANIFEST} is no file of ours")
    try:
        manifest = msgspec.json.decode(file.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupFailed(f"the archive's {MANIFEST} cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise BackupFailed(
            f"the archive has format {manifest.format}, this router knows {FORMAT}: restore it "
            f"with router {manifest.version}"
        )
    return manifest


def _target(fresh: Path, member: tarfile.TarInfo) -> Path:
    """Where a member goes; never outside, also not through a link that was unpacked before."""
    parts = PurePosixPath(member.name).parts
    target = fresh.joinpath(*parts)
    if not parts or ".." in parts or parts[0] == "/":
        raise BackupFailed(f"the archive holds {member.name!r}, which leads outside")
    if target.parent.resolve() != fresh.resolve().joinpath(*parts[:-1]):
        raise BackupFailed(f"the archive holds {member.name!r}, which leads through a link")
    return target


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    file = members.extractfile(member)
    assert file is not None, "it is a regular file"
    hashing = Hashing(file)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, member.mode & 0o755), "wb") as out:
        while chunk := hashing.read(CHUNK_BYTES):
            out.write(chunk)
    return hashing.hexdigest()


def _check(manifest: Manifest, fresh: Path) -> None:
    if DATABASE_NAME not in manifest.files:
        raise BackupFailed("the archive holds no store")
    store_backup.check(fresh / DATABASE_NAME)


async def _move_code(fresh: Path, data: Path) -> None:
    """Have the store name code where it is from now on, and bring it to this router's schema."""
    store = SqliteStore(fresh)
    await store.open()
    try:
        catalog = Catalog(store.metadata)
        await catalog.load()
        changes: list[Change] = []
        for name, function in catalog.functions.items():
            if (moved := _moved(function, fresh, data)) != function:
                changes.append(put("function", name, moved))
        for name, version in catalog.versions.items():
            if (inner := _moved(version.function, fresh, data)) != version.function:
                moved_version = msgspec.structs.replace(version, function=inner)
                changes.append(put("version", name, moved_version))
        await catalog.commit(changes)
    finally:
        await store.close()


def _moved(function: Function, fresh: Path, data: Path) -> Function:
    """The function with its packages in this folder, whatever the other one was called."""
    changes: dict[str, Any] = {}
    for name in ("code_path", "layers_path"):
        below = Path(*Path(getattr(function, name)).parts[-2:])
        is_ours = len(below.parts) == 2 and below.parts[0] in FOLDERS
        if is_ours and not (function.is_in_place and name == "code_path"):
            changes[name] = str(data / below)
            if not (fresh / below).is_dir():
                raise BackupFailed(f"the archive is damaged: {below} of {function.name} is missing")
    return msgspec.structs.replace(function, **changes)


def _settle(fresh: Path, data: Path) -> None:
    """Everything on disk, then in its place; what says that it is not yet goes last."""
    os.sync()
    for path in sorted(fresh.iterdir()):
        if path.name != LOCK_NAME:
            path.rename(data / path.name)
    with contextlib.suppress(FileNotFoundError):
        (fresh / LOCK_NAME).unlink()
    _flush(data)
    fresh.rmdir()
    _flush(data)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
