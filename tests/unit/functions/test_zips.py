"""Zips that attack, and zips that are merely unusual (`reliability.md` 7, code upload)."""

import contextlib
import errno
import io
import os
import stat
import struct
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.functions import zips
from router.functions.zips import BadZip, UnzippedTooLarge


def make(*entries, compression=zipfile.ZIP_DEFLATED):
    """Entries: (name, content) or (name, content, Unix mode with its kind)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate names are meant
        for name, content, *mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (mode[0] if mode else 0o100644) << 16
            entry.compress_type = compression
            archive.writestr(entry, content)
    return out.getvalue()


def test_files_arrive_readable_for_everybody(tmp_path):
    data = make(
        ("app.py", b"x = 1\n", 0o100600),
        ("bin/run", b"#!/bin/sh\n", 0o100700),
        ("empty/", b"", 0o040700),
        ("deep/er/file", b"abc"),
    )
    mask = os.umask(0o077)
    try:
        assert zips.extract(data, tmp_path) == 6 + 10 + 3
    finally:
        os.umask(mask)
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert modes == {
        "app.py": 0o644,
        "bin": 0o755,
        "bin/run": 0o755,
        "empty": 0o755,
        "deep": 0o755,
        "deep/er": 0o755,
        "deep/er/file": 0o644,
    }
    assert (tmp_path / "deep/er/file").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "a\\..\\..\\evil",
        "/etc/evil",
        "\\evil",
        "C:\\evil",
        "c:evil",
        "..",
        ".",
        "x" * 1_025,
    ],
)
def test_names_that_lead_out(name, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(BadZip):
        zips.extract(make((name, b"x")), tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_nul_in_a_name(tmp_path):
    data = make(("aXb", b"x")).replace(b"aXb", b"a\0b")
    with pytest.raises(BadZip, match="NUL"):
        zips.extract(data, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices(kind, tmp_path):
    with pytest.raises(BadZip, match="device"):
        zips.extract(make(("null", b"", kind | 0o666)), tmp_path)


LINK = stat.S_IFLNK | 0o777


def test_links_inside_the_package_are_kept(tmp_path):
    data = make(("lib/real.so.1", b"elf"), ("lib/real.so", b"real.so.1", LINK), ("l", b"lib", LINK))
    zips.extract(data, tmp_path)
    assert (tmp_path / "lib/real.so").read_bytes() == b"elf"
    assert (tmp_path / "l/real.so.1").read_bytes() == b"elf"


@pytest.mark.parametrize(
    "entries",
    [
        [("l", b"/etc/passwd", LINK)],
        [("l", b"../outside", LINK)],
        [("a/b/l", b"../../../outside", LINK)],
        [("l", b"", LINK)],
        [("l", b"x" * 5_000, LINK)],
        [("l", b"a\0b", LINK)],
        # Each link stays inside by its text alone; together they leave.
        [("d/z", b"..", LINK), ("w", b"d/z/..", LINK)],
        [("l", b"..", LINK), ("l/evil", b"x")],
        [("l", b"sub", LINK), ("sub/x", b"x"), ("l/y", b"y")],
        [("loop", b"loop", LINK), ("out", b"loop/../../x", LINK)],
    ],
)
def test_links_that_lead_out(entries, tmp_path):
    target = tmp_path / "in" / "deep"
    target.mkdir(parents=True)
    with pytest.raises(BadZip):
        zips.extract(make(*entries), target)
    assert not (tmp_path / "in" / "evil").exists()


@pytest.mark.parametrize(
    "entries",
    [
        [("a", b"1"), ("a", b"2")],
        [("a", b"1"), ("./a", b"2")],
        [("a/", b""), ("a", b"2")],
        [("a", b"1"), ("a/b", b"2")],
        [("a/b", b"1"), ("a", b"2")],
    ],
)
def test_two_entries_for_one_place(entries, tmp_path):
    with pytest.raises(BadZip):
        zips.extract(make(*entries), tmp_path)


def test_case_is_kept_apart(tmp_path):
    zips.extract(make(("a", b"1"), ("A", b"2")), tmp_path)
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "A").read_bytes() == b"2"


def test_size_is_counted_while_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "CODE_UNZIPPED_BYTES_MAX", 1_000_000)
    data = make(("zeros", b"\0" * 5_000_000))
    assert len(data) < 10_000
    # A header that lies about the size does not help.
    entry = data.index(b"PK\x01\x02")
    lying = bytearray(data)
    lying[entry + 24 : entry + 28] = struct.pack("<I", 10)
    with pytest.raises((UnzippedTooLarge, BadZip)):
        zips.extract(bytes(lying), tmp_path)
    honest = tmp_path / "honest"
    honest.mkdir()
    with pytest.raises(UnzippedTooLarge, match="Unzipped size must be smaller than"):
        zips.extract(data, honest)
    assert (honest / "zeros").stat().st_size <= 1_000_000


def test_entries_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "CODE_ENTRIES_MAX", 3)
    zips.extract(make(*((str(number), b"") for number in range(3))), tmp_path)
    with pytest.raises(BadZip, match="more than 3 entries"):
        zips.extract(make(*((f"n{number}", b"") for number in range(4))), tmp_path)


def test_overlapping_entries(tmp_path):
    """CVE-2024-0450: many entries quote the same bytes."""
    data = make(("a", b"A" * 1000), ("b", b"B" * 1000), compression=zipfile.ZIP_STORED)
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    overlapping = bytearray(data)
    # The second entry now begins where the first one does.
    overlapping[second + 42 : second + 46] = overlapping[directory + 42 : directory + 46]
    with pytest.raises(BadZip):
        zips.extract(bytes(overlapping), tmp_path)
    longer = bytearray(data)
    # The first entry claims the second one's bytes as its own.
    longer[directory + 20 : directory + 28] = struct.pack("<II", 1500, 1500)
    with pytest.raises(BadZip, match="overlaps"):
        zips.extract(bytes(longer), tmp_path)
    beyond = bytearray(data)
    beyond[second + 20 : second + 28] = struct.pack("<II", 5000, 5000)
    with pytest.raises(BadZip, match="overlaps the central directory"):
        zips.extract(bytes(beyond), tmp_path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_deflate(compression, tmp_path):
    with pytest.raises(BadZip, match="neither stored nor deflated"):
        zips.extract(make(("a", b"x" * 100), compression=compression), tmp_path)


def test_encrypted(tmp_path):
    data = bytearray(make(("a", b"x")))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadZip, match="encrypted"):
        zips.extract(bytes(data), tmp_path)


def test_damaged_content(tmp_path):
    data = bytearray(make(("a", b"hello"), compression=zipfile.ZIP_STORED))
    data[data.index(b"hello")] ^= 1
    with pytest.raises(BadZip):
        zips.extract(bytes(data), tmp_path)


def test_a_full_disk_is_not_the_packages_fault(tmp_path, monkeypatch):
    def full(path, mode):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zips, "_create", full)
    with pytest.raises(OSError, match="No space left"):
        zips.extract(make(("a", b"x")), tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 100, make()])
def test_no_zip(data, tmp_path):
    with pytest.raises(BadZip):
        zips.extract(data, tmp_path)


@given(st.data())
def test_any_damage_is_refused_or_harmless(tmp_path_factory, data):
    whole = bytearray(make(("a/b", b"x" * 50), ("c", b"y"), ("l", b"c", LINK)))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "in").mkdir()
    with contextlib.suppress(BadZip):
        zips.extract(bytes(whole), folder / "in")
    assert [path.name for path in folder.iterdir()] == ["in"]
