"""Starts environments: which zygote, which variables, which isolation plan.

Functions that use boto3 as it comes with the runtime are forked from a zygote that has it loaded;
all others, and those that ship a package of it themselves, from a bare one.
"""

import asyncio
import functools
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from router.model.arn import parse_arn
from router.model.errors import RouterError
from router.model.function import FunctionVersion
from router.model.hosting import BARE, Hosting
from router.model.runtimes import Family, family_of
from router.workers import environment, wire
from router.workers.extensions import found, states
from router.workers.extensions.calls import Facts
from router.workers.extensions.environment import ExtendedEnvironment
from router.workers.invocation import facts_of
from router.workers.isolation.groups import Groups
from router.workers.isolation.plain import PROCESSES_MAX
from router.workers.isolation.plan import Planner
from router.workers.log_files import LogStream
from router.workers.logs import LogWriter
from router.workers.output import Output
from router.workers.process import Environment
from router.workers.runtime_api.environment import RuntimeEnvironment
from router.workers.runtime_api.program import Program
from router.workers.runtime_api.server import address_of, listen
from router.workers.runtime_folder import RuntimeFolder, speaks_api
from router.workers.runtimes.choose import Runtimes, wrapper_of
from router.workers.zygote_client import (
    FOLDER,
    KILLED_STATUS,
    SpawnRefused,
    Zygote,
    ZygoteDied,
)
from router.workers.zygotes import Zygotes

log = structlog.get_logger()

REMEMBERED_MAX = 10_000
"""Code hashes for which it is remembered whether they speak to the Runtime API."""

Variables = Callable[[FunctionVersion], Mapping[str, str]]
"""Variables of a function: its own with secrets resolved, or credentials and endpoints."""


class StartFailed(RouterError):
    """The environment could not be made; the function itself is not to blame."""

    code = "start_failed"
    retryable = True


