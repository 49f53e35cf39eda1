"""From a function to the program that runs it (`functions-and-invocation.md` 8.1, 8.2, 8.4)."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from router.model.function import FunctionVersion
from router.model.hosting import Hosting
from router.model.runtimes import Family, family_of, version_of
from router.workers.environment import WRAPPER
from router.workers.runtime_api.program import Program
from router.workers.runtimes import host, image, java, node

log = structlog.get_logger()

_WRAP = (
    '[ -f "$0" ] || { echo "$0: does not exist"; exit 127; }; '
    '[ -x "$0" ] || { echo "$0: is not an executable"; exit 126; }; '
    'exec "$0" "$@"'
)
"""What AWS's runtimes do with a wrapper, exit codes included."""

_PYTHON_CLIENT = "awslambdaric"

_START_PYTHON = """\
import runpy, sys
task, opt, client = sys.argv[1:4]
libraries = "/python/lib/python%d.%d/site-packages" % sys.version_info[:2]
sys.path[:1] = [task, opt + libraries, opt + "/python"]
sys.path += [client] * (client != task)
sys.dont_write_bytecode = True
del sys.argv[:4]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Starts the client with the function's folders first on the path, as Lambda has them. Variables
could do some of it, but the function would see them."""


class Runtimes:
    """Chooses programs. State: for which runtimes it was said that another version runs them."""

    def __init__(self, hosting: Hosting, folder: Path) -> None:
        """`folder`: one that exists when the first program is chosen, for what is unpacked."""
        self._hosting = hosting
        self._folder = folder
        self._told: set[str] = set()

    async def program_of(
        self, function: FunctionVersion, user: Mapping[str, str], python: str
    ) -> Program | None:
        """What speaks the Runtime API for a function; None: it is Python and forked.

        `user`: the function's variables, with secrets resolved. `python`: what runs its Python.
        The function is one that `hosting.problem` had nothing to say against.
        """
        if function.image is not None:
            return image.program_of(function.image, function.code_path)
        family = family_of(function.runtime)
        if family is Family.PYTHON and not self._python_client(function):
            return None
        program = await asyncio.to_thread(self._choose, function, user, python)
        if family is Family.PROVIDED or not (wrapper := wrapper_of(user)):
            return program
        commands = tuple((*wrapper, *command) for command in program.commands)
        return msgspec.structs.replace(program, commands=commands)

    def _choose(self, function: FunctionVersion, user: Mapping[str, str], python: str) -> Program:
        family = family_of(function.runtime)
        if family is Family.PROVIDED:
            return Program(commands=(("{task}/bootstrap",), ("{opt}/bootstrap",)), runtime="")
        if family is Family.PYTHON:
            return self._python(function, python)
        program = self._hosting.program(function.runtime)
        if family is Family.NODEJS:
            return self._node(function, program, user)
        if family is Family.JAVA:
            return self._java(function, program, user)
        command = (host.real(program), function.handler)
        return Program(commands=(command,), read_only=host.needs(program), runtime="")

    def _python_client(self, function: FunctionVersion) -> str:
        """Where the official client lies, as the function sees it; empty without one."""
        if Path(function.code_path, _PYTHON_CLIENT, "__main__.py").is_file():
            return "{task}"
        return self._hosting.clients.get(Family.PYTHON, "")

    def _python(self, function: FunctionVersion, python: str) -> Program:
        client = self._python_client(function)
        arguments = ("{task}", "{opt}", client, _PYTHON_CLIENT, function.handler)
        return Program(
            commands=((python, "-c", _START_PYTHON, *arguments),),
            variables={"PYTHONPATH": "{runtime}"},
            read_only=(*host.needs(python), *_outside(client)),
        )

    def _node(self, function: FunctionVersion, program: str, user: Mapping[str, str]) -> Program:
        self._warn(Family.NODEJS, function.runtime, program)
        folder = self._hosting.clients.get(Family.NODEJS, "")
        script = node.official_client(function.code_path, folder)
        off = node.switched_off(
            version_of(function.runtime), host.version_of(program, Family.NODEJS)
        )
        options = node.options(function.memory_mb, user.get("NODE_OPTIONS", ""), off)
        command = (host.real(program), *options, script or "{runtime}/index.mjs", function.handler)
        modules = node.module_path(version_of(function.runtime), folder)
        return Program(
            commands=(command,),
            variables={"NODE_PATH": modules},
            read_only=(*host.needs(program), *_outside(folder)),
            runtime=node.FOLDER,
        )

    def _java(self, function: FunctionVersion, program: str, user: Mapping[str, str]) -> Program:
        self._warn(Family.JAVA, function.runtime, program)
        client = self._hosting.clients[Family.JAVA]
        library = java.native_library(client, self._folder / "java")
        options = java.options(function.memory_mb, user.get("JAVA_TOOL_OPTIONS", ""), library)
        classes = ("-cp", java.class_path(client))
        command = (host.real(program), *options, *classes, java.MAIN_CLASS, function.handler)
        return Program(
            commands=(command,),
            read_only=(*host.needs(program), *_outside(client), *_outside(library)),
            runtime="",
        )

    def _warn(self, family: Family, runtime: str, program: str) -> None:
        """Say, once, that a runtime is run by another version than its name asks for."""
        if runtime in self._told:
            return
        self._told.add(runtime)
        version = host.version_of(program, family)
        if version.removeprefix("1.").partition(".")[0] != version_of(runtime):
            log.warning("runtime_substituted", runtime=runtime, used=program, version=version)


def _outside(folder: str) -> Sequence[str]:
    """A folder of the host that has to be shown; none when it is the function's own."""
    return [folder] if folder and not folder.startswith("{") else []


def wrapper_of(user: Mapping[str, str]) -> list[str]:
    """What starts a managed runtime, in front of its command; empty without a wrapper."""
    wrapper = user.get(WRAPPER)
    return ["/bin/sh", "-c", _WRAP, wrapper] if wrapper else []
