"""In the router: records that come from the ingress process, on to the store and answered.

The process reads what strangers send, so what comes from it is looked at again: a record goes only
where a webhook of the catalog has a shard, and is no larger than an event can be.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from router.ingress.frames import ERROR_CHARACTERS_MAX, Append, FrameError, Refused, Stored
from router.ingress.route import Route
from router.model.errors import ShardClosed, StoreError, StoreFull
from router.model.limits import EVENT_BYTES_MAX
from router.store.base import Appended, NewRecord, StreamStore

GONE: Final = Refused(ShardClosed.code, "no webhook has this shard")
"""As for a closed shard: the ingress process looks where the record belongs now."""

Reply = Callable[[Stored], None]


class Intake:
    """Takes the frames of ingress processes."""

    def __init__(self, streams: StreamStore) -> None:
        self._streams = streams
        self._shards: frozenset[tuple[str, str]] = frozenset()

    def set_routes(self, routes: Mapping[str, Route]) -> None:
        """Where records may go from here on."""
        self._shards = frozenset(
            (route.spec.arn, shard.name)
            for route in routes.values()
            for shard in route.spec.stream_shards
        )

    def take(self, frame: Append, reply: Reply) -> None:
        """Store a frame's records; `reply` is called once, when all is durable or refused.

        Raises `FrameError` for what no ingress process of ours sends.
        """
        _Taking(self._streams, self._shards, frame, reply).begin()


class _Taking:
    """One frame on its way."""

    def __init__(
        self,
        streams: StreamStore,
        shards: frozenset[tuple[str, str]],
        frame: Append,
        reply: Reply,
    ) -> None:
        self._streams = streams
        self._shards = shards
        self._reply = reply
        self._open = 1
        """Answers of the store to come; and one while this begins."""
        self._singles = frame.singles
        self._batches = frame.batches
        self._answer = Stored(frame.number, None, [Refused("", "")] * len(frame.batches))

    def begin(self) -> None:
        self._check(self._singles)
        if not all(self._has_place(record) for record in self._singles):
            self._one_by_one()
        elif self._singles:
            self._send(self._singles, self._on_singles)
        for index, records in enumerate(self._batches):
            self._check(records)
            settle = functools.partial(self._on_batch, index)
            if all(self._has_place(record) for record in records):
                self._send(records, settle)
            else:
                self._answer.batches[index] = GONE
        self._settled()

    def _check(self, records: Sequence[NewRecord]) -> None:
        for record in records:
            if not len(record.data) <= record.size_bytes <= EVENT_BYTES_MAX:
                raise FrameError(f"a record of {record.size_bytes} bytes")

    def _has_place(self, record: NewRecord) -> bool:
        return (record.stream, record.shard) in self._shards

    # All at once, as long as nothing is wrong with one of them.

    def _send(
        self, records: Sequence[NewRecord], settle: Callable[[Sequence[Appended] | Refused], None]
    ) -> None:
        try:
            future = self._streams.append_all_nowait(records)
        except StoreError as error:
            settle(_refused(error))
            return
        self._open += 1
        future.add_done_callback(functools.partial(self._on_done, settle))

    def _on_done(
        self,
        settle: Callable[[Sequence[Appended] | Refused], None],
        future: "asyncio.Future[Any]",
    ) -> None:
        settle(_result(future))
        self._settled()

    def _on_singles(self, result: Sequence[Appended] | Refused) -> None:
        if not isinstance(result, Refused):
            if any(one.is_duplicate for one in result):
                self._answer.singles = [_verdict(one) for one in result]
        elif result.code == StoreFull.code or len(self._singles) == 1:
            self._answer.singles = [result] * len(self._singles)
        else:
            self._one_by_one()

    def _on_batch(self, index: int, result: Sequence[Appended] | Refused) -> None:
        self._answer.batches[index] = (
            result if isinstance(result, Refused) else [_verdict(one) for one in result]
        )

    # One of the records cannot be kept, and nothing was: each by itself.

    def _one_by_one(self) -> None:
        verdicts: list[str | Refused | None] = [GONE] * len(self._singles)
        self._answer.singles = verdicts
        for index, record in enumerate(self._singles):
            if not self._has_place(record):
                continue
            try:
                future = self._streams.append_nowait(record)
            except StoreError as error:
                verdicts[index] = _refused(error)
                continue
            self._open += 1
            future.add_done_callback(functools.partial(self._on_single, verdicts, index))

    def _on_single(
        self,
        verdicts: list[str | Refused | None],
        index: int,
        future: "asyncio.Future[Any]",
    ) -> None:
        result = _result(future)
        verdicts[index] = result if isinstance(result, Refused) else _verdict(result)
        self._settled()

    def _settled(self) -> None:
        self._open -= 1
        if not self._open:
            self._reply(self._answer)


def _result(future: "asyncio.Future[Any]") -> Any:
    if future.cancelled():
        return Refused(StoreError.code, "the write was given up")
    error = future.exception()
    if error is None:
        return future.result()
    return _refused(error)


def _refused(error: BaseException) -> Refused:
    code = error.code if isinstance(error, StoreError) else StoreError.code
    return Refused(code, str(error)[:ERROR_CHARACTERS_MAX])


def _verdict(appended: Appended) -> str | None:
    return appended.event_id if appended.is_duplicate else None
