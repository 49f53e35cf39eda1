"""The ways a function is run, and what each is made to suffer: one suite for all of them.

`fast` is Python forked from the zygote. `client` is Python under AWS's own client, `node` the
router's runtime for Node.js: both speak the Runtime API.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from router.model.hosting import BARE, Hosting
from router.model.runtimes import Family
from tests.security import clients
from tests.unit.workers.aws_client import put_client
from tests.unit.workers.bad_functions import ON_FRAMES, PRELUDE, TABLE, WORSE

QUICK_MS = 800
"""For what is meant to run out, or is stopped by whatever comes first."""

LONG_MS = 8_000
AMPLE_MS = 60_000
LONG = {
    *("100 MB of output", "2 GiB of memory", "2 GiB in a child", "/tmp until full"),
    "2 GiB of memory it could share",
    *("/tmp with very many files", "one large file", "too many threads"),
    *("too much on the heap", "too much beside the heap"),
}
OF_FILES = {name for name in WORSE if "/tmp" in name or "file" in name}
SAME_WITHOUT_VIEW = {name.replace("_", " ") for name in TABLE} | WORSE.keys() - OF_FILES
"""What has nothing to do with the files a function sees."""


class Case(msgspec.Struct, frozen=True):
    """A function that answers `"good"` with `"fine"`, and does its worst otherwise."""

    source: str
    errors: tuple[str | None, ...]
    """The error types that are right; None: it answers."""
    timeout_ms: int


class Way(msgspec.Struct, frozen=True):
    """One of them."""

    hosting: Hosting
    runtime: str
    handler: str
    file: str
    """Where the source goes."""
    cases: dict[str, Case]


def case(name: str, source: str, errors: tuple[str | None, ...]) -> Case:
    timeout_ms = AMPLE_MS
    if "Sandbox.Timedout" in errors:
        timeout_ms = LONG_MS if name in LONG else QUICK_MS
    return Case(source, errors, timeout_ms)


PYTHON = {name.replace("_", " "): (body, (error,)) for name, (body, error, _) in TABLE.items()}
PYTHON |= WORSE
FAST = {
    name: case(name, f"{PRELUDE}    {body}\n", errors) for name, (body, errors) in PYTHON.items()
}
CLIENT = {name: made for name, made in FAST.items() if name.replace(" ", "_") not in ON_FRAMES} | {
    name: case(name, f"{clients.PRELUDE}    {body}\n", errors)
    for name, (body, errors) in clients.PYTHON.items()
}
NODE = {
    name: case(name, f"{clients.NODE_PRELUDE}  {body}\n}};\n", errors)
    for name, (body, errors) in clients.NODE.items()
}
CASES = {"fast": FAST, "client": CLIENT, "node": NODE}
"""Way → name → case."""

CHILDREN = {"kills its parent", "leaves a process in a new session"}
SIZES = {
    "all": {},
    "some": {
        "client": {*clients.ANSWERS, *CHILDREN, "2 GiB in a child"},
        "node": {"infinite loop", "kills its parent", "leaves processes", "too much on the heap"},
    },
    "few": {
        "client": {*CHILDREN, "answers when its time is over"},
        "node": {"kills its parent", "leaves processes"},
    },
}
"""How much is run of what speaks the Runtime API, which takes long to start: `some` is what another
user may change, `few` what a rung may."""


def find(names: tuple[str, ...], folder: Path) -> dict[str, Way]:
    """The ways of this machine. `folder`: for AWS's client; whoever runs functions reads it."""
    python = f"python3.{sys.version_info.minor}"
    made = {}
    for name in names:
        hosting, runtime, handler, file = BARE, python, "app.handler", "app.py"
        if name == "client":
            put_client(folder)
            hosting = Hosting(clients={Family.PYTHON: str(folder)})
        elif name == "node":
            program = shutil.which("node") or ""
            hosting = Hosting(found={Family.NODEJS: program})
            runtime, file = "nodejs22.x", "app.js"
        made[name] = Way(hosting, runtime, handler, file, CASES[name])
    return made


def open_folder() -> Path:
    """A folder that every user may read, to be removed by whoever asked."""
    folder = Path(tempfile.mkdtemp(prefix="router-ways-"))
    folder.chmod(0o755)
    return folder


def hand_over(folder: Path, uid: int) -> None:
    """Let a user remove it; the files themselves may be links to somebody's."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            os.chown(path, uid, uid)
