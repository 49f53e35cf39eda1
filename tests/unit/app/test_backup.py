"""An archive is the whole of a data folder or refused; a folder is restored whole or not at all."""

import asyncio
import hashlib
import io
import sqlite3
import tarfile

import msgspec
import pytest

from router.app import identity
from router.app.backup import MANIFEST, BackupFailed, Manifest, back_up
from router.app.restore import restore
from router.config import Settings
from router.functions.packages import CodeStore, with_code
from router.model.errors import ConfigError, StoreUnusable
from router.model.resources import Function
from router.model.version import Version
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore

FAST = 1 << 40


def heard(*_facts):
    """Nobody watches."""


@pytest.fixture
async def folder(tmp_path):
    """A data folder with functions in snapshots and one in place."""
    data = tmp_path / "data"
    identity.claim(Settings(data=str(data), region="us-east-1"))
    code = tmp_path / "source"
    (code / "lib").mkdir(parents=True)
    (code / "app.py").write_text("handler = 1")
    (code / "lib" / "run").write_text("#!/bin/sh")
    (code / "lib" / "run").chmod(0o755)
    package = await CodeStore(data / "code").snapshot(code)
    (data / "inline" / "abc").mkdir(parents=True)
    (data / "inline" / "abc" / "index.py").write_text("handler = 2")
    (data / "code" / ".new-half").mkdir()
    (data / "logs").mkdir()
    bare = Function(
        name="save",
        runtime="python3.11",
        handler="app.handler",
        role="r",
        code_path="",
        code_hash="",
        last_modified_ms=0,
        revision_id="1",
    )
    saved = with_code(bare, package)
    inline = msgspec.structs.replace(
        bare, name="inline", code_path=str(data / "inline" / "abc"), code_hash="abc"
    )
    in_place = msgspec.structs.replace(
        bare, name="in-place", code_path=str(code), code_hash="c", is_in_place=True
    )
    store = SqliteStore(data)
    await store.open()
    await Catalog(store.metadata).commit(
        [
            put("function", "save", saved),
            put("version", "save:1", Version(number=1, function=saved)),
            put("function", "inline", inline),
            put("function", "in-place", in_place),
        ]
    )
    await store.close()
    return data


def archive_of(folder, tmp_path):
    out = io.BytesIO()
    manifest = back_up(folder, out, tmp_path, FAST, heard)
    return manifest, out.getvalue()


async def catalog_of(folder):
    store = SqliteStore(folder)
    await store.open()
    catalog = Catalog(store.metadata)
    await catalog.load()
    await store.close()
    return catalog


def test_a_folder_comes_back_elsewhere_with_its_code(folder, tmp_path):
    manifest, archive = archive_of(folder, tmp_path)
    assert not list(tmp_path.glob(".backup-*"))
    target = tmp_path / "deep" / "other"
    told = []
    assert restore(io.BytesIO(archive), target, told.append) == manifest
    assert sum(told) > 0
    assert identity.read(Settings(data=str(target), region="us-east-1")) == target
    catalog, before = asyncio.run(catalog_of(target)), asyncio.run(catalog_of(folder))
    name = before.functions["save"].code_hash
    assert catalog.functions["save"].code_path == str(target / "code" / name)
    assert catalog.versions["save:1"].function.code_path == str(target / "code" / name)
    assert catalog.functions["inline"].code_path == str(target / "inline" / "abc")
    assert catalog.functions["in-place"] == before.functions["in-place"]
    for table in ("functions", "versions"):
        assert getattr(catalog, table).keys() == getattr(before, table).keys()
    kept = {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mode)
        for part in ("code", "inline")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }
    assert len(kept) >= 3
    for below, (content, mode) in kept.items():
        assert (target / below).read_bytes() == content
        assert (target / below).stat().st_mode == mode
    found = {path.name for path in target.iterdir()}
    assert found == {"router.db", "identity.json", "code", "inline", "lock"}
    assert not (target / "code" / ".new-half").exists()
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "router.db").stat().st_mode & 0o777 == 0o600


def test_only_an_empty_folder_is_restored_into(folder, tmp_path):
    _, archive = archive_of(folder, tmp_path)
    target = tmp_path / "target"
    (target / "lost+found").mkdir(parents=True)
    (target / "notes").write_text("mine")
    with pytest.raises(BackupFailed, match=r"is not empty \(it holds notes\)"):
        restore(io.BytesIO(archive), target, heard)
    with pytest.raises(BackupFailed, match="is not empty"):
        restore(io.BytesIO(archive), folder, heard)
    (target / "notes").unlink()
    restore(io.BytesIO(archive), target, heard)


