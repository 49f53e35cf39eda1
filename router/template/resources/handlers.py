"""Whether the file a handler names is there, by runtime (`functions-and-invocation.md` 8.2)."""

import os
from pathlib import Path

from router.model.resources import Function
from router.model.runtimes import Family, family_of

NODE_ENDS = (".js", ".mjs", ".cjs", "")
"""How a module of Node.js may end, in the order in which they are tried."""


def missing(function: Function) -> str:
    """What the code folder lacks and what will come of it; empty when nothing is known to.

    Only a warning: what AWS answers for it is an error of the function.
    """
    folder = Path(function.code_path)
    if not function.code_path or not folder.is_dir():
        return ""
    family = family_of(function.runtime)
    if family is Family.PYTHON:
        return _missing_module(function.handler, folder)
    if family is Family.NODEJS:
        return _missing_script(function.handler, folder)
    if family is Family.PROVIDED:
        return _missing_bootstrap(function.runtime, folder)
    return ""


def _missing_module(handler: str, folder: Path) -> str:
    module = handler.rpartition(".")[0].replace(".", "/")
    files = [Path(f"{module}{end}") for end in (".py", ".pyc", ".so", "/__init__.py")]
    is_there = any((folder / file).exists() for file in files)
    if not module or is_there or any(folder.glob(f"{module}.*.so")):
        return ""
    return _import_will_fail(handler, f"{module}.py", folder)


def _missing_script(handler: str, folder: Path) -> str:
    above, slash, name = handler.rpartition("/")
    module, dot, _ = name.partition(".")
    if not dot or any((folder / f"{above}{slash}{module}{end}").exists() for end in NODE_ENDS):
        return ""
    return _import_will_fail(handler, f"{above}{slash}{module}.js", folder)


def _import_will_fail(handler: str, file: str, folder: Path) -> str:
    return (
        f"handler {handler} needs {file}, which is not in {folder}; invocations will fail with "
        "Runtime.ImportModuleError"
    )


def _missing_bootstrap(runtime: str, folder: Path) -> str:
    file = folder / "bootstrap"
    if file.is_file() and os.access(file, os.X_OK):
        return ""
    state = "cannot be executed" if file.exists() else "is not there"
    return (
        f"{runtime} runs the file bootstrap, which {state} in {folder}; invocations will fail with "
        "Runtime.InvalidEntrypoint"
    )
