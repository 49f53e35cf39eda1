"""Versions go up one transaction at a time."""

import re
import sqlite3

import pytest

from router.store.sqlite import segments, streams
from router.store.sqlite.migrate import Migration, current, migrate, shipped, statements


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
