"""The metrics of functions, as the pool counts them."""

import time
from collections.abc import Collection
from typing import Final

from router.model.function import InvokeReply
from router.model.version import LATEST
from router.telemetry import metrics
from router.telemetry.cells import Count
from router.telemetry.recent import ERROR_CHARACTERS_MAX, INVOCATIONS, Attempt
from router.workers import payloads
from router.workers.start_rate import StartRate

RESULTS: Final = ("ok", "error", "timeout", "crash")
"""What an invocation may come to."""


class Meters:
    """What is measured of one function, the children of its metrics bound once."""

    def __init__(self, function: str) -> None:
        self.busy = 0
        """Invocations, those included whose environment is being made."""
        self.starting = 0
        self.starting_ahead = 0
        """For nobody yet."""
        self.idle = 0
        self.start_rate = StartRate()
        states = metrics.ENVIRONMENTS
        states.labels(function, "starting").set_function(
            lambda: self.starting + self.starting_ahead
        )
        states.labels(function, "busy").set_function(lambda: self.busy - self.starting)
        states.labels(function, "idle").set_function(lambda: self.idle)
        self.cold_starts = metrics.COLD_STARTS.labels(function)
        self.cold_start_duration = metrics.INIT_DURATION.labels(function)
        self._duration = metrics.FUNCTION_DURATION.labels(function)
        self._function = function
        self._recent = INVOCATIONS.of(function)
        self._results = {result: metrics.INVOCATIONS.labels(function, result) for result in RESULTS}
        self._versions: dict[str, dict[str, Count]] = {}
        """Of published versions that were run."""

    def keep(self, versions: Collection[str]) -> None:
        """Forget the numbers of versions that are none of these."""
        for version in [version for version in self._versions if version not in versions]:
            for result in self._versions.pop(version):
                metrics.VERSION_INVOCATIONS.remove(self._function, version, result)

    def count(self, reply: InvokeReply, version: str, request_id: str) -> None:
        """One invocation of a version has ended."""
        self._duration.observe(reply.duration_ms / 1000)
        match reply.error_type:
            case None:
                result = "ok"
            case payloads.TIMED_OUT:
                result = "timeout"
            case payloads.EXITED | payloads.OUT_OF_MEMORY:
                result = "crash"
            case _:
                result = "error"
        self._results[result].inc()
        self._recent.note(
            Attempt(
                wall_ms=time.time_ns() // 1_000_000,
                outcome=result,
                duration_ms=reply.duration_ms,
                request_id=request_id,
                error=(reply.error_type or "")[:ERROR_CHARACTERS_MAX],
                version=version,
                init_ms=reply.init_ms,
                memory_mb=reply.memory_mb_max,
            )
        )
        if version != LATEST:
            self._of_version(version)[result].inc()

    def _of_version(self, version: str) -> dict[str, Count]:
        if version not in self._versions:
            self._versions[version] = {
                result: metrics.VERSION_INVOCATIONS.labels(self._function, version, result)
                for result in RESULTS
            }
        return self._versions[version]
