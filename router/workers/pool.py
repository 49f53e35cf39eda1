"""The pool: environments made, reused last-in-first-out, ended when idle, broken or out of date.

How many invocations may run is the dispatcher's business; the pool only keeps the number of
processes below its ceiling. Life cycle: `functions-and-invocation.md` 8.5.
"""

import asyncio
import collections
import contextlib
import os
import time
from collections.abc import Collection

import msgspec
import structlog

from router.model.concurrency import ACCOUNT_LIMIT
from router.model.errors import NotInvoked
from router.model.function import PROVISIONED, FunctionVersion, InvokeReply, InvokeRequest
from router.workers import invocation
from router.workers.cold_start import ColdStart
from router.workers.launcher import Launcher, StartFailed
from router.workers.logs import LogWriter
from router.workers.meters import Meters
from router.workers.process import Environment
from router.workers.provisions import Key, Provisions, key_of
from router.workers.watch import UsageWatch

log = structlog.get_logger()

CLOSE_TIMEOUT_S = 3.0
"""How long killed environments may take to be gone when the pool closes."""

SETTLE_S = 0.1
"""How long an environment that has answered may take to ask for more, at least: then another is
made. Longer if its own start took longer."""

HOUSEKEEPING_S = 1.0
"""How often idle environments are looked at."""

SPARE_FOLDERS_MAX = 100
"""Folders of reset environments kept for the next one of the same function."""


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a pool."""

    environments_max: int = 1_000
    """Most processes, busy and idle."""
    idle_s: float = 600.0
    """An idle environment ends after this time."""


class Pool:
    """Runs invocations. `start` before, `close` after."""

    def __init__(self, launcher: Launcher, logs: LogWriter, settings: PoolSettings) -> None:
        self._launcher = launcher
        self._logs = logs
        self._settings = settings
        self._idle: dict[Key, collections.deque[Environment]] = {}
        self._living: dict[Environment, FunctionVersion] = {}
        self._starting = 0
        self._busy = 0
        self._spare: dict[str, tuple[Key, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = UsageWatch(lambda: list(self._living.items()), has_groups=launcher.has_groups)
        self._housekeeping: asyncio.Task[None] | None = None
        self._is_closing = False
        self._meters: dict[str, Meters] = {}
        self.provisions = Provisions(self._start_ahead)
        """Environments started ahead; never ended for being idle, nor to make room."""

    async def start(self) -> None:
        """Start the bare zygote. Raises `ZygoteDied` when the interpreter does not come up."""
        await self._launcher.start()
        self._watch.start()
        self._housekeeping = asyncio.create_task(self._keep_house(), name="pool-housekeeping")

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Run one invocation; a failing function is a reply with `error_type`.

        Raises `NotInvoked` when the function was not run: `throttled`, `function_missing`,
        `start_failed` or `stopping`.
        """
        if self._is_closing:
            raise NotInvoked("stopping")
        function = request.function
        key = key_of(function)
        meters = self._meters.get(function.name) or self._meters_of(function.name)
        self._busy += 1
        meters.busy += 1
        try:
            env = self._take(key, meters)
            while env is not None and not env.is_ready:
                env = await self._wait_for(env, key, meters)
            if env is None:
                reply = await self._invoke_cold(request, key, meters)
            else:
                try:
                    reply = await invocation.run(env, request, None)
                finally:
                    self._release(env, key, meters)
        finally:
            self._busy -= 1
            meters.busy -= 1
        meters.count(reply, function.version, request.request_id)
        return reply

    def expect(self, functions: Collection[FunctionVersion]) -> None:
        """Get ready for the first environments of functions that are new or were there before."""
        for function in functions:
            self._launcher.expect(function)

    def retire(self, function_name: str, current: Collection[FunctionVersion] = ()) -> None:
        """End a function's environments: idle ones now, busy ones after their invocation.

        Those of `current` go on: of what has not changed.
        """
        kept = {key_of(function) for function in current}
        self._meters_of(function_name).keep({function.version for function in current})
        for env, function in list(self._living.items()):
            if function.name == function_name and key_of(function) not in kept:
                env.is_retired = True
        for key in [key for key in self._idle if key[0] == function_name and key not in kept]:
            for env in self._idle.pop(key):
                self._meters_of(function_name).idle -= 1
                env.end()

    async def close(self, drain_s: float) -> None:
        """Let running invocations finish for `drain_s` seconds, then end everything."""
        self._is_closing = True
        self.provisions.close()
        deadline = time.monotonic() + drain_s
        while self._busy and time.monotonic() < deadline:  # noqa: ASYNC110  # the hot path sets no event
            await asyncio.sleep(0.01)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        await self._watch.stop()
        for env in list(self._living):
            env.is_retired = True
            env.end()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while (self._living or self._busy) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self._launcher.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
        await self._logs.close()

    def _take(self, key: Key, meters: Meters) -> Environment | None:
        if self.provisions.by_key and (env := self.provisions.take(key)) is not None:
            return env
        idle = self._idle.get(key)
        if not idle:
            return None
        meters.idle -= 1
        return idle.pop()

    async def _wait_for(self, env: Environment, key: Key, meters: Meters) -> Environment | None:
        """It has answered and not asked for more yet: worth the time a new one would take.

        Else another one; a runtime that is busy with its own comes back when it asks.
        """
        if await env.settle(max(env.start_s, SETTLE_S)):
            return env
        task = asyncio.get_running_loop().create_task(self._release_settled(env, key, meters))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._take(key, meters)

    async def _release_settled(self, env: Environment, key: Key, meters: Meters) -> None:
        await env.settle(None)
        self._release(env, key, meters)

    def _release(self, env: Environment, key: Key, meters: Meters) -> None:
        if self.provisions.owners and self.provisions.give_back(env):
            return
        if env.is_alive and not env.is_retired and not self._is_closing:
            env.idle_since = time.monotonic()
            idle = self._idle.get(key)
            if idle is None:
                idle = self._idle[key] = collections.deque()
            idle.append(env)
            meters.idle += 1
        else:
            env.end()

    async def _invoke_cold(self, request: InvokeRequest, key: Key, meters: Meters) -> InvokeReply:
        function = request.function
        if not os.path.isdir(function.code_path):  # noqa: PTH112, ASYNC240  # one stat
            raise NotInvoked(
                "function_missing", f"{function.name}: no code at {function.code_path}"
            )
        if not meters.start_rate.take(time.monotonic()):
            raise NotInvoked(
                "throttled", "too many environments started lately", detail=ACCOUNT_LIMIT
            )
        self._retire_older(key)
        self._make_room()
        cold = ColdStart(request, self._launcher, self._on_end)
        self._starting += 1
        meters.starting += 1
        try:
            env = await cold.run(lambda: self._take_spare(key), self._adopt)
        except StartFailed as error:
            log.warning("environment_not_started", function=function.name, text=str(error))
            raise NotInvoked("start_failed", str(error)) from error
        finally:
            self._starting -= 1
            meters.starting -= 1
        if env is None:
            return cold.failure()
        env.is_starting = False
        meters.cold_starts.inc()
        meters.cold_start_duration.observe(cold.init_ms / 1000)
        try:
            return await cold.invoke(env)
        finally:
            self._release(env, key, meters)

    async def _start_ahead(self, function: FunctionVersion) -> Environment | None:
        """An environment for `provisions`. Raises `NotInvoked`, `StartFailed`."""
        function = msgspec.structs.replace(function, initialization=PROVISIONED)
        request = InvokeRequest(
            function=function, invoked_arn=function.arn, request_id="", payload=b"{}"
        )
        key = key_of(function)
        if not await asyncio.to_thread(os.path.isdir, function.code_path):
            raise NotInvoked("function_missing", f"no code at {function.code_path}")
        self._make_room()
        cold = ColdStart(request, self._launcher, self._on_end)
        meters = self._meters_of(function.name)
        self._starting += 1
        meters.starting_ahead += 1
        try:
            env = await cold.ahead(lambda: self._take_spare(key), self._adopt)
        finally:
            self._starting -= 1
            meters.starting_ahead -= 1
        if env is not None:
            env.is_starting = False
            meters.cold_starts.inc()
            meters.cold_start_duration.observe(cold.init_ms / 1000)
        return env

    def _adopt(self, env: Environment, function: FunctionVersion) -> None:
        self._living[env] = function

    def _on_end(self, env: Environment) -> None:
        function = self._living.pop(env, None)
        self.provisions.ended(env)
        env.output.close()
        self._launcher.release(env)
        if function is None:
            self._remove_folder(env.tmp_path)
            return
        key = key_of(function)
        idle = self._idle.get(key)
        if idle is not None and env in idle:
            idle.remove(env)
            self._meters_of(function.name).idle -= 1
        if env.is_retired or self._is_closing or len(self._spare) >= SPARE_FOLDERS_MAX:
            self._remove_folder(env.tmp_path)
        else:  # a reset: the next environment of this function finds its /tmp as it was
            self._spare[env.tmp_path] = (key, time.monotonic())

    def _take_spare(self, key: Key) -> str | None:
        for path, (owner, _) in self._spare.items():
            if owner == key:
                del self._spare[path]
                return path
        return None

    def _remove_folder(self, path: str) -> None:
        task = asyncio.get_running_loop().create_task(self._launcher.remove_tmp(path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _retire_older(self, key: Key) -> None:
        for other in [other for other in self._idle if other[:2] == key[:2] and other != key]:
            for env in self._idle.pop(other):
                self._end_idle(env, other)

    def _make_room(self) -> None:
        living = sum(1 for env in self._living if not (env.is_retired or env.is_starting))
        if living + self._starting < self._settings.environments_max:
            return
        found = [(idle[0].idle_since, key) for key, idle in self._idle.items() if idle]
        if not found:
            raise NotInvoked("throttled", "every environment is busy")
        _, key = min(found)
        self._end_idle(self._idle[key].popleft(), key)

    def _end_idle(self, env: Environment, key: Key) -> None:
        self._meters_of(key[0]).idle -= 1
        env.is_retired = True
        env.end()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(min(HOUSEKEEPING_S, self._settings.idle_s / 2))
            self._launcher.tidy()
            oldest = time.monotonic() - self._settings.idle_s
            for key in list(self._idle):
                idle = self._idle[key]
                while idle and idle[0].idle_since <= oldest:
                    self._end_idle(idle.popleft(), key)
                if not idle:
                    del self._idle[key]
            for path in [path for path, (_, since) in self._spare.items() if since <= oldest]:
                del self._spare[path]
                self._remove_folder(path)

    def _meters_of(self, function_name: str) -> Meters:
        if function_name not in self._meters:
            self._meters[function_name] = Meters(function_name)
        return self._meters[function_name]