def test_an_archive_that_was_cut_anywhere_is_refused_and_leaves_nothing(folder, tmp_path):
    _, archive = archive_of(folder, tmp_path)
    end = archive.index(MANIFEST.encode())
    target = tmp_path / "target"
    for size in {0, 1, 511, 512, 5000, len(archive) // 2, end - 1, end + 100, end + 600}:
        with pytest.raises(BackupFailed, match="archive"):
            restore(io.BytesIO(archive[:size]), target, heard)
        assert {path.name for path in target.iterdir()} <= {"lock"}, size


def test_a_changed_byte_is_found(folder, tmp_path):
    _, archive = archive_of(folder, tmp_path)
    at = archive.index(b"handler = 1")
    changed = archive[:at] + b"H" + archive[at + 1 :]
    with pytest.raises(BackupFailed, match=r"damaged: code/\w+/app.py"):
        restore(io.BytesIO(changed), tmp_path / "target", heard)


def rewritten(archive, change):
    """The archive with members that `change` made of its own: (member, content) pairs."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        members = [(m, old.extractfile(m).read() if m.isreg() else None) for m in old]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member, content in change(members):
            if content is not None:
                member.size = len(content)
            new.addfile(member, None if content is None else io.BytesIO(content))
    return out.getvalue()


def changed_manifest(**changes):
    def change(members):
        for member, content in members:
            if member.name == MANIFEST:
                manifest = msgspec.json.decode(content, type=Manifest)
                yield member, msgspec.json.encode(msgspec.structs.replace(manifest, **changes))
            else:
                yield member, content

    return change


def test_an_archive_of_a_newer_format_names_its_router(folder, tmp_path):
    _, archive = archive_of(folder, tmp_path)
    newer = rewritten(archive, changed_manifest(format=2, version="9.9"))
    with pytest.raises(BackupFailed, match=r"format 2.*router 9\.9"):
        restore(io.BytesIO(newer), tmp_path / "target", heard)


def link(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, str(target)
    return member, None


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "code/../../evil", "way/evil"])
def test_nothing_is_written_outside_of_the_folder(folder, tmp_path, name):
    _, archive = archive_of(folder, tmp_path)
    evil = [link("way", tmp_path), (tarfile.TarInfo(name), b"evil")]
    bad = rewritten(archive, lambda members: evil + members)
    with pytest.raises(BackupFailed, match="leads"):
        restore(io.BytesIO(bad), tmp_path / "target", heard)
    assert not (tmp_path / "evil").exists()


def test_what_is_neither_file_nor_folder_nor_link_is_refused(folder, tmp_path):
    _, archive = archive_of(folder, tmp_path)
    member = tarfile.TarInfo("pipe")
    member.type = tarfile.FIFOTYPE
    bad = rewritten(archive, lambda members: [(member, None), *members])
    with pytest.raises(BackupFailed, match="pipe, which is no file"):
        restore(io.BytesIO(bad), tmp_path / "target", heard)


def test_code_that_a_function_names_must_be_there(folder, tmp_path):
    manifest, archive = archive_of(folder, tmp_path)
    files = {k: v for k, v in manifest.files.items() if not k.startswith("code/")}

    def without_code(members):
        kept = [pair for pair in members if not pair[0].name.startswith("code")]
        return changed_manifest(files=files)(kept)

    with pytest.raises(BackupFailed, match=r"code/\w+ of save is missing"):
        restore(io.BytesIO(rewritten(archive, without_code)), tmp_path / "target", heard)


def test_a_store_of_a_newer_router_is_refused(folder, tmp_path):
    manifest, archive = archive_of(folder, tmp_path)
    place = tmp_path / "newer.db"
    place.write_bytes(dict_of(archive)["router.db"])
    db = sqlite3.connect(place)
    with db:
        db.execute("INSERT INTO schema_version VALUES (999)")
    db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    content = place.read_bytes()
    files = manifest.files | {"router.db": hashlib.sha256(content).hexdigest()}

    def newer(members):
        swapped = [(m, content if m.name == "router.db" else c) for m, c in members]
        return changed_manifest(files=files)(swapped)

    with pytest.raises(StoreUnusable, match="newer"):
        restore(io.BytesIO(rewritten(archive, newer)), tmp_path / "target", heard)


def dict_of(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        return {m.name: old.extractfile(m).read() for m in old if m.isreg()}


def test_no_router_starts_on_a_half_restored_folder(tmp_path):
    data = tmp_path / "data"
    (data / identity.RESTORING).mkdir(parents=True)
    settings = Settings(data=str(data), region="us-east-1")
    for look in (identity.claim, identity.read):
        with pytest.raises(ConfigError, match="not restored to its end"):
            look(settings)


def test_what_is_no_data_folder_or_has_no_room_is_told(folder, tmp_path, monkeypatch):
    with pytest.raises(BackupFailed, match="is no data folder"):
        back_up(tmp_path, io.BytesIO(), tmp_path, FAST, heard)
    monkeypatch.setattr("router.app.backup.SPARE_BYTES", 1 << 60)
    with pytest.raises(BackupFailed, match="--scratch"):
        back_up(folder, io.BytesIO(), tmp_path, FAST, heard)


def test_copies_of_killed_back_ups_are_removed(folder, tmp_path):
    (tmp_path / ".backup-999999999").write_text("half")
    archive_of(folder, tmp_path)
    assert not list(tmp_path.glob(".backup-*"))
