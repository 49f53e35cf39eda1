"""Schema versions: numbered `.sql` files, each applied in one transaction with its number.

A store that is newer than the router, or not a store at all, is refused before anything is
written (C3). A crash in a migration leaves the version before it.
"""

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import msgspec

from router.model.errors import StoreUnusable
from router.telemetry.chaos import chaos_point

APPLICATION_ID = 0x45565254
"""In the file's header, so that another program's database is never taken for ours."""

HEADER = b"SQLite format 3\x00"

QUICK_CHECK_BYTES_MAX = 64 << 20
"""A store up to this size is checked page by page at every start; a larger one by its schema."""


class Migration(msgspec.Struct, frozen=True):
    """One step from version - 1 to version."""

    version: int
    sql: str


def shipped() -> list[Migration]:
    """The migrations this router brings, in order."""
    found = [
        Migration(int(match[1]), file.read_text("utf-8"))
        for file in resources.files("router.store.migrations").iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


def inspect(path: Path, newest: int) -> None:
    """Look at a store without changing it. Raises `StoreUnusable` when it must not be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(len(HEADER))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreUnusable(f"the store {path} cannot be read: {error.strerror}") from error
    if not head:
        return  # made, then the router died before the first page
    if head != HEADER:
        raise StoreUnusable(f"the store {path} is damaged: it does not begin like a database")
    try:
        # A read-only connection neither replays nor checkpoints the log into the file.
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            _check(db, path, newest)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store {path} cannot be read: {error}") from error


def _check(db: sqlite3.Connection, path: Path, newest: int) -> None:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a database of another program")
    if (version := current(db)) > newest:
        raise StoreUnusable(
            f"the store {path} has schema version {version}, this router knows {newest}: "
            "start the newer router that wrote it"
        )
    if path.stat().st_size <= QUICK_CHECK_BYTES_MAX:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreUnusable(f"the store {path} is damaged: {verdict}; restore a copy")


def current(db: sqlite3.Connection) -> int:
    """The store's version; 0 for an empty file."""
    known = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone()
    if known is None:
        return 0
    (version,) = db.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(version or 0)


def migrate(db: sqlite3.Connection, migrations: list[Migration]) -> int:
    """Bring the store to the newest version and return it. Raises `sqlite3.Error`."""
    version = current(db)
    for migration in migrations:
        if migration.version <= version:
            continue
        db.execute("BEGIN IMMEDIATE")
        try:
            if version == 0:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
                db.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)")
            for statement in statements(migration.sql):
                db.execute(statement)
            chaos_point("mid_migration")
            db.execute("INSERT INTO schema_version VALUES (?)", (migration.version,))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        version = migration.version
    return version


def statements(sql: str) -> Iterator[str]:
    """Cut a script into statements. `executescript` would commit before the first one."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError("a migration ends inside a statement")
