"""Lets those records through that a mapping's filters take, as they are read.

What is left out takes no place in a batch (P26); that it was read still moves the checkpoint (P20).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import structlog

from router.mapping.filtering import Family, MatchDocument, RecordFilter
from router.model.mapping_spec import MappingSpec
from router.model.record import Record
from router.patterns.problems import PatternError
from router.telemetry.mapping_metrics import MappingMetrics

log = structlog.get_logger()

R = TypeVar("R", bound=Record)

SLICE_NS: Final = 5_000_000
"""After so long the loop has its turn."""


LARGE_BYTES: Final = 64 << 10
"""A record over this is judged in a thread when its payload is: reading it takes milliseconds."""


class Documents(Protocol):
    """Shows records to filters. Large ones in any thread, one at a time or several."""

    @property
    def filters(self) -> Family:
        """What kind of source its records are of."""

    def match_document(self, shard: str, record: Record, *, reads_payload: bool) -> MatchDocument:
        """A record as filters see it, payloads parsed when asked for."""


class Sieve:
    """The filters of one running mapping; without any it lets everything through."""

    def __init__(self, spec: MappingSpec, documents: Documents, numbers: MappingMetrics) -> None:
        """Raises `PatternError`."""
        self._documents = documents
        self._numbers = numbers
        self._log = log.bind(mapping=spec.name)
        self._filter: RecordFilter | None = None
        self._texts: tuple[str, ...] = ()
        self.change(spec)

    def change(self, spec: MappingSpec) -> None:
        """Other settings, for records from now on. Raises `PatternError` and changes nothing."""
        if spec.filters != self._texts:
            found = RecordFilter(self._documents.filters, spec.filters) if spec.filters else None
            self._filter, self._texts = found, spec.filters

    async def sift(self, shard: str, records: Sequence[R]) -> tuple[R, ...]:
        """The records to go on with, in order. Cancelled in the middle, it has changed nothing."""
        wanted = self._filter
        if wanted is None:
            return tuple(records)
        passed: list[R] = []
        until_ns = time.monotonic_ns() + SLICE_NS
        for record in records:
            if wanted.reads_payload and len(record.data) > LARGE_BYTES:
                is_passing = await asyncio.to_thread(self._passes, wanted, shard, record)
            else:
                is_passing = self._passes(wanted, shard, record)
            if is_passing:
                passed.append(record)
            if time.monotonic_ns() > until_ns:
                await asyncio.sleep(0)
                until_ns = time.monotonic_ns() + SLICE_NS
        self._numbers.filtered.inc(len(records) - len(passed))
        return tuple(passed)

    def _passes(self, wanted: RecordFilter, shard: str, record: Record) -> bool:
        """One that cannot be judged goes to the function: what nobody understood is never lost."""
        try:
            document = self._documents.match_document(
                shard, record, reads_payload=wanted.reads_payload
            )
            return wanted.passes(document)
        except Exception as error:  # noqa: BLE001  whatever goes wrong, the record lives
            self._numbers.unjudged.inc()
            self._log.error(
                "record_not_judged",
                shard=shard,
                position=record.position,
                error=str(error),
                # Only what nobody expects needs its trace.
                exc_info=None if isinstance(error, PatternError) else error,
            )
            return True
