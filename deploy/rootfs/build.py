"""Carries out a Dockerfile: this machine stands for the base of its first stage.

A step sees this machine read-only. It may write below the folders that the stage names (`WORKDIR`,
the virtualenv) and in `/tmp`; all of them are empty at first, whatever this machine has there.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from deploy.rootfs import namespaces
from deploy.rootfs.dockerfile import Copy, Ignored, Run, Stage, Step, WorkingFolder, parse

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = PROJECT / "deploy/Dockerfile"

WRITABLE = ("build", "opt/router", "tmp")
"""In the first stage; a step that writes elsewhere makes what the last stage will not have."""

AS_THEY_ARE = ("dev", "proc", "sys")
"""What is no file there is the kernel's."""

SCRATCH = "scratch"

PYTHON = Path(os.path.realpath(sys.executable)).parent
"""Where this interpreter is, which stands for the base's; its links may be out of sight later."""


class BuildFailed(Exception):
    """A step could not be taken; the text says which."""


def build(folder: Path) -> None:
    """Make `folder`/rootfs and `folder`/config.json. Raises `BuildFailed`, `Refused`."""
    stages = parse(DOCKERFILE.read_text())
    ignored = Ignored((PROJECT / ".dockerignore").read_text())
    folder = folder.absolute()
    folder.mkdir(parents=True)
    made: dict[str, Path] = {}
    for stage in stages:
        root = folder / ("rootfs" if stage is stages[-1] else f"stage-{stage.name}")
        made[stage.name] = root
        root.mkdir(mode=0o755)
        _Builder(stage, root, made, ignored).build()
    for left in folder.glob("stage-*"):
        shutil.rmtree(left)
    config = {"config": stages[-1].config}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


class _Builder:
    """One stage."""

    def __init__(
        self, stage: Stage, root: Path, others: Mapping[str, Path], ignored: Ignored
    ) -> None:
        self._stage = stage
        self._root = root
        self._others = others
        self._ignored = ignored
        self._here = Path("/")

    def build(self) -> None:
        if self._stage.base != SCRATCH:
            for name in WRITABLE:
                (self._root / name).mkdir(parents=True)
        for step in self._stage.steps:
            self._take(step)

    def _take(self, step: Step) -> None:
        match step:
            case WorkingFolder(path):
                self._here = self._here / path
                self._inside(".").mkdir(parents=True, exist_ok=True)
            case Copy():
                self._copy(step)
            case Run(command):
                self._run(command)

    def _inside(self, path: str) -> Path:
        return self._root / (self._here / path).relative_to("/")

    def _copy(self, step: Copy) -> None:
        origin = self._others[step.stage] if step.stage else PROJECT
        for name in step.sources:
            source = origin / name.lstrip("/")
            target = self._inside(step.target)
            if not step.stage and self._ignored(Path(name)):
                raise BuildFailed(f"COPY {name}: .dockerignore leaves it out")
            if not source.exists():
                raise BuildFailed(f"COPY {name}: {source} is not there")
            if step.stage:
                _copy_all(source, target)
            elif source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=self._left_out)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        below = Path(folder).relative_to(PROJECT)
        return [name for name in names if self._ignored(below / name)]

    def _run(self, command: str) -> None:
        if self._stage.base == SCRATCH:
            raise BuildFailed(f"RUN {command}: there is no shell in this stage")
        flags = namespaces.CLONE_NEWNS
        pid = namespaces.spawn(flags, 0, lambda: self._in_stage(command))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != 0:
            raise BuildFailed(f"RUN {command}: status {status}")

    def _in_stage(self, command: str) -> NoReturn:
        """In the child: this machine with the stage's own folders in it."""
        view = self._root.with_name(f"{self._root.name}-view")
        view.mkdir(exist_ok=True)
        namespaces.mount("view", view, "tmpfs", 0, "mode=755")
        _show(Path("/"), view)
        namespaces.read_only(view)
        for name in AS_THEY_ARE:
            namespaces.bind(Path("/") / name, view / name)
        for name in WRITABLE:
            namespaces.bind(self._root / name, view / name)
        namespaces.enter(view)
        os.chdir(self._here)
        os.execve("/bin/sh", ["sh", "-c", command], self._environment())  # noqa: S606 - a step

    def _environment(self) -> dict[str, str]:
        """As in an engine: the stage's own, and where programs are. Python is this one."""
        path = {"PATH": f"{PYTHON}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        kept = {
            name: text for name, text in os.environ.items()
            if name in {"HOME", "LANG"} or name.startswith("PIP_") or name.endswith("_proxy")
        }  # fmt: skip
        return kept | path | self._stage.environment


def _show(here: Path, view: Path) -> None:
    """In the child: a folder of this machine at `view`, with empty places for what comes there."""
    others = [Path("/") / name for name in (*WRITABLE, *AS_THEY_ARE)]
    for entry in here.iterdir():
        place = view / entry.name
        if entry in others:
            continue
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            if any(path.is_relative_to(entry) for path in others):
                _show(entry, place)
            else:
                namespaces.bind(entry, place)
    for path in others:
        if path.is_relative_to(here):
            (view / path.relative_to(here)).mkdir(parents=True, exist_ok=True)


def _copy_all(source: Path, target: Path) -> None:
    """A tree of another stage: links as links, owners and modes as they are.

    Files are the same ones: the other stage is about to go.
    """
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
    for root, folders, _files in os.walk(source):
        for name in folders:
            facts = Path(root, name).lstat()
            there = target / Path(root, name).relative_to(source)
            if os.geteuid() == 0 and not there.is_symlink():
                os.chown(there, facts.st_uid, facts.st_gid)
