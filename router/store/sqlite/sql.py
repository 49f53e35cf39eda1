"""Statements that write many rows in one step.

Each step of a statement lets go of the interpreter's lock and must win it back from a busy
loop, so rows are written by few long statements and not by many short ones.
"""

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

ROWS_MAX: Final = 64
"""Rows of one statement."""


@functools.cache
def _expand(template: str, rows: int) -> str:
    head, row, tail = template.partition("(:row)")
    columns = head.count(",") + 1
    marks = "(" + ",".join("?" * columns) + ")"
    return head + ",".join([marks] * rows) + tail if row else template


@functools.cache
def _expand_ids(template: str, ids: int) -> str:
    return template.replace("(:ids)", "(" + ",".join("?" * ids) + ")")


def for_ids(
    db: sqlite3.Connection, template: str, values: Sequence[Any], ids: Sequence[int]
) -> list[tuple[Any, ...]]:
    """Run a statement that ends in `id IN (:ids)` for all ids; returns the rows it gives.

    `values` are its other parameters, which come before the ids.
    """
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), ROWS_MAX):
        part = ids[start : start + ROWS_MAX]
        statement = _expand_ids(template, len(part))
        rows += db.execute(statement, (*values, *part)).fetchall()
    return rows


def insert_rows(db: sqlite3.Connection, template: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run `INSERT INTO table (column, …) VALUES (:row) …` for rows; returns how many it changed.

    Every comma before `(:row)` must separate columns.
    """
    changed = 0
    for start in range(0, len(rows), ROWS_MAX):
        part = rows[start : start + ROWS_MAX]
        values = [value for row in part for value in row]
        changed += db.execute(_expand(template, len(part)), values).rowcount
    return changed


def insert_rows_returning(
    db: sqlite3.Connection, template: str, rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """As `insert_rows`, for a statement that ends in RETURNING; what it returns."""
    returned: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), ROWS_MAX):
        part = rows[start : start + ROWS_MAX]
        values = [value for row in part for value in row]
        returned += db.execute(_expand(template, len(part)), values).fetchall()
    return returned
