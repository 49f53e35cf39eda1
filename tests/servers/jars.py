"""Fetches the servers' jars with Maven, once: `make servers`. Tests only read what is there.

One `poms/<name>.xml` for each server names it in an exact version. The jars are kept in `.servers/`
of the checkout, or where `TESTS_SERVERS_FOLDER` says.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

POMS = Path(__file__).with_name("poms")
ROOT = Path(__file__).parents[2]
FETCH_S_MAX = 600
INSTALL = "apt-get install openjdk-17-jre-headless maven, then `make servers`"


class Missing(Exception):
    """Java, Maven or the jars are not here; the text says how to get them."""


def cache() -> Path:
    """Where jars are kept."""
    return Path(os.environ.get("TESTS_SERVERS_FOLDER") or ROOT / ".servers")


def names() -> list[str]:
    """Every server that comes from Maven."""
    return sorted(path.stem for path in POMS.glob("*.xml"))


def folder(name: str) -> Path:
    """The jars of a server; another version has another folder."""
    digest = hashlib.sha256((POMS / f"{name}.xml").read_bytes()).hexdigest()
    return cache() / f"{name}-{digest[:12]}"


def java(name: str) -> list[str]:
    """`java -cp …` with a server's jars. Raises `Missing`."""
    found = shutil.which("java")
    if found is None:
        raise Missing(f"{name} needs Java: {INSTALL}")
    jars = folder(name)
    if not jars.is_dir():
        raise Missing(f"the jars of {name} are not here: {INSTALL}")
    return [found, "-cp", f"{jars}/*"]


def fetch(name: str) -> bool:
    """Fetch what is not here yet; False when nothing was missing. Raises `Missing`."""
    jars = folder(name)
    if jars.is_dir():
        return False
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        raise Missing(f"{name} needs Java and Maven: {INSTALL}")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.is_dir():  # another checkout was faster
            return False
        with tempfile.TemporaryDirectory(dir=jars.parent) as made:
            _copy(maven, POMS / f"{name}.xml", Path(made) / "lib")
            (Path(made) / "lib").rename(jars)
    return True


def _copy(maven: str, pom: Path, out: Path) -> None:
    done = subprocess.run(
        [
            maven, "-q", "-B", "-f", str(pom),
            "org.apache.maven.plugins:maven-dependency-plugin:3.7.1:copy-dependencies",
            f"-DoutputDirectory={out}", "-DincludeScope=runtime",
        ],
        check=False, capture_output=True, text=True, timeout=FETCH_S_MAX,
    )  # fmt: skip
    if done.returncode or not out.is_dir():
        raise Missing(f"Maven could not fetch {pom.name}:\n{(done.stdout + done.stderr)[-2000:]}")
