"""The programs of this host that run functions: where they are, what they need, their version."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from router.model.errors import ConfigError
from router.model.hosting import JAVA_CLIENT, PROGRAMS, Hosting
from router.model.runtimes import RUNTIMES, Family, family_of
from router.workers.isolation import files

VERSION_S_MAX = 10
"""How long a program may take to say its version."""

_INSTALLATION = ("lib", "lib64", "jre", "release", "include", "share")
"""What lies beside `bin` where a program was installed into a folder of its own."""

_HOMES = ("/", "/home", "/root", "/opt")
"""Folders that are nobody's installation, whatever lies in them."""


def find(path: str | None = None) -> dict[Family, str]:
    """Family → program, of what is on PATH (`path`, for tests). Python is the router's own."""
    found = {family: shutil.which(name, path=path) for family, name in PROGRAMS.items()}
    return {family: program for family, program in found.items() if program}


def check(runtimes: Mapping[str, str], clients: Mapping[str, str]) -> None:
    """Whether what the settings name is there. Raises `ConfigError` naming the setting."""
    for runtime, program in runtimes.items():
        family = family_of(runtime)
        if family is None:
            raise ConfigError(f"runtimes: {runtime!r} is none of {', '.join(RUNTIMES)}")
        if family is Family.PROVIDED:
            raise ConfigError(
                f"runtimes: {runtime} takes no program: its functions bring theirs, as `bootstrap`"
            )
        if not (Path(program).is_file() and os.access(program, os.X_OK)):
            raise ConfigError(f"runtimes: {program} (for {runtime}) is not an executable file")
    for name, folder in clients.items():
        _check_client(Family(name), Path(folder))


def describe(hosting: Hosting) -> str:
    """What runs functions here, for people."""
    programs = dict(sorted(hosting.runtimes.items()))
    if not hosting.is_strict:
        programs["python3.*"] = real(sys.executable)
        programs |= {f"{family}*": program for family, program in hosting.found.items()}
    lacks = "" if hosting.clients.get(Family.JAVA) else " (without ROUTER_RUNTIME_CLIENTS not yet)"
    parts = [
        f"{name} by {program}{lacks if name.startswith(Family.JAVA) else ''}"
        for name, program in programs.items()
    ]
    return ", ".join([*parts, "provided* by their bootstrap"])


def _check_client(family: Family, folder: Path) -> None:
    wanted = {
        Family.JAVA: f"{JAVA_CLIENT}-*.jar",
        Family.NODEJS: "node_modules",
        Family.PYTHON: "awslambdaric/__main__.py",
    }[family]
    if not any(folder.glob(wanted)):
        raise ConfigError(f"runtime_clients: {folder} (for {family}) holds no {wanted}")


@functools.lru_cache(maxsize=256)
def real(program: str) -> str:
    """The file behind a program's name: what is to be started, wherever links lead."""
    return os.path.realpath(program)


@functools.lru_cache(maxsize=256)
def needs(program: str) -> tuple[str, ...]:
    """What a program needs of the host besides what every function sees. Blocks for a moment.

    Its installation, where that is a folder of its own, and where links in it lead (Debian's Java
    has its configuration in /etc); the file alone elsewhere.
    """
    file = Path(real(program))
    root = file.parent.parent
    is_own = file.parent.name == "bin" and str(root) not in (*_HOMES, str(Path.home()))
    is_own = is_own and root.parent != Path("/home")
    if is_own and any((root / name).exists() for name in _INSTALLATION):
        wanted = [str(root), *_linked(root)]
    else:
        wanted = [str(file)]
    seen = [*files.SYSTEM_FOLDERS, *files.SYSTEM_FILES]
    return tuple(path for path in files.outermost(wanted) if not _is_below(path, seen))


def _linked(root: Path) -> list[str]:
    """Folders outside of an installation that links in its configuration lead to."""
    found = set()
    for folder in (root / "conf", root / "lib" / "security"):
        for path in folder.rglob("*"):
            if path.is_symlink():
                target = Path(os.path.realpath(path))
                if target.exists() and not target.is_relative_to(root):
                    found.add(str(target.parent))
    return sorted(found)


def _is_below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@functools.lru_cache(maxsize=256)
def version_of(program: str, family: Family) -> str:
    """The version of an interpreter, such as `20.20.2`; empty when it does not say.

    Blocks: it is started, once in the router's life.
    """
    option = "-version" if family is Family.JAVA else "--version"
    try:
        done = subprocess.run(  # noqa: S603 - what the operator configured
            [real(program), option],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_S_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(rb"\d+(\.\d+)+", done.stdout + done.stderr)
    return match[0].decode() if match is not None else ""
