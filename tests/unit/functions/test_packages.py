"""Code packages: named by what they hold, whole or not there at all."""

import asyncio
import base64
import hashlib
import io
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest

from router.functions import packages, tree, zips
from router.functions.packages import CodeStore
from router.functions.tree import FolderUnusable, deterministic_zip, tree_hash
from router.functions.zips import BadZip


def zipped(**contents):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in contents.items():
            archive.writestr(f"{name}.py", text)
    return out.getvalue()


@pytest.fixture
def store(tmp_path):
    return CodeStore(tmp_path / "code")


async def test_an_upload_is_unpacked_once(store, tmp_path):
    data = zipped(app="x = 1\n")
    package = await store.add_zip(data)
    assert package.hash == hashlib.sha256(data).hexdigest()
    assert package.sha256 == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert package.size_bytes == len(data)
    assert Path(package.path, "app.py").read_text() == "x = 1\n"
    assert stat.S_IMODE(Path(package.path).stat().st_mode) == 0o755
    made = Path(package.path).stat().st_ino
    assert await store.add_zip(data) == package
    assert Path(package.path).stat().st_ino == made
    assert await store.zip_of(package.hash, package.path) == data
    assert await store.sha256_of(package.hash, package.path) == package.sha256
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == [
        package.hash,
        f"{package.hash}.zip",
    ]


async def test_the_same_upload_by_many_at_once(store):
    data = zipped(app="x = 1\n", other="y = 2\n")
    made = await asyncio.gather(*(store.add_zip(data) for _ in range(8)))
    assert len(set(made)) == 1
    assert sorted(path.name for path in Path(made[0].path).iterdir()) == ["app.py", "other.py"]


async def test_nothing_stays_of_what_was_refused(store, tmp_path, monkeypatch):
    with pytest.raises(BadZip):
        await store.add_zip(b"no zip")
    data = zipped(app="x = 1\n", more="y" * 1000)
    monkeypatch.setattr(zips, "CODE_UNZIPPED_BYTES_MAX", 500)
    with pytest.raises(BadZip):
        await store.add_zip(data)
    assert list((tmp_path / "code").iterdir()) == []


async def test_snapshots(store, tmp_path):
    source = tmp_path / "source"
    (source / "__pycache__").mkdir(parents=True)
    (source / "__pycache__" / "app.pyc").write_bytes(b"old")
    (source / "pkg").mkdir()
    (source / "pkg" / "mod.py").write_text("1")
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o700)
    (source / "pkg" / "mod.py").chmod(0o600)
    package = await store.snapshot(source)
    assert (package.hash, package.size_bytes) == tree_hash(source)
    assert package.sha256 is None
    kept = Path(package.path)
    found = {
        path.relative_to(kept).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in kept.rglob("*")
    }
    assert found == {"pkg": 0o755, "pkg/mod.py": 0o644, "run": 0o755}
    (source / "pkg" / "mod.py").write_text("2")
    again = await store.snapshot(source)
    assert again.hash != package.hash
    assert (kept / "pkg" / "mod.py").read_text() == "1"


async def test_a_folder_makes_one_zip_wherever_it_lies(store, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in ("z.py", "a.py") if number else ("a.py", "z.py"):
            (folder / name).write_text(name)
            os.utime(folder / name, (number * 1000 + 1, number * 1000 + 1))
    first, second = (deterministic_zip(folder) for folder in folders)
    assert first == second
    assert tree_hash(folders[0]) == tree_hash(folders[1])
    assert await store.zip_of(tree_hash(folders[0])[0], str(folders[0])) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["a.py", "z.py"]
    (folders[1] / "a.py").chmod(0o755)
    assert tree_hash(folders[0]) != tree_hash(folders[1])
    assert deterministic_zip(folders[1]) != first
    target = tmp_path / "out"
    target.mkdir()
    assert zips.extract(first, target) == 8


def test_folders_that_cannot_be_used(tmp_path, monkeypatch):
    with pytest.raises(FolderUnusable, match="is not a folder"):
        tree_hash(tmp_path / "missing")
    (tmp_path / "a.py").write_text("x" * 100)
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "in").symlink_to("a.py")
    assert [name for name, _path in tree.files(tmp_path)] == ["a.py", "in"]
    monkeypatch.setattr(tree, "CODE_UNZIPPED_BYTES_MAX", 150)
    with pytest.raises(FolderUnusable, match="more than 150 bytes"):
        tree_hash(tmp_path)
    monkeypatch.setattr(tree, "CODE_ENTRIES_MAX", 1)
    with pytest.raises(FolderUnusable, match="more than 1 files"):
        tree_hash(tmp_path)


async def test_sweep_keeps_what_is_in_use(store, tmp_path):
    assert await store.sweep([]) == 0
    kept = await store.add_zip(zipped(a="1"))
    gone = await store.add_zip(zipped(a="2"))
    (tmp_path / "code" / ".new-crashed").mkdir()
    (tmp_path / "code" / "foreign").write_text("not ours")
    assert await store.sweep([kept.hash]) == 3
    names = {path.name for path in (tmp_path / "code").iterdir()}
    assert names == {kept.hash, f"{kept.hash}.zip", "foreign"}
    assert not Path(gone.path).exists()


async def test_big_packages_are_flushed_at_once(store, monkeypatch):
    calls = []
    monkeypatch.setattr(packages, "FLUSHED_FILES_MAX", 1)
    monkeypatch.setattr(os, "sync", lambda: calls.append(time.monotonic()))
    await store.add_zip(zipped(a="1", b="2"))
    assert len(calls) == 1


async def test_packages_one_over_the_other(store, tmp_path):
    made = [await store.add_zip(zipped(**{name: text, "both": text})) for name, text in (
        ("a", "1"), ("b", "2")
    )]  # fmt: skip
    hashes = [package.hash for package in made]
    path = await store.overlay(hashes)
    assert {file.name: file.read_text() for file in Path(path).iterdir()} == {
        "a.py": "1",
        "b.py": "2",
        "both.py": "2",
    }
    assert Path(path).name == packages.overlay_hash(hashes)
    assert await store.overlay(hashes) == path
    assert await store.overlay(hashes[::-1]) != path
    assert await store.overlay(hashes[:1]) == made[0].path
    assert await store.sweep({*hashes, Path(path).name}) == 1
    assert Path(path).is_dir()


async def test_unzipped_size_is_that_of_the_files(store):
    package = await store.add_zip(zipped(app="x = 1\n", more="y" * 1000))
    assert package.unzipped_bytes == 1006
