"""Fetches programs that come as Debian packages: `make servers`. Tests only use what is there.

One that is on the PATH is taken as it is. Else its package is unpacked into the cache, not
installed: no service of it ever starts, no user is made, and root is needed for nothing but lists
of packages that are not there yet. A browser needs dozens of packages beside its own: it is
installed, which takes root.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.jars import Missing, cache

PACKAGES = {
    "prometheus": ("prometheus", "promtool"),
    "chromium": ("chromium",),
    "chromium-driver": ("chromedriver",),
}
"""Package → the programs of it that tests use."""

INSTALLED = frozenset({"chromium", "chromium-driver"})
"""Those that are nothing without what they depend on."""

FETCH_S_MAX = 300


def program(package: str, name: str) -> str:
    """The path of a program. Raises `Missing`."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_folder(package) / 'usr/bin'}")
    if found is None:
        raise Missing(f"{name} is not here: {_install(package)}, or `make servers` on Debian")
    return found


def fetch(package: str) -> bool:
    """Fetch what is not here yet; False when nothing was missing. Raises `Missing`."""
    if _is_here(package):
        return False
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing(f"{package} is needed on the PATH; on Debian: {_install(package)}")
    if package in INSTALLED and os.geteuid() != 0:
        raise Missing(f"{package} is needed: {_install(package)}, which takes root")
    folder = _folder(package)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".debian-{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_here(package):  # another checkout was faster
            return False
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            if package in INSTALLED:
                _put_in(package, Path(made))
                return True
            _unpack(package, Path(made))
            (Path(made) / "root").rename(folder)
    return True


def _is_here(package: str) -> bool:
    try:
        for name in PACKAGES[package]:
            program(package, name)
    except Missing:
        return False
    return True


def _folder(package: str) -> Path:
    return cache() / f"debian-{package}"


def _install(package: str) -> str:
    return f"apt-get install {package}"


def _put_in(package: str, folder: Path) -> None:
    """Install it with what it needs; others may be installing something just now."""
    wait = ["-o", f"DPkg::Lock::Timeout={FETCH_S_MAX}"]
    install = ["apt-get", "-q", "-y", *wait, "install", "--no-install-recommends", package]
    done = _run(install, folder)
    if done.returncode:
        _run(["apt-get", "-q", "update"], folder)  # a fresh machine has no lists
        done = _run(install, folder)
    if done.returncode:
        raise Missing(f"apt-get could not install {package}:\n{done.stdout[-2000:]}")


def _unpack(package: str, folder: Path) -> None:
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    if _run(download, folder).returncode and os.geteuid() == 0:
        _run(["apt-get", "-q", "update"], folder)  # a fresh machine has no lists
    done = _run(download, folder)
    files = list(folder.glob("*.deb"))
    if done.returncode or not files:
        raise Missing(
            f"apt-get could not fetch {package}; try {_install(package)}:\n{done.stdout[-2000:]}"
        )
    done = _run(["dpkg-deb", "--extract", str(files[0]), "root"], folder)
    if done.returncode:
        raise Missing(f"{files[0].name} could not be unpacked:\n{done.stdout[-2000:]}")


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, timeout=FETCH_S_MAX, check=False,
    )  # fmt: skip
