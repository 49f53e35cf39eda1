"""Unpack a zip somebody else made, and nothing but what it says it is.

Limits are counted while unpacking, never believed from headers. Entries that overlap are refused
(CVE-2024-0450: one stretch of bytes quoted by many entries), whatever the interpreter checks.
Only stored and deflated entries are read, which bounds the ratio at about 1,032 : 1.
"""

import errno
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Final

from router.model.errors import RouterError
from router.model.limits import CODE_ENTRIES_MAX, CODE_UNZIPPED_BYTES_MAX, KIB

CHUNK_BYTES: Final = 256 * KIB
SYMLINK_BYTES_MAX: Final = 4 * KIB
"""Longest target of a symbolic link."""
NAME_BYTES_MAX: Final = 1_024
LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
"""Signature, then lengths of name and extra field, of a local file header."""
CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
END_SIGNATURE: Final = b"PK\x05\x06"
END_BYTES: Final = 22
COMMENT_BYTES_MAX: Final = 65_535
ENCRYPTED: Final = 0x1

ENTRY_ERRORS: Final = frozenset(
    {
        errno.EEXIST,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
    }
)
"""What a package can cause; a full disk is not its fault."""


class BadZip(RouterError):
    """The package is not a zip that may be unpacked here. The text says why."""

    code = "bad_zip"


class UnzippedTooLarge(BadZip):
    """The unpacked code passes the quota."""

    code = "unzipped_too_large"


def extract(data: bytes, target: Path) -> int:
    """Unpack into `target`, an empty folder; returns the unpacked size in bytes.

    Folders become 0755, files 0644 or 0755, so that a function's own user can read them.
    Raises `BadZip`, and `OSError` when the disk fails; what was unpacked until then is the
    caller's to remove.
    """
    try:
        _check_entry_count(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            _check_places(data, entries, archive.start_dir)
            return _extract_entries(archive, entries, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise BadZip(f"not a readable zip: {error}") from None
    except OSError as error:
        if error.errno not in ENTRY_ERRORS:
            raise
        raise BadZip(f"an entry cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise BadZip(f"an entry cannot be written: {error}") from None


def unzipped_bytes(data: bytes) -> int:
    """Bytes of all files of a zip that `extract` has taken: none of them gave more than it said."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _check_entry_count(data: bytes) -> None:
    """Count entries before anything keeps them in memory."""
    end = data.rfind(END_SIGNATURE, max(0, len(data) - END_BYTES - COMMENT_BYTES_MAX))
    if end < 0:
        raise BadZip("no end of a central directory")
    size_bytes = int.from_bytes(data[end + 12 : end + 16], "little")
    start = max(0, end - size_bytes)
    if data.count(CENTRAL_SIGNATURE, start, end) > CODE_ENTRIES_MAX:
        raise BadZip(f"more than {CODE_ENTRIES_MAX} entries")


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise BadZip("no entries")
    if len(entries) > CODE_ENTRIES_MAX:
        raise BadZip(f"more than {CODE_ENTRIES_MAX} entries")
    seen = set()
    for entry in entries:
        name = safe_name(entry)
        if name in seen:
            raise BadZip(f"two entries named {str(name)!r}")
        seen.add(name)
        if entry.flag_bits & ENCRYPTED:
            raise BadZip(f"{str(name)!r} is encrypted")
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise BadZip(f"{str(name)!r} is neither stored nor deflated")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            raise BadZip(f"{str(name)!r} is a device, pipe or socket")
    links = {safe_name(entry) for entry in entries if is_link(entry)}
    for name in seen:
        if any(parent in links for parent in name.parents):
            raise BadZip(f"{str(name)!r} lies behind a symbolic link")


def safe_name(entry: zipfile.ZipInfo) -> PurePosixPath:
    """An entry's path below the target. Raises `BadZip` for one that could leave it."""
    text = entry.orig_filename
    if not text or "\0" in text or len(text.encode("utf-8", "replace")) > NAME_BYTES_MAX:
        raise BadZip("an entry has no name, a NUL in it, or a name too long")
    if re.match(r"[A-Za-z]:|[/\\]", text) or ".." in re.split(r"[/\\]", text):
        raise BadZip(f"{text!r} leads out of the package")
    path = PurePosixPath(text)
    if not path.parts:
        raise BadZip(f"{text!r} is no name")
    return path


def is_link(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a symbolic link."""
    return stat.S_ISLNK(entry.external_attr >> 16)


def _check_places(data: bytes, entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Every entry has bytes of its own, before the central directory."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        start = entry.header_offset
        if start < end:
            raise BadZip(f"{entry.orig_filename!r} overlaps another entry")
        signature, name_length, extra_length = LOCAL_HEADER.unpack_from(data, start)
        if signature != b"PK\x03\x04":
            raise BadZip(f"{entry.orig_filename!r} has no local header")
        end = start + LOCAL_HEADER.size + name_length + extra_length + entry.compress_size
        if end > directory:
            raise BadZip(f"{entry.orig_filename!r} overlaps the central directory")


def _extract_entries(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path) -> int:
    total, links = 0, []
    for entry in entries:
        path = target / safe_name(entry)
        if is_link(entry):
            links.append((path, _link_target(archive, entry)))
            continue
        if entry.is_dir():
            _make_folder(path, target)
            continue
        _make_folder(path.parent, target)
        mode = 0o755 if (entry.external_attr >> 16) & 0o111 else 0o644
        with archive.open(entry) as source, _create(path, mode) as file:
            while chunk := source.read(CHUNK_BYTES):
                total += len(chunk)
                if total > CODE_UNZIPPED_BYTES_MAX:
                    raise UnzippedTooLarge(
                        f"Unzipped size must be smaller than {CODE_UNZIPPED_BYTES_MAX} bytes"
                    )
                file.write(chunk)
    for path, destination in links:
        _make_folder(path.parent, target)
        path.symlink_to(destination)
    root = target.resolve()
    for path, destination in links:
        # Only now can chains of links be followed to where they really lead.
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise BadZip(f"symbolic link {path.name!r} → {destination!r} leads out of the package")
    return total


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    with archive.open(entry) as source:
        text = source.read(SYMLINK_BYTES_MAX + 1)
    if not text or len(text) > SYMLINK_BYTES_MAX or b"\0" in text or text.startswith(b"/"):
        raise BadZip(f"symbolic link {entry.orig_filename!r} has no relative target")
    return os.fsdecode(text)


def _make_folder(path: Path, root: Path) -> None:
    """Make a folder and those above it readable for everybody, whatever the umask."""
    if path == root or path.is_dir():
        return
    _make_folder(path.parent, root)
    path.mkdir()
    path.chmod(0o755)


def _create(path: Path, mode: int) -> IO[bytes]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    os.fchmod(descriptor, mode)
    return os.fdopen(descriptor, "wb")
