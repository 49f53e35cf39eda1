"""In the ingress process: the way to the store, which is the router's.

What the requests of one turn of the loop bring goes as one frame and comes back as one answer.
What is on its way is bounded in bytes, as what waits in the store is: beyond that a record is
refused at once, before memory grows on either side.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import structlog

from router.ingress.frames import Append, FrameError, Refused, Stored
from router.model.errors import ShardClosed, StoreError, StoreFull
from router.model.limits import MIB
from router.store.base import Appended, NewRecord
from router.telemetry import metrics

log = structlog.get_logger(__name__)

FRAME_FULL_BYTES: Final = MIB
FRAME_RECORDS: Final = 128
"""A frame goes as soon as it has so many bytes or records, before the end of the turn: the
router stores them while the next are read. All that was ready in one turn in one frame, and each
side would wait for the other."""

RECORD_OVERHEAD_BYTES: Final = 300
"""What a record on its way takes beside its data."""

NOT_TOLD: Final = 0
"""The position of a record, as it is known here."""

_ERRORS: Final = {error.code: error for error in (StoreFull, ShardClosed)}

T = TypeVar("T")


class _Sent:
    """A frame that is not answered yet."""

    __slots__ = ("batches", "singles", "size_bytes")

    def __init__(self) -> None:
        self.singles: list[tuple[asyncio.Future[Appended], str]] = []
        self.batches: list[tuple[asyncio.Future[Sequence[Appended]], list[str]]] = []
        self.size_bytes = 0


class RemoteStore:
    """Takes records as the store does (`webhooks.Appender`)."""

    def __init__(self, send: Callable[[Any], None], waiting_bytes_max: int) -> None:
        self._send = send
        self._waiting_bytes_max = waiting_bytes_max
        self._loop = asyncio.get_running_loop()
        self._waiting_bytes = 0
        self._numbers = 0
        self._open: dict[int, _Sent] = {}
        self._next = _Sent()
        self._singles: list[NewRecord] = []
        self._batches: list[list[NewRecord]] = []

    def append_nowait(self, record: NewRecord) -> asyncio.Future[Appended]:
        """As `StreamStore.append_nowait`; the position is not told. Raises `StoreFull`."""
        self._count(len(record.data) + RECORD_OVERHEAD_BYTES)
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._singles.append(record)
        self._next.singles.append((future, record.event_id))
        if len(self._singles) >= FRAME_RECORDS or self._next.size_bytes >= FRAME_FULL_BYTES:
            self._flush()
        return future

    def append_all_nowait(self, records: Sequence[NewRecord]) -> asyncio.Future[Sequence[Appended]]:
        """As `StreamStore.append_all_nowait`; positions are not told. Raises `StoreFull`."""
        self._count(sum(len(record.data) + RECORD_OVERHEAD_BYTES for record in records))
        future: asyncio.Future[Sequence[Appended]] = self._loop.create_future()
        self._batches.append(list(records))
        self._next.batches.append((future, [record.event_id for record in records]))
        if self._next.size_bytes >= FRAME_FULL_BYTES:
            self._flush()
        return future

    def stored(self, answer: Stored) -> None:
        """The router's answer to a frame. Raises `FrameError` for one that fits none."""
        sent = self._open.pop(answer.number, None)
        singles = answer.singles
        if sent is None or len(answer.batches) != len(sent.batches):
            raise FrameError(f"no such frame: {answer.number}")
        self._waiting_bytes -= sent.size_bytes
        if singles is None:
            for future, event_id in sent.singles:
                if not future.done():
                    future.set_result(Appended(event_id, NOT_TOLD, False))
        else:
            for (future, event_id), verdict in zip(sent.singles, singles, strict=True):
                if isinstance(verdict, Refused):
                    _fail(future, verdict)
                else:
                    _settle(future, _appended(event_id, verdict))
        for (whole, ids), verdicts in zip(sent.batches, answer.batches, strict=True):
            if isinstance(verdicts, Refused):
                _fail(whole, verdicts)
            else:
                pairs = zip(ids, verdicts, strict=True)
                _settle(whole, [_appended(event_id, verdict) for event_id, verdict in pairs])

    def _count(self, size_bytes: int) -> None:
        """Room for a record. The first of a turn is what the frame goes after."""
        if self._waiting_bytes and self._waiting_bytes + size_bytes > self._waiting_bytes_max:
            metrics.STORE_ERRORS.labels("waiting_full").inc()
            raise StoreFull("too many records are waiting for the disk")
        if not self._next.size_bytes:
            self._loop.call_soon(self._flush)
        self._waiting_bytes += size_bytes
        self._next.size_bytes += size_bytes

    def _flush(self) -> None:
        sent = self._next
        if not sent.size_bytes:
            return
        self._numbers += 1
        self._open[self._numbers] = sent
        message = Append(self._numbers, self._singles, self._batches)
        self._next, self._singles, self._batches = _Sent(), [], []
        try:
            self._send(message)
        except Exception as error:
            log.exception("ingress_frame_not_sent", records=len(message.singles))
            refused = Refused(StoreError.code, type(error).__name__)
            count = len(message.singles), len(message.batches)
            self.stored(Stored(message.number, [refused] * count[0], [refused] * count[1]))


def _appended(event_id: str, first: str | None) -> Appended:
    return Appended(first or event_id, NOT_TOLD, first is not None)


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # whoever waited may have given up
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", refused: Refused) -> None:
    if not future.done():
        future.set_exception(_ERRORS.get(refused.code, StoreError)(refused.text))
