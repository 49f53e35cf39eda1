"""The image, built once for the tests that start it."""

import sys
from pathlib import Path

import pytest

from tests.deploy.tools import passes
from tests.servers.base import unavailable


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    """What `python -m deploy.rootfs build` makes: `rootfs` and `config.json`."""
    if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
        unavailable("user namespaces are off: sysctl user.max_user_namespaces=10000")
    folder = tmp_path_factory.mktemp("image") / "built"
    passes(sys.executable, "-m", "deploy.rootfs", "build", folder)
    # Somebody else has to read it: that folder is this user's alone.
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    return folder
