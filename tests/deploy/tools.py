"""The programs that check these files, from `.venv-deploy` (`make deploy-tools`) or the system."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.base import unavailable

ROOT = Path(__file__).resolve().parents[2]
"""Of the project."""

TOOLS = ROOT / ".venv-deploy/bin"
TOOL_S_MAX = 600


def tool(name: str) -> Path:
    """A program of `.venv-deploy`; skips, or fails where servers are required."""
    path = TOOLS / name
    if not path.exists():
        unavailable(f"{name} is not here: make deploy-tools")
    return path


def program(name: str, package: str) -> Path:
    """A program of the system, from that Debian package; skips or fails without it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        unavailable(f"{name} is not here: apt-get install {package}")
        raise AssertionError
    return Path(found)


def passes(*command: object, cwd: Path = ROOT, given: str | None = None) -> str:
    """Run a checker that has to be content, perhaps with what it is given to read; its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, input=given, capture_output=True, text=True, timeout=TOOL_S_MAX, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(f"{command[0]} is not content:\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout
