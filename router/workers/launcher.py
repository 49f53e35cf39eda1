"""Starts environments: which zygote, which variables, which isolation plan.

A bare zygote serves functions that ship a package also found in the runtime folder; all others
are forked from one that has boto3 loaded already.
"""

import asyncio
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from router.model.errors import RouterError
from router.model.function import FunctionVersion
from router.workers import environment, wire
from router.workers.invocation import facts_of
from router.workers.logs import LogWriter
from router.workers.output import Output
from router.workers.process import Environment
from router.workers.runtime_folder import RuntimeFolder
from router.workers.zygote_client import FOLDER, SpawnRefused, Zygote, ZygoteDied

log = structlog.get_logger()

Variables = Callable[[FunctionVersion], Mapping[str, str]]
"""Variables of a function: its own with secrets resolved, or credentials and endpoints."""


class StartFailed(RouterError):
    """The environment could not be made; the function itself is not to blame."""

    code = "start_failed"
    retryable = True


class Planner(Protocol):
    """What says how an environment locks itself in: `workers.isolation.plan.Planner`."""

    def host(self) -> dict[str, Any]:
        """For the zygote, once."""

    def environment(
        self, function: FunctionVersion, *, task: str, tmp: str, runtime: str, read_only: list[str]
    ) -> dict[str, Any]:
        """For one environment."""


class Launcher:
    """Makes environments and looks after the zygotes they come from."""

    def __init__(
        self,
        data_dir: str,
        logs: LogWriter,
        *,
        planner: Planner,
        resolve_environment: Variables,
        extra_environment: Variables,
        runtime: RuntimeFolder,
        runtimes: Mapping[str, str],
    ) -> None:
        """`runtimes`: runtime name → interpreter; other Python runtimes use the router's own."""
        self._folder = Path(data_dir).absolute() / "environments"
        self._logs = logs
        self._planner = planner
        self._resolve_environment = resolve_environment
        self._extra_environment = extra_environment
        self._runtime = runtime
        self._runtimes = runtimes
        self._zygotes: dict[tuple[str, bool], Zygote] = {}
        self._lock = asyncio.Lock()
        self._warned: set[str] = set()

    async def start(self) -> None:
        """Remove what a crashed router left and start the zygotes. Raises `ZygoteDied`."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o711)
        await self._zygote(own_interpreter(), preloads=False)
        if self._runtime.packages:
            await self._zygote(own_interpreter(), preloads=True)

    async def stop(self) -> None:
        """End the zygotes and everything below them."""
        zygotes, self._zygotes = list(self._zygotes.values()), {}
        await asyncio.gather(*(zygote.stop() for zygote in zygotes))
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def launch(
        self,
        function: FunctionVersion,
        tmp_path: str | None,
        timeout_ms: int,
        on_end: Callable[[Environment], None],
        on_made: Callable[[Environment], None],
        first_line: str,
    ) -> tuple[Environment, wire.Frame | None]:
        """Make an environment: it and its first frame (None: it ended or was too slow).

        `on_made` hears of it before it runs. `tmp_path` is the folder of an environment
        that was reset; None makes a new one.
        Raises `StartFailed`.
        """
        interpreter = self._interpreter(function.runtime)
        try:
            user = dict(self._resolve_environment(function))
            extra = self._extra_environment(function)
        except RouterError as error:
            raise StartFailed(str(error)) from error
        if environment.WRAPPER in user:
            raise StartFailed(f"{environment.WRAPPER} is not supported")
        fresh = environment.needs_fresh_exec(function, user)
        preloads = not fresh and not self._runtime.is_shadowed_by(function.code_path)
        zygote = await self._zygote_or_fail(interpreter, preloads=preloads)
        stream = _log_stream(function.version)
        tmp = tmp_path or self.make_tmp()
        plan = self._planner.environment(
            function,
            task=function.code_path,
            tmp=tmp,
            runtime=self._runtime.path,
            read_only=[str(FOLDER)] * fresh + [self._runtime.path] * preloads,
        )
        message = {
            "start": {
                "facts": facts_of(function, stream),
                "environment": environment.build(function, user, extra, plan["paths"], stream),
                "paths": plan["paths"],
                "runtime_host": self._runtime.path,
            },
            "plan": plan,
            "fresh": fresh,
        }
        output = Output(function.name, stream, self._logs)
        output.begin(first_line)
        env = Environment(zygote, output, tmp_path=tmp, on_end=on_end)
        on_made(env)
        try:
            frame = await env.start(message, timeout_ms)
        except (ZygoteDied, SpawnRefused) as error:
            raise StartFailed(str(error)) from error
        return env, frame

    def make_tmp(self) -> str:
        """A new private folder."""
        path = self._folder / uuid.uuid4().hex
        path.mkdir(mode=0o700)
        return str(path)

    async def remove_tmp(self, path: str) -> None:
        """Remove a private folder; what cannot be removed is left to the next start."""
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def _zygote_or_fail(self, interpreter: str, *, preloads: bool) -> Zygote:
        try:
            return await self._zygote(interpreter, preloads=preloads)
        except (ZygoteDied, OSError) as error:
            raise StartFailed(f"{interpreter}: {error}") from error

    async def _zygote(self, interpreter: str, *, preloads: bool) -> Zygote:
        key = (interpreter, preloads)
        zygote = self._zygotes.get(key)
        if zygote is not None and zygote.is_alive:
            return zygote
        async with self._lock:
            zygote = self._zygotes.get(key)
            if zygote is not None and zygote.is_alive:
                return zygote
            if zygote is not None:
                log.warning("zygote_restarted", interpreter=interpreter, preloaded=preloads)
            zygote = Zygote(
                interpreter,
                runtime=self._runtime.path,
                preload=self._runtime.preload if preloads else (),
            )
            await zygote.start(self._planner.host())
            self._zygotes[key] = zygote
            return zygote

    def _interpreter(self, runtime: str) -> str:
        if runtime in self._runtimes:
            return self._runtimes[runtime]
        if not runtime.startswith("python3."):
            raise StartFailed(f"runtime {runtime} is not supported")
        own = f"python3.{sys.version_info.minor}"
        if runtime != own and runtime not in self._warned:
            self._warned.add(runtime)
            log.warning("runtime_substituted", runtime=runtime, used=own)
        return own_interpreter()


def own_interpreter() -> str:
    """The interpreter that runs the router, outside any virtual environment."""
    return os.path.realpath(sys.executable)


def _log_stream(version: str) -> str:
    date = time.strftime("%Y/%m/%d", time.gmtime())
    return f"{date}/[{version}]{uuid.uuid4().hex}"