class Launcher:
    """Makes environments and looks after the zygotes they come from."""

    def __init__(
        self,
        data_dir: str,
        logs: LogWriter,
        *,
        planner: Planner,
        groups: Groups | None = None,
        resolve_environment: Variables,
        extra_environment: Variables,
        runtime: RuntimeFolder,
        hosting: Hosting = BARE,
    ) -> None:
        """`groups`: control groups limit memory and processes; without them the pool watches.

        Joining a group costs a cold start several ms where the kernel waits for others (v1).

        `hosting`: which interpreter a runtime has; other Python runtimes use the router's own
        unless it is strict.
        """
        self._folder = Path(data_dir).absolute() / "environments"
        self._logs = logs
        self._planner = planner
        self._groups = groups
        self._groups_left: set[str] = set()
        self._resolve_environment = resolve_environment
        self._extra_environment = extra_environment
        self._runtime = runtime
        self._hosting = hosting
        self._runtimes = Runtimes(hosting, self._folder)
        self.zygotes = Zygotes(runtime, planner.host)
        self._speakers: dict[tuple[str, str, str], bool] = {}
        self._warned: set[str] = set()

    async def start(self) -> None:
        """Remove what a crashed router left and start the bare zygote. Raises `ZygoteDied`."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o711)
        if self._groups is not None:
            await asyncio.to_thread(self._groups.sweep)
        await self.zygotes.get(own_interpreter(), preloads=False)

    async def stop(self) -> None:
        """End the zygotes and everything below them."""
        await self.zygotes.stop()
        if self._groups is not None:
            await asyncio.to_thread(self._groups.close)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def expect(self, function: FunctionVersion) -> None:
        """A function has come or changed: its first environment should not wait for a zygote."""
        if function.image is not None or family_of(function.runtime) is not Family.PYTHON:
            return
        if not self._hosting.problem(function.runtime, function.file_systems):
            self.zygotes.expect(self._interpreter(function.runtime), function)

    async def launch(
        self,
        function: FunctionVersion,
        tmp_path: str | None,
        timeout_ms: int,
        on_end: Callable[[Environment], None],
        on_made: Callable[[Environment], None],
        first_line: Callable[[str], str],
    ) -> tuple[Environment, wire.Frame | None]:
        """Make an environment: it and its first frame (None: it ended or was too slow).

        `on_made` hears of it before it runs. `first_line` of its log is made of an id that is
        this environment's alone. `tmp_path` is the folder of an environment
        that was reset; None makes a new one.
        Raises `StartFailed`.
        """
        if problem := self._hosting.problem(function.runtime, function.file_systems):
            raise StartFailed(problem)
        user, extra = self._variables(function)
        interpreter = self._interpreter(function.runtime)
        program = await self._program(function, user, interpreter)
        extensions = _extensions_of(function, program)
        is_api = program is None and (bool(extensions) or await self._speaks_api(function))
        fresh = program is None and environment.needs_fresh_exec(function, user)
        preloads = program is None and not fresh and await self.zygotes.suits(function)
        if program is not None:
            interpreter = own_interpreter()
        zygote = await self._zygote_or_fail(interpreter, preloads=preloads)
        stream = _log_stream(function)
        tmp = tmp_path or self.make_tmp()
        group = uuid.uuid4().hex if self._groups is not None else ""
        listener: socket.socket | None = None
        try:
            listener = listen() if program is not None or is_api else None
            plan = self._planner.environment(
                function,
                task=function.code_path,
                tmp=tmp,
                opt=function.layers_path,
                runtime=self._runtime_path(program),
                root="" if program is None else program.root,
                read_only=[str(FOLDER)] * fresh
                + [self._runtime.path] * preloads
                + list(program.read_only if program else ()),
                ports=[] if listener is None else [listener.getsockname()[1]],
                services=_ports_of(extra),
                cgroup=self._make_group(group, function.memory_mb),
                hosts="" if listener is None else self._hosts(),
            )
        except (RouterError, OSError) as error:
            if listener is not None:
                listener.close()
            await self.remove_tmp(tmp)
            raise StartFailed(str(error)) from error
        paths = plan["paths"]
        variables = environment.build(function, user, extra, paths, stream.name, program)
        if listener is not None:
            variables[environment.RUNTIME_API] = address_of(listener)
        message = {
            "start": {
                "facts": facts_of(function, stream.name),
                "environment": variables,
                "paths": paths,
                "runtime_host": self._runtime.path,
                "is_api": is_api,
            },
            "plan": plan,
            "fresh": fresh,
            "wrapper": wrapper_of(user) if fresh else [],
            "commands": [] if program is None else program.commands_in(paths),
            "folder": "" if program is None else program.folder_in(paths),
            "extensions": _launched(
                extensions, paths, variables, "/" if plan["root"] else paths["task"]
            ),
        }
        output = Output(stream, self._logs, function.logs)
        output.begin(first_line(stream.instance))
        env = self._made(
            function,
            zygote,
            output,
            listener,
            extensions,
            uid=plan["uid"],
            can_listen=plan["ports"] is None,
            tmp_path=tmp,
            group=group,
            on_end=on_end,
        )
        on_made(env)
        try:
            frame = await env.start(message, timeout_ms)
        except (ZygoteDied, SpawnRefused) as error:
            raise StartFailed(str(error)) from error
        return env, frame

    def _made(
        self,
        function: FunctionVersion,
        zygote: Zygote,
        output: Output,
        listener: socket.socket | None,
        extensions: tuple[str, ...],
        *,
        uid: int | None,
        can_listen: bool,
        tmp_path: str,
        group: str,
        on_end: Callable[[Environment], None],
    ) -> Environment:
        """The environment of the kind this function needs; no process yet."""
        if listener is None:
            return Environment(zygote, output, tmp_path=tmp_path, group=group, on_end=on_end)
        named: dict[str, Any] = {
            "listener": listener,
            "uid": uid,
            "facts": _facts_for_extensions(function),
            "function": function,
            "can_listen": can_listen,
            "tmp_path": tmp_path,
            "group": group,
            "on_end": on_end,
        }
        if not extensions:
            return RuntimeEnvironment(zygote, output, **named)
        # Levels are the function's: what its extensions write is always shown.
        beside = Output(output.stream, self._logs)
        return ExtendedEnvironment(
            zygote,
            output,
            extensions=extensions,
            extension_output=beside,
            **named,
        )

    def describe(self, function: FunctionVersion, tmp: str) -> tuple[str, dict[str, Any]]:
        """Interpreter and start message of a process outside, which sees folders where they are.

        Raises `StartFailed`.
        """
        user, extra = self._variables(function)
        stream = _log_stream(function).name
        paths = {
            "task": function.code_path,
            "opt": function.layers_path,
            "tmp": tmp,
            "runtime": self._runtime.path,
        }
        start = {
            "facts": facts_of(function, stream),
            "environment": environment.build(function, user, extra, paths, stream),
            "paths": paths,
            "runtime_host": self._runtime.path,
            "is_api": False,
        }
        return self._interpreter(function.runtime), start

    @property
    def has_groups(self) -> bool:
        """Whether the kernel keeps environments to their memory and number of processes."""
        return self._groups is not None

    def release(self, env: Environment) -> None:
        """After the end of an environment: learn whether memory was its end, drop its group."""
        if self._groups is None:
            return
        if env.status == KILLED_STATUS and self._groups.oom_killed(env.group):
            env.is_out_of_memory = True
        self._groups_left.add(env.group)
        self.tidy()

    def tidy(self) -> None:
        """Remove groups whose last processes took a moment to go; to be called now and then."""
        if self._groups is not None:
            self._groups_left = {
                name for name in self._groups_left if not self._groups.remove(name)
            }

    def _make_group(self, name: str, memory_mb: int) -> tuple[str, ...]:
        if self._groups is None:
            return ()
        return self._groups.make(name, memory_mb << 20, PROCESSES_MAX)

    def make_tmp(self) -> str:
        """A new private folder."""
        path = f"{self._folder}/{uuid.uuid4().hex}"
        os.mkdir(path, 0o700)  # noqa: PTH102  # a cold start waits for it
        return path

    async def remove_tmp(self, path: str) -> None:
        """Remove a private folder; what cannot be removed is left to the next start."""
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def _zygote_or_fail(self, interpreter: str, *, preloads: bool) -> Zygote:
        try:
            return await self.zygotes.get(interpreter, preloads=preloads)
        except (ZygoteDied, OSError) as error:
            raise StartFailed(f"{interpreter}: {error}") from error

    def _hosts(self) -> str:
        """A file of host names that has those by which extensions listen as well.

        A new one when the host's has changed; environments that run keep theirs.
        """
        path = self._folder / f"hosts-{found.hosts_changed_ns()}"
        if not path.is_file():
            path.write_text(found.hosts(), encoding="utf-8")
            path.chmod(0o644)
        return str(path)

    async def _speaks_api(self, function: FunctionVersion) -> bool:
        """Whether its Python may register an extension within itself, so needs a listener."""
        key = (function.code_path, function.code_hash, function.layers_path)
        if key not in self._speakers:
            while len(self._speakers) >= REMEMBERED_MAX:
                del self._speakers[next(iter(self._speakers))]
            self._speakers[key] = await asyncio.to_thread(
                speaks_api, function.code_path, function.layers_path
            )
        return self._speakers[key]

    def _variables(self, function: FunctionVersion) -> tuple[dict[str, str], Mapping[str, str]]:
        """The function's own with secrets resolved, and credentials. Raises `StartFailed`."""
        try:
            user = dict(self._resolve_environment(function))
            extra = self._extra_environment(function)
        except RouterError as error:
            raise StartFailed(str(error)) from error
        return user, extra

    async def _program(
        self, function: FunctionVersion, user: Mapping[str, str], interpreter: str
    ) -> Program | None:
        """What speaks the Runtime API, if anything. Raises `StartFailed`."""
        try:
            return await self._runtimes.program_of(function, user, interpreter)
        except OSError as error:
            raise StartFailed(f"runtime {function.runtime}: {error}") from error

    def _runtime_path(self, program: Program | None) -> str:
        """The folder that becomes `/var/runtime`."""
        if program is None or program.runtime is None:
            return self._runtime.path
        return program.runtime

    def _interpreter(self, runtime: str) -> str:
        """For its Python; for the zygote of another runtime's environment it is the router's."""
        if family_of(runtime) is not Family.PYTHON:
            return own_interpreter()
        if runtime in self._hosting.runtimes:
            return self._hosting.runtimes[runtime]
        own = f"python3.{sys.version_info.minor}"
        if runtime != own and runtime not in self._warned:
            self._warned.add(runtime)
            log.warning("runtime_substituted", runtime=runtime, used=own)
        return own_interpreter()


