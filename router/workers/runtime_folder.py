"""The runtime folder: boto3 and what it needs, for handlers; nothing else of ours.

Built once from the packages installed beside the router; last on the path of an environment.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from router.model.errors import StoreUnusable

ROOT = "boto3"
"""The package whose closure handlers may import without shipping it."""

MENTION = b"boto"
"""What a source file that uses it contains."""

API_MENTION = b"AWS_LAMBDA_RUNTIME_API"
"""What one contains that speaks to the Runtime API: it may be an extension within the function."""

SCANNED_FILES_MAX = 500
SCANNED_BYTES_MAX = 256 * 1024
"""How much of a function is read to find that out."""

PRELOAD = ("boto3", "boto3.session", "botocore.session", "botocore.client", "botocore.httpsession")
"""Modules loaded in the zygote. Modules only: a client would share sockets and credentials."""


class RuntimeFolder(msgspec.Struct, frozen=True):
    """Where it is and which top-level packages it holds."""

    path: str
    """Empty when boto3 is not installed."""
    packages: frozenset[str]
    preload: tuple[str, ...] = PRELOAD

    def suits(self, code_path: str, layers_path: str = "") -> bool:
        """Whether an environment for this code is best forked with boto3 loaded already.

        Never when the code or a layer ships a package of the same name: it must get its own. And
        only when a source file speaks of it: forking a larger process takes longer. Blocks for a
        few ms.
        """
        if not self.packages:
            return False
        folders = [code_path]
        if layers_path:
            folders += [f"{layers_path}/{below}" for below in python_folders(sys.version_info[:2])]
        for folder in folders:
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):  # noqa: PTH208
                    if name.partition(".")[0] in self.packages:
                        return False
        return any(_mentions(Path(folder), MENTION) for folder in folders)


def python_folders(version: tuple[int, int]) -> tuple[str, str]:
    """Where a layer has packages for Python, first the one that counts first."""
    return f"python/lib/python{version[0]}.{version[1]}/site-packages", "python"


NONE = RuntimeFolder("", frozenset())


def build(data_dir: str | Path) -> RuntimeFolder:
    """The runtime folder, made when it is not there yet. Blocks; about a second when it is made.

    Its name holds the versions in it, so a newer router makes another one. Files are hard links
    where the file system allows it. Raises `StoreUnusable` when the folder cannot hold it.
    """
    closure = _closure()
    if not closure:
        return NONE
    described = ",".join(sorted(f"{name}={dist.version}" for name, dist in closure.items()))
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    parent = Path(data_dir).absolute() / "runtime"
    target = parent / digest
    if not target.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=parent))
        try:
            building.chmod(0o755)
            for distribution in closure.values():
                _place(distribution, building)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise StoreUnusable(
                f"the data folder {data_dir} cannot hold the packages of handlers: {error.strerror}"
            ) from error
        try:
            building.rename(target)
        except OSError:  # another router was faster
            shutil.rmtree(building, ignore_errors=True)
    packages = {
        item.name.removesuffix(".py")
        for item in target.iterdir()
        if not item.name.endswith(".dist-info") and item.name != "__pycache__"
    }
    return RuntimeFolder(str(target), frozenset(packages))


def speaks_api(code_path: str, layers_path: str = "") -> bool:
    """Whether Python of a function or its layers speaks to the Runtime API. Blocks for some ms."""
    folders = [code_path]
    if layers_path:
        folders += [f"{layers_path}/{below}" for below in python_folders(sys.version_info[:2])]
    return any(_mentions(Path(folder), API_MENTION) for folder in folders)


def _mentions(code: Path, word: bytes) -> bool:
    left = SCANNED_FILES_MAX
    for folder, folders, names in os.walk(code):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            left -= 1
            if left < 0:
                return False
            with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123
                if word in file.read(SCANNED_BYTES_MAX):
                    return True
    return False


def _closure() -> dict[str, importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [ROOT]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = distribution
        for requirement in distribution.requires or ():
            spec, _, marker = requirement.partition(";")
            match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", spec)
            if match and "extra" not in marker and not _is_for_older(marker):
                waiting.append(match.group())
    return found if ROOT in found else {}


def _is_for_older(marker: str) -> bool:
    # `urllib3 <1.27 ; python_version < "3.10"` beside one for newer versions: same name anyway.
    return "sys_platform" in marker and "linux" not in marker


def _place(distribution: importlib.metadata.Distribution, target: Path) -> None:
    for file in distribution.files or ():
        if ".." in file.parts or file.is_absolute():
            continue  # console scripts
        source = Path(str(distribution.locate_file(file)))
        if not source.is_file():
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, place)
        except OSError:
            shutil.copy2(source, place)
