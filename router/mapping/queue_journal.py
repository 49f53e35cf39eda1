"""What a queue mapping's work leaves behind for people: log lines and metrics.

As `journal.py` for streams: it decides nothing and is asked nothing.
"""

from router.mapping import queue_events as q
from router.mapping.journal import INVOKE_FAILED, NOTHING_YET, Log, kind_of, note
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.telemetry.mapping_metrics import MappingMetrics


class QueueJournal:
    """Of one running mapping."""

    def __init__(self, numbers: MappingMetrics, log: Log) -> None:
        self._numbers = numbers
        self._log = log
        self.last_result = NOTHING_YET
        """For people; the API shows none for queues (P2)."""

    def invoked(
        self,
        command: q.Invoke,
        outcome: Outcome,
        *,
        duration_ms: int,
        wall_ms: int,
        request_id: str,
        error: str | None,
    ) -> None:
        """One log line and the metrics of one invocation. `error` is the function's own."""
        numbers, count = self._numbers, len(command.messages)
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
        )
        fields: dict[str, object] = {
            "records": count,
            "attempt": command.attempt,
            "duration_ms": duration_ms,
            "request_id": request_id,
        }
        if isinstance(outcome, NotRun):
            if outcome.reason != "throttled":
                self.last_result = INVOKE_FAILED
            self._log.warning("batch_not_invoked", **fields, reason=error)
            return
        if command.attempt > 1:
            numbers.retries.inc()
        numbers.invoked.inc(count)
        numbers.batch_records.observe(count)
        if isinstance(outcome, Succeeded):
            self.last_result = "OK"
            age_ms = max(0, wall_ms - min(message.arrival_ms for message in command.messages))
            numbers.accept_to_handled.observe(age_ms / 1000)
            self._log.info("batch_handled", **fields)
            return
        failed = len(outcome.failed) if isinstance(outcome, PartlySucceeded) else count
        numbers.failed.inc(failed)
        reason = outcome.reason if isinstance(outcome, Failed) else ""
        self.last_result = f"{INVOKE_FAILED}: {reason}" if reason else INVOKE_FAILED
        self._log.warning(
            "batch_failed", **fields, failed=failed, outcome=kind, error=error or reason or None
        )

    def deleted(self, count: int, failed: int) -> None:
        """Messages are gone; `failed` of them are not."""
        self._numbers.deleted.inc(count - failed)
        if failed:
            self._log.warning("messages_not_deleted", records=failed)
