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
