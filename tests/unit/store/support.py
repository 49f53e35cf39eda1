"""What tests of the store share."""

import sqlite3
import threading
import time
from pathlib import Path

from router.config import StoreSettings
from router.model.progress import LaneHead, LaneProgress, ProgressUpdate
from router.model.window import Window
from router.store.base import NewRecord, Store
from router.store.queues import NewMessage
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S

STREAM = "arn:aws:router:us-east-1:000000000000:webhook/github"


class SqliteBackend:
    """Makes stores on one data folder. PostgreSQL will bring its own of the same shape."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 1_000_000

    def make(self, settings: StoreSettings | None = None) -> Store:
        return SqliteStore(self.folder / "data", settings, wall_ms=lambda: self.now_ms)


def record(
    event_id: str,
    *,
    stream: str = STREAM,
    shard: str = "0",
    arrival_ms: int = 1_000,
    data: bytes = b"data",
    size_bytes: int = 10,
    dedup_key: str | None = None,
    dedup_until_ms: int = 0,
) -> NewRecord:
    return NewRecord(
        stream=stream,
        shard=shard,
        event_id=event_id,
        key=f"key of {event_id!r}",
        arrival_ms=arrival_ms,
        data=data,
        size_bytes=size_bytes,
        dedup_key=dedup_key,
        dedup_until_ms=dedup_until_ms,
    )


def message(
    message_id: str,
    *,
    queue: str = "q",
    sent_ms: int = 1_000,
    visible_ms: int | None = None,
    expires_ms: int = 1_000_000,
    group_id: str = "",
    deduplication_id: str = "",
) -> NewMessage:
    return NewMessage(
        queue=queue,
        message_id=message_id,
        body=f"body of {message_id}",
        attributes=b'{"a":1}',
        sent_ms=sent_ms,
        visible_ms=sent_ms if visible_ms is None else visible_ms,
        expires_ms=expires_ms,
        group_id=group_id,
        deduplication_id=deduplication_id,
    )


def update(
    position: int,
    *,
    shard: str = "0",
    factor: int = 1,
    lane: int = 0,
    lane_position: int | None = None,
    head: LaneHead | None = None,
    window: Window | None = None,
) -> ProgressUpdate:
    return ProgressUpdate(
        shard=shard,
        position=position,
        factor=factor,
        lane=LaneProgress(lane, position if lane_position is None else lane_position, head, window),
    )


class FaultyDisk(sqlite3.Connection):
    """A writing connection whose syncs can be slow or fail. One test uses it at a time."""

    commits = 0
    delay_s = 0.0
    error_code: int | None = None
    goes_on = threading.Event()

    @classmethod
    def repair(cls) -> None:
        cls.commits, cls.delay_s, cls.error_code = 0, 0.0, None
        cls.goes_on.set()

    @classmethod
    def hang(cls) -> None:
        """No sync ends until `goes_on` is set."""
        cls.goes_on.clear()

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            cls = type(self)
            time.sleep(cls.delay_s)
            assert cls.goes_on.wait(PATIENCE_S)
            if cls.error_code is not None:
                error = sqlite3.OperationalError("the disk is broken")
                error.sqlite_errorcode = cls.error_code
                raise error
            cls.commits += 1
        return super().execute(sql, *values)
