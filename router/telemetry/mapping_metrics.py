"""The metrics of one mapping, bound once: `labels()` in a hot path costs four increments.

What each is on AWS stands in its help text and in `docs/metrics.md`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Protocol

from router.telemetry import metrics, recent
from router.telemetry.cells import Count, Family, Level
from router.telemetry.metrics.mappings import CONDITIONS, OUTCOMES, STATES, WINDOW_EVENTS

GONE_MAX: Final = 100
"""Mappings that are gone and whose counters are still exported: what they did last is scraped, and
however many come and go, no more series than that are left of them."""

_PRESENT: Final[tuple[Family[Any], ...]] = (
    metrics.IN_FLIGHT,
    metrics.ITERATOR_AGE,
    metrics.OLDEST_RECORD_AGE,
    metrics.STUCK_LANES,
    metrics.STUCK_TIME,
    metrics.SOURCE_TROUBLE,
    metrics.BUFFERED,
    metrics.LAG,
    metrics.LAG_MAX,
    metrics.POLLERS,
)
"""What describes the present of one mapping."""

_PAST: Final[tuple[Family[Any], ...]] = (
    metrics.RECORDS_POLLED,
    metrics.RECORDS_FILTERED,
    metrics.RECORDS_UNJUDGED,
    metrics.RECORDS_INVOKED,
    metrics.RECORDS_FAILED,
    metrics.RECORDS_DELETED,
    metrics.RECORDS_DROPPED,
    metrics.RECORDS_DELIVERED,
    metrics.RECORDS_COMMITTED,
    metrics.BATCH_RECORDS,
    metrics.BISECTS,
    metrics.RETRIES,
    metrics.ACCEPT_TO_HANDLED,
    metrics.POLL_ERRORS,
    metrics.COMMIT_ERRORS,
)
"""What was counted of one."""

_PARTED: Final[tuple[tuple[Family[Any], Sequence[str]], ...]] = (
    (metrics.RECORDS_DISCARDED, CONDITIONS),
    (metrics.BATCHES, OUTCOMES),
    (metrics.WINDOWS, WINDOW_EVENTS),
    (metrics.DESTINATION_FAILURES, metrics.DELIVERY_REASONS),
)
"""The same by a second label."""


class LaneTimes(Protocol):
    """What a lane with something unfinished tells of itself; wall clock."""

    @property
    def oldest_arrival_ms(self) -> int | None:
        """When its oldest unfinished record came."""

    @property
    def failing_since_ms(self) -> int | None:
        """When the batch in front failed first."""


class MappingMetrics:
    """Children of every `router_mapping_…` metric for one mapping."""

    def __init__(self, mapping: str, uuid: str, function: str, source: str) -> None:
        self._name = mapping
        self._info = (mapping, uuid, function, source)
        _shown[mapping] = self
        _gone.pop(mapping, None)
        metrics.MAPPING_INFO.labels(*self._info).set(1)
        self.recent = recent.BATCHES.of(uuid)
        """Its last batches."""
        self.polled = metrics.RECORDS_POLLED.labels(mapping)
        self.filtered = metrics.RECORDS_FILTERED.labels(mapping)
        self.unjudged = metrics.RECORDS_UNJUDGED.labels(mapping)
        self.invoked = metrics.RECORDS_INVOKED.labels(mapping)
        self.failed = metrics.RECORDS_FAILED.labels(mapping)
        self.discarded = {c: metrics.RECORDS_DISCARDED.labels(mapping, c) for c in CONDITIONS}
        self.deleted = metrics.RECORDS_DELETED.labels(mapping)
        self.dropped = metrics.RECORDS_DROPPED.labels(mapping)
        self.delivered = metrics.RECORDS_DELIVERED.labels(mapping)
        self.batches = {o: metrics.BATCHES.labels(mapping, o) for o in OUTCOMES}
        self.batch_records = metrics.BATCH_RECORDS.labels(mapping)
        self.bisects = metrics.BISECTS.labels(mapping)
        self.retries = metrics.RETRIES.labels(mapping)
        self.in_flight = metrics.IN_FLIGHT.labels(mapping)
        self.iterator_age = metrics.ITERATOR_AGE.labels(mapping)
        self.buffered = metrics.BUFFERED.labels(mapping)
        self.lag = metrics.LAG.labels(mapping)
        self._oldest_age = metrics.OLDEST_RECORD_AGE.labels(mapping)
        self._stuck_lanes = metrics.STUCK_LANES.labels(mapping)
        self._stuck_time = metrics.STUCK_TIME.labels(mapping)
        self._source_trouble = metrics.SOURCE_TROUBLE.labels(mapping)
        self.accept_to_handled = metrics.ACCEPT_TO_HANDLED.labels(mapping)

        self.poll_errors = metrics.POLL_ERRORS.labels(mapping)
        self.commit_errors = metrics.COMMIT_ERRORS.labels(mapping)

    # Of some mappings only: exported once they are used.

    @cached_property
    def windows(self) -> dict[str, Count]:
        """Tumbling windows by what happened."""
        return {event: metrics.WINDOWS.labels(self._name, event) for event in WINDOW_EVENTS}

    @cached_property
    def committed(self) -> Count:
        """Distances by which committed offsets moved."""
        return metrics.RECORDS_COMMITTED.labels(self._name)

    @cached_property
    def lag_max(self) -> Level:
        """Lag of the partition that is furthest behind."""
        return metrics.LAG_MAX.labels(self._name)

    @cached_property
    def pollers(self) -> Level:
        """Readers of the source that are running."""
        return metrics.POLLERS.labels(self._name)

    def describe(self, function: str, source: str) -> None:
        """Say anew which function and source it joins."""
        info = (*self._info[:2], function, source)
        if info != self._info:
            metrics.MAPPING_INFO.remove(*self._info)
            metrics.MAPPING_INFO.labels(*info).set(1)
            self._info = info

    def set_state(self, state: str) -> None:
        """Show one state and no other."""
        for name in STATES:
            metrics.MAPPING_STATE.labels(self._name, name).set(1 if name == state else 0)

    def show(
        self, lanes: Sequence[LaneTimes], wall_ms: int, *, is_in_trouble: bool, is_at_end: bool
    ) -> None:
        """Of the lanes that have something unfinished: how long for, and which are stuck.

        `is_in_trouble`: something keeps the mapping from its source. `is_at_end`: nothing of the
        source is unfinished.
        """
        arrivals = [it.oldest_arrival_ms for it in lanes if it.oldest_arrival_ms is not None]
        failures = [it.failing_since_ms for it in lanes if it.failing_since_ms is not None]
        self._oldest_age.set(max(0, wall_ms - min(arrivals, default=wall_ms)) / 1000)
        self._stuck_lanes.set(len(failures))
        self._stuck_time.set(max(0, wall_ms - min(failures, default=wall_ms)) / 1000)
        self._source_trouble.set(is_in_trouble)
        if is_at_end:
            self.iterator_age.set(0)

    def remove(self) -> None:
        """Stop exporting what describes the present; counters stay for a while (`GONE_MAX`)."""
        recent.BATCHES.forget(self._info[1])
        metrics.MAPPING_INFO.remove(*self._info)
        if _shown.get(self._name) is not self:
            return  # another mapping has the name by now
        del _shown[self._name]
        for name in STATES:
            metrics.MAPPING_STATE.remove(self._name, name)
        for gauge in _PRESENT:
            gauge.remove(self._name)
        _gone[self._name] = None
        if len(_gone) > GONE_MAX:
            _forget(next(iter(_gone)))


_shown: Final[dict[str, MappingMetrics]] = {}
"""By name: the one whose numbers are exported."""

_gone: Final[dict[str, None]] = {}
"""Names of those that are gone, longest first."""


def _forget(name: str) -> None:
    """Stop exporting what was counted of a mapping."""
    del _gone[name]
    for family in _PAST:
        family.remove(name)
    for family, parts in _PARTED:
        for part in parts:
            family.remove(name, part)
