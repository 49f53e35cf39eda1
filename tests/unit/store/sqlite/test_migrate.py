"""Versions go up one transaction at a time."""

import re
import sqlite3

import pytest

from router.model.errors import ShardClosed
from router.model.resources import Owner
from router.model.shard import cut_anew, first_shards
from router.store.base import CutStream
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore, segments, streams
from router.store.sqlite.migrate import Migration, current, migrate, shipped, statements
from tests.unit.store.support import STREAM, record


@pytest.fixture
def db(tmp_path):
    db = sqlite3.connect(tmp_path / "router.db", isolation_level=None)
    yield db
    db.close()


def tables(db):
    return {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_an_empty_file_goes_through_all_migrations_once(db):
    steps = [Migration(1, "CREATE TABLE a (x);"), Migration(2, "ALTER TABLE a ADD COLUMN y;")]
    assert migrate(db, steps[:1]) == 1
    db.execute("INSERT INTO a VALUES (1)")
    assert migrate(db, steps) == 2
    assert migrate(db, steps) == 2
    assert db.execute("SELECT x, y FROM a").fetchall() == [(1, None)]


def test_a_migration_that_fails_leaves_the_version_before_it(db):
    good, bad = Migration(1, "CREATE TABLE a (x);"), Migration(2, "CREATE TABLE b (x);\nnonsense;")
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, [good, bad])
    assert current(db) == 1
    assert tables(db) == {"a", "schema_version"}
    assert not db.in_transaction


def test_what_ships_is_numbered_without_gaps():
    versions = [migration.version for migration in shipped()]
    assert versions == list(range(1, len(versions) + 1))


def test_the_shard_of_a_segment_is_found_as_the_schema_says():
    shifts = re.findall(r"<< (\d+)", shipped()[0].sql + streams._STATS)
    assert shifts
    assert {int(shift) for shift in shifts} == {segments.POSITION_BITS}


def test_scripts_are_cut_into_statements_and_never_in_the_middle():
    assert list(statements("-- one; comment\nCREATE TABLE a (\n x);\nSELECT ';';\n")) == [
        "-- one; comment\nCREATE TABLE a (\n x);\n",
        "SELECT ';';\n",
    ]
    with pytest.raises(ValueError, match="inside a statement"):
        list(statements("CREATE TABLE a (x)"))


async def test_p28_shards_of_before_lineage_are_the_first_generation(tmp_path):
    """Records, positions and progress stay; the shards can be cut anew like any others."""
    (tmp_path / "data").mkdir()
    db = sqlite3.connect(tmp_path / "data" / "router.db", isolation_level=None)
    migrate(db, shipped()[:2])
    old = [shard.name for shard in first_shards(2)]
    signature = b'"signature":{"scheme":"none"}'
    webhook = b'{"spec":{"name":"h","arn":"%b","path":"/h",%b,"shards":2}}'
    db.execute(
        "INSERT INTO resources VALUES ('webhook', 'h', ?)",
        (webhook % (STREAM.encode(), signature),),
    )
    db.execute("INSERT INTO streams VALUES (1, ?)", (STREAM,))
    db.execute("INSERT INTO shards VALUES (7, 1, ?, 3, 5)", (old[1],))
    body = segments.pack([("k", 5, 10, f"e{n}", b"") for n in range(3)])
    db.execute("INSERT INTO segments VALUES (?, 3, 5, 5, ?)", (segments.segment_id(7, 3), body))
    db.execute("INSERT INTO progress VALUES ('m', ?, 2, 1)", (old[1],))
    db.close()

    store = SqliteStore(tmp_path / "data")
    await store.open()
    catalog = Catalog(store.metadata)
    await catalog.load()
    spec = catalog.webhooks["h"].spec
    assert spec.stream_shards == first_shards(2)
    found = await store.streams.read(STREAM, old[1], 0, 9, 999)
    assert ([record.position for record in found.records], found.is_end) == ([1, 2, 3], False)
    assert (await store.progress.load("m"))[old[1]].position == 2
    opens = tuple(shard.name for shard in cut_anew(first_shards(2), 3)[2:])
    await store.metadata.apply([CutStream(STREAM, tuple(old), opens)])
    with pytest.raises(ShardClosed):
        await store.streams.append(record("late", shard=old[1]))
    assert (await store.streams.read(STREAM, old[1], 0, 9, 999)).is_end
    assert (await store.streams.append(record("e4", shard=opens[0]))).position == 1
    await store.close()


async def test_aliases_of_before_versions_are_resources(tmp_path):
    """Mappings that name one go on; the template that made it still owns it."""
    (tmp_path / "data").mkdir()
    db = sqlite3.connect(tmp_path / "data" / "router.db", isolation_level=None)
    migrate(db, shipped()[:5])
    about = b'"runtime":"python3.11","handler":"a.b","role":"r","code_path":"/c","code_hash":"0"'
    times = b'"last_modified_ms":1,"revision_id":"r"'
    for name, more in (
        (
            b"f",
            b'"aliases":{"live":"$LATEST","old":"$LATEST"},"owner":{"stack":"s","logical_id":"F"}',
        ),
        (b"g", b'"aliases":{"live":"$LATEST"},"owner":null'),
        (b"h", b'"aliases":{}'),
        (b"i", b'"tags":{}'),
    ):
        body = b'{"name":"%b",%b,%b,%b}' % (name, about, times, more)
        db.execute("INSERT INTO resources VALUES ('function', ?, ?)", (name.decode(), body))
    db.close()

    store = SqliteStore(tmp_path / "data")
    await store.open()
    catalog = Catalog(store.metadata)
    await catalog.load()
    await store.close()
    assert set(catalog.functions) == {"f", "g", "h", "i"}
    assert set(catalog.aliases) == {"f:live", "f:old", "g:live"}
    alias = catalog.aliases["f:live"]
    assert (alias.function, alias.name, alias.version) == ("f", "live", "$LATEST")
    assert alias.owner == Owner("s", "FAliaslive")
    assert catalog.aliases["g:live"].owner is None
    assert len({one.revision_id for one in catalog.aliases.values()}) == 3
