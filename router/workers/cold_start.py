"""Making an environment for an invocation that found none (`functions-and-invocation.md` 8.5).

A failed initialisation is repeated once, inside the invocation and under the function's timeout;
if it fails again, the invocation fails with the payload of that.
"""

import time
from collections.abc import Callable

from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.workers import invocation, payloads, platform_lines, wire
from router.workers.launcher import Launcher, StartFailed
from router.workers.process import Environment

INIT_TIMEOUT_MS = 10_000
"""Limit of a first initialisation (Lambda)."""

INIT_AHEAD_MS_MIN = 130_000
INIT_AHEAD_MS_MAX = 900_000
"""Limit of one that is started ahead: the function's timeout, within these (Lambda)."""

STARTS_MAX = 2
"""Tries to make a process, when the zygote died meanwhile."""


class ColdStart:
    """The start of one environment, for one request."""

    def __init__(
        self,
        request: InvokeRequest,
        launcher: Launcher,
        on_end: Callable[[Environment], None],
    ) -> None:
        self._request = request
        self._launcher = launcher
        self._on_end = on_end
        self._env: Environment | None = None
        self._error_type = ""
        self._payload = b""
        self._spent_ms: float | None = None
        self.init_ms = 0.0

    async def run(
        self,
        take_folder: Callable[[], str | None],
        adopt: Callable[[Environment, FunctionVersion], None],
    ) -> Environment | None:
        """An environment whose handler is loaded; None when that failed twice: see `failure`.

        `take_folder` gives the folder of an environment that was reset, if there is one.
        Raises `StartFailed` when no process could be made.
        """
        self._take_folder = take_folder
        self._adopt = adopt
        function = self._request.function
        env = await self._attempt(INIT_TIMEOUT_MS, self._init_start)
        error_type = None if self._is_loaded else self._error_type
        self._report(env, "init", error_type)
        if self._is_loaded:
            return env
        timeout_ms = function.timeout_ms
        started = platform_lines.start(self._request)
        env = await self._attempt(timeout_ms, lambda _instance: started)
        self._spent_ms = self.init_ms
        return env if self._is_loaded else None

    async def ahead(
        self,
        take_folder: Callable[[], str | None],
        adopt: Callable[[Environment, FunctionVersion], None],
    ) -> Environment | None:
        """As `run`, before anybody has asked: one try, with more time; None when it failed."""
        self._take_folder = take_folder
        self._adopt = adopt
        function = self._request.function
        timeout_ms = min(INIT_AHEAD_MS_MAX, max(INIT_AHEAD_MS_MIN, function.timeout_ms))
        env = await self._attempt(timeout_ms, self._init_start)
        error_type = None if self._is_loaded else self._error_type
        self._report(env, "init", error_type)
        return env if self._is_loaded else None

    async def invoke(self, env: Environment) -> InvokeReply:
        """The invocation that asked for the environment."""
        return await invocation.run(env, self._request, self.init_ms, self._spent_ms)

    def failure(self) -> InvokeReply:
        """The reply after two failed initialisations."""
        env = self._env
        function = self._request.function
        reports = platform_lines.init_report(function, self.init_ms, "invoke", self._error_type)
        memory_mb = -(-env.memory_kb_max // 1024) if env is not None else 0
        lines = platform_lines.end(
            self._request, self.init_ms, memory_mb, None, self._error_type, len(self._payload)
        )
        return InvokeReply(
            payload=self._payload,
            error_type=self._error_type,
            log=env.output.end((*reports, *lines)) if env is not None else b"",
            duration_ms=self.init_ms,
            memory_mb_max=memory_mb,
        )

    def _init_start(self, instance: str) -> str:
        return platform_lines.init_start(self._request.function, instance)

    def _report(self, env: Environment, phase: str, error_type: str | None) -> None:
        function = self._request.function
        env.output.write(platform_lines.init_report(function, self.init_ms, phase, error_type))
        if env.telemetry is not None:
            env.telemetry.platform(
                platform_lines.init_records(function, self.init_ms, phase, error_type)
            )

    async def _attempt(self, timeout_ms: int, line: Callable[[str], str]) -> Environment:
        function = self._request.function
        for left in reversed(range(STARTS_MAX)):
            began = time.perf_counter()
            try:
                env, frame = await self._launcher.launch(
                    function,
                    self._take_folder(),
                    timeout_ms,
                    on_end=self._on_end,
                    on_made=lambda env: self._adopt(env, function),
                    first_line=line,
                )
            except StartFailed:
                if not left:
                    raise
                continue
            break
        self.init_ms = (time.perf_counter() - began) * 1000
        self._env = env
        env.start_s = self.init_ms / 1000
        self._is_loaded = frame is not None and frame[0] == wire.READY
        if not self._is_loaded:
            await self._describe(env, frame, timeout_ms)
        return env

    async def _describe(self, env: Environment, frame: wire.Frame | None, timeout_ms: int) -> None:
        if frame is None:
            request_id = self._request.request_id
            self._error_type, self._payload = invocation.ended(env, request_id, timeout_ms)
            return
        kind, header, payload = frame
        facts = invocation.facts_in(header)
        env.is_retired = kind not in {wire.INIT_FAILED, wire.EXEC_FAILED}
        env.end()
        await env.gone()
        if kind == wire.START_FAILED:
            raise StartFailed(str(facts.get("text", "")))
        if kind == wire.EXEC_FAILED:
            text, request_id = str(facts.get("text", "")), self._request.request_id
            self._error_type = str(facts.get("type") or payloads.INVALID_ENTRYPOINT)
            self._payload = payloads.failed(request_id, self._error_type, text)
            return
        self._error_type = str(facts.get("type", "Runtime.Unknown"))
        self._payload = payload