@functools.cache
def own_interpreter() -> str:
    """The interpreter that runs the router, outside any virtual environment."""
    return os.path.realpath(sys.executable)


def _extensions_of(function: FunctionVersion, program: Program | None) -> tuple[str, ...]:
    """Of its layers or in its image. Raises `StartFailed`."""
    root = "" if program is None else program.root
    try:
        return found.names(found.opt_in(root) if root else function.layers_path)
    except RouterError as error:
        raise StartFailed(str(error)) from error


def _launched(
    names: tuple[str, ...], paths: Mapping[str, str], variables: dict[str, str], folder: str
) -> dict[str, Any]:
    """What the supervisor is to launch; nothing without extensions."""
    if not names:
        return {}
    return {
        "paths": [
            f"{paths['opt']}/{found.FOLDER}/{name}" for name in names[: states.EXTENSIONS_MAX]
        ],
        "environment": found.environment(variables),
        "folder": folder,
    }


def _facts_for_extensions(function: FunctionVersion) -> Facts:
    account_id = parse_arn(function.arn).account
    return Facts(function.name, function.version, function.handler, account_id)


def _ports_of(extra: Mapping[str, str]) -> list[int]:
    """Of the router's own services, as functions are told."""
    port = urlsplit(extra.get("AWS_ENDPOINT_URL", "")).port
    return [port] if port else []


def _log_stream(function: FunctionVersion) -> LogStream:
    """A new stream; in a group of its own choice the function's name is part of it."""
    date = time.strftime("%Y/%m/%d", time.gmtime())
    group = function.logs.group
    name = f"{date}/{function.name if group else ''}[{function.version}]{uuid.uuid4().hex}"
    return LogStream(function.name, name, group)
