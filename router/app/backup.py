"""Back-up of a data folder while a router runs on it, as one archive.

The archive is a tar file: the store of one moment, the code packages and the folder's identity;
`backup.json` comes last and names every file with its hash, so that an archive that was cut short
is never taken for a whole one. Code is only ever added while a router runs: copied after the
store, it holds all that the store names.
"""

import hashlib
import io
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

import router
from router.app.identity import IDENTITY_FILE
from router.model.errors import RouterError
from router.store.sqlite import backup as store_backup
from router.store.sqlite.store import DATABASE_NAME

MANIFEST: Final = "backup.json"
FORMAT: Final = 1

FOLDERS: Final = ("code", "inline")
"""What is kept beside the store. Logs of functions are not, and caches are made again."""

UNFINISHED: Final = (".new-", ".backup-")
"""Names that begin so are of a step that is under way."""

SPARE_BYTES: Final = 256 << 20
"""What must be left free beside a copy: the router refuses records when its disk is nearly full."""

CHUNK_BYTES: Final = 1 << 20


class BackupFailed(RouterError):
    """A back-up could not be made, or is none. The text says why and what to do."""

    code = "backup_failed"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    format: int
    made_ms: int
    """Wall time of the moment that the store is of, or a little before."""
    version: str
    """Of the router that made it."""
    schema_version: int
    data: str
    """The folder it was made of."""
    files: dict[str, str]
    """Name in the archive → SHA-256, hex."""


def back_up(
    data: Path,
    out: IO[bytes],
    scratch: Path,
    bytes_per_s: int,
    tell: Callable[[int, int], None],
) -> Manifest:
    """Write an archive of a data folder, whether a router runs on it or not.

    Blocking. `scratch` is a folder with room for a copy of the store. Raises `BackupFailed`,
    `StoreUnusable`.
    """
    database = data / DATABASE_NAME
    if not database.exists():
        raise BackupFailed(f"{data} is no data folder: there is no {DATABASE_NAME} in it")
    _sweep(scratch)
    _check_room(database, scratch)
    made_ms = time.time_ns() // 1_000_000
    copied = scratch / f".backup-{os.getpid()}"
    try:
        schema_version = store_backup.copy(database, copied, bytes_per_s, tell)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            files = {DATABASE_NAME: _add(archive, copied, DATABASE_NAME)}
            for path in _beside(data):
                name = path.relative_to(data).as_posix()
                if path.is_file() and not path.is_symlink():
                    files[name] = _add(archive, path, name)
                else:
                    archive.add(path, name, recursive=False, filter=_nobodys)
            manifest = Manifest(
                format=FORMAT,
                made_ms=made_ms,
                version=router.__version__,
                schema_version=schema_version,
                data=str(data),
                files=files,
            )
            text = msgspec.json.encode(manifest)
            about = tarfile.TarInfo(MANIFEST)
            about.size, about.mode = len(text), 0o600
            archive.addfile(about, io.BytesIO(text))
    except OSError as error:
        raise BackupFailed(f"the archive cannot be written: {error}") from error
    finally:
        copied.unlink(missing_ok=True)
    return manifest


def _beside(data: Path) -> Iterator[Path]:
    """Everything but the store, folders before what is in them."""
    if (data / IDENTITY_FILE).exists():
        yield data / IDENTITY_FILE
    for name in FOLDERS:
        if (data / name).is_dir():
            yield data / name
            yield from _below(data / name)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(UNFINISHED):
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from _below(path)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> str:
    """Add one file; its hash."""
    with path.open("rb") as file:
        about = _nobodys(archive.gettarinfo(arcname=name, fileobj=file))
        about.type = tarfile.REGTYPE  # also where two packages share a file
        about.linkname, about.size = "", os.fstat(file.fileno()).st_size
        reading = Hashing(file)
        archive.addfile(about, reading)
    return reading.hexdigest()


def _nobodys(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without an owner: what is restored is of whoever restores it."""
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    return about


class Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size_bytes: int = -1) -> bytes:
        """The next bytes."""
        chunk = self._file.read(size_bytes)
        self._digest.update(chunk)
        return chunk

    def hexdigest(self) -> str:
        """Of what was read so far."""
        return self._digest.hexdigest()


def _check_room(database: Path, scratch: Path) -> None:
    wanted = store_backup.size_bytes(database)
    try:
        free = shutil.disk_usage(scratch).free
    except OSError as error:
        raise BackupFailed(f"{scratch} cannot be used: {error.strerror}") from error
    if free < wanted + SPARE_BYTES:
        raise BackupFailed(
            f"a copy of the store needs {(wanted + SPARE_BYTES) >> 20} MiB in {scratch}, which has "
            f"{free >> 20}; name another folder with --scratch"
        )


def _sweep(scratch: Path) -> None:
    """Remove copies of back-ups that were killed."""
    for path in scratch.glob(".backup-*"):
        pid = path.name.removeprefix(".backup-")
        if not (pid.isdigit() and Path("/proc", pid).exists()):
            path.unlink(missing_ok=True)
