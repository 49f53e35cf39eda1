"""What a mapping's work leaves behind for people: log lines, metrics, LastProcessingResult.

It decides nothing and is asked nothing: the shell tells it what was done.
"""

from collections.abc import Collection
from typing import Any, Protocol

from router.mapping import engine as e
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.progress import ProgressUpdate
from router.telemetry.mapping_metrics import MappingMetrics
from router.telemetry.recent import ERROR_CHARACTERS_MAX, Attempt

NOTHING_YET = "No records processed"
INVOKE_FAILED = "PROBLEM: Function call failed"
"""LastProcessingResult before the first batch and after a failed one
(`event-source-mappings.md` 1.7)."""


class Log(Protocol):
    """A bound structlog logger."""

    def info(self, event: str, **fields: object) -> object:
        """What went well."""

    def warning(self, event: str, **fields: object) -> object:
        """What did not."""


class Journal:
    """Of one running mapping."""

    def __init__(self, numbers: MappingMetrics, log: Log) -> None:
        self._numbers = numbers
        self._log = log
        self._parts: dict[tuple[str, int], int] = {}
        """Parts that wait behind the head of a lane."""
        self._windows: dict[str, int] = {}
        """Where the last tumbling window of each shard starts."""
        self.last_result = NOTHING_YET

    def opened(self, opened: e.ShardOpened) -> None:
        """A shard is read from now on: what it brings is not news."""
        for lane in opened.progress.lanes:
            if lane.window is not None:
                self._windows[opened.shard] = lane.window.start_ms

    def forgotten(self, shards: Collection[str]) -> None:
        """Nobody will tell of these shards again."""
        for shard in shards:
            self._windows.pop(shard, None)

    def invoked(
        self,
        command: e.Invoke,
        outcome: Outcome,
        *,
        duration_ms: int,
        wall_ms: int,
        request_id: str,
        error: str | None,
    ) -> None:
        """One log line and the metrics of one invocation. `error` is the function's own."""
        numbers, count = self._numbers, len(command.records)
        kind = kind_of(outcome)
        numbers.batches[kind].inc()
        note(
            numbers,
            kind,
            outcome,
            error,
            wall_ms=wall_ms,
            duration_ms=duration_ms,
            request_id=request_id,
            records=count,
            attempt=command.attempt,
            place=f"{command.shard}:{command.lane}",
        )
        fields: dict[str, object] = {
            "shard": command.shard,
            "lane": command.lane,
            "records": count,
            "attempt": command.attempt,
            "duration_ms": duration_ms,
            "request_id": request_id,
        }
        if (window := command.window) is not None:
            fields["window"] = {"start_ms": window.start_ms, "end_ms": window.end_ms}
            fields["call"] = window.call
        if isinstance(outcome, NotRun):
            if outcome.reason != "throttled":
                self.last_result = INVOKE_FAILED
            self._log.warning("batch_not_invoked", **fields, reason=error)
            return
        if command.attempt > 1:
            numbers.retries.inc()
        if count:
            numbers.invoked.inc(count)
            numbers.batch_records.observe(count)
        elif window is not None and isinstance(outcome, Succeeded):
            self.last_result = "OK"
            numbers.windows[window.call].inc()
            self._log.info("window_called", **fields)
            return
        if isinstance(outcome, Succeeded):
            self.last_result = "OK"
            age_ms = max(0, wall_ms - command.records[0].arrival_ms)
            numbers.accept_to_handled.observe(age_ms / 1000)
            self._log.info("batch_handled", **fields)
            return
        failed = len(outcome.failed) if isinstance(outcome, PartlySucceeded) else count
        numbers.failed.inc(failed)
        reason = outcome.reason if isinstance(outcome, Failed) else ""
        self.last_result = f"{INVOKE_FAILED}: {reason}" if reason else INVOKE_FAILED
        self._log.warning("batch_failed", **fields, outcome=kind, error=error or reason or None)

    def stored(self, update: ProgressUpdate) -> None:
        """Count what a stored step shows.

        A bisect: a lane head with more parts behind it than before. A window that opened: one
        that starts elsewhere than the last.
        """
        window = update.lane.window
        if window is not None and self._windows.get(update.shard) != window.start_ms:
            self._windows[update.shard] = window.start_ms
            self._numbers.windows["opened"].inc()
        lane = (update.shard, update.lane.lane)
        parts = len(update.lane.head.ends) if update.lane.head is not None else 0
        if parts > self._parts.get(lane, 0):
            self._numbers.bisects.inc()
            self._log.info("batch_bisected", shard=update.shard, lane=update.lane.lane)
        if parts:
            self._parts[lane] = parts
        else:
            self._parts.pop(lane, None)

    def discarded(
        self, command: e.Discard, destination: str | None, *, is_delivered: bool, is_kept: bool
    ) -> None:
        """A batch was given up: its on-failure record is in a queue, kept for it, or none."""
        numbers, update, count = self._numbers, command.update, len(command.records)
        numbers.discarded[command.condition].inc(count)
        if is_delivered:
            numbers.delivered.inc(count)
        elif not is_kept:
            numbers.dropped.inc(count)
        self._log.warning(
            "batch_discarded",
            shard=update.shard,
            lane=update.lane.lane,
            records=count,
            condition=command.condition,
            invocations=command.invoke_count,
            destination=destination,
            first=command.records[0].position,
            last=command.records[-1].position,
        )


def note(
    numbers: MappingMetrics, kind: str, outcome: Outcome, error: str | None, **facts: Any
) -> None:
    """Remember a batch for those who look; `facts` as in `Attempt`."""
    text = error or (outcome.reason if isinstance(outcome, Failed) else "")
    numbers.recent.note(Attempt(outcome=kind, error=text[:ERROR_CHARACTERS_MAX], **facts))


def kind_of(outcome: Outcome) -> str:
    """The `outcome` label of an invocation."""
    match outcome:
        case Succeeded():
            return "succeeded"
        case PartlySucceeded():
            return "partly_succeeded"
        case Failed(is_invalid_response=True):
            return "invalid_response"
        case Failed():
            return "failed"
        case NotRun():
            return "not_run"
