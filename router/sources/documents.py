"""Match documents of a stream's records, kept for the next mapping that reads the same ones."""

import threading
from collections.abc import Callable
from typing import Final

from router.mapping.filtering import MatchDocument
from router.model.record import Record

KEPT_MAX: Final = 1_024
"""Documents kept, all streams of a kind together."""

KEPT_BYTES_MAX: Final = 2 << 20
"""Bytes of the records they were made of. As trees they take about ten times as much."""


class DocumentCache:
    """The documents made last. A record's body is parsed once however many mappings filter it.

    The last one is kept whatever its size. Threads that ask at once wait for each other.
    """

    def __init__(self, kept_max: int = KEPT_MAX, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._lock = threading.Lock()
        self._kept_max = kept_max
        self._bytes_max = bytes_max
        self._kept: dict[tuple[str, str, int], tuple[Record, MatchDocument]] = {}
        self._size_bytes = 0

    def get(
        self, shard: str, record: Record, make: Callable[[str, Record], MatchDocument]
    ) -> MatchDocument:
        """The document of a record; made when it is not here."""
        with self._lock:
            return self._get(shard, record, make)

    def _get(
        self, shard: str, record: Record, make: Callable[[str, Record], MatchDocument]
    ) -> MatchDocument:
        name = (record.event_id, shard, record.position)
        found = self._kept.get(name)
        # The same record, not one of the same name: what is told apart here is never mixed up.
        if found is not None and (found[0] is record or found[0] == record):
            return found[1]
        document = make(shard, record)
        if found is not None:
            self._forget(name)
        self._kept[name] = (record, document)
        self._size_bytes += len(record.data)
        while len(self._kept) > 1 and (
            len(self._kept) > self._kept_max or self._size_bytes > self._bytes_max
        ):
            self._forget(next(iter(self._kept)))
        return document

    def _forget(self, name: tuple[str, str, int]) -> None:
        record, _document = self._kept.pop(name)
        self._size_bytes -= len(record.data)
