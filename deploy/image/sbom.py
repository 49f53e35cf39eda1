"""Writes down what an image is made of, as CycloneDX 1.6.

    python3 sbom.py ROOT VENV FILE

Python packages as their own metadata tells, the interpreter, and the packages of Debian that the
other files of the root folder came from. The same files make the same list: it holds no time and no
random number. Standard library only.
"""

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

ITSELF = "event-router"
FILES_AT_ONCE = 500


def python_packages(venv: Path) -> Iterable[dict[str, Any]]:
    """One component for each, by name."""
    (folder,) = venv.glob("lib/python*/site-packages")
    for package in importlib.metadata.distributions(path=[str(folder)]):
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        yield _component(
            name,
            package.version,
            f"pkg:pypi/{name}@{quote(package.version, safe='')}",
            _licence(package.metadata),
        )


def _licence(metadata: Any) -> str:
    """What it says in one of the places where packages say it; a whole text is nobody's name."""
    said = metadata.get("License-Expression") or metadata.get("License") or ""
    if said and "\n" not in said and len(said) < 100:
        return str(said)
    classifiers = metadata.get_all("Classifier") or []
    names = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    return " AND ".join(names)


def debian_packages(root: Path) -> Iterable[dict[str, Any]]:
    """One component for each package that files of the folder belong to; none on other systems."""
    files = [
        f"/{path.relative_to(root)}" for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "/site-packages/" not in str(path)
    ]  # fmt: skip
    # Debian lists many libraries by the place they had before /lib became a link.
    files += [name.removeprefix("/usr") for name in files if name.startswith("/usr/lib")]
    owners: set[str] = set()
    for first in range(0, len(files), FILES_AT_ONCE):
        told = _ask("dpkg-query", "--search", *files[first : first + FILES_AT_ONCE])
        owners.update(re.findall(r"^([^:\s,]+)(?::\w+)?: /", told, re.MULTILINE))
    if not owners:
        return
    shown = _ask("dpkg-query", "--show", "-f", "${Package} ${Version} ${Architecture}\n", *owners)
    for line in shown.splitlines():
        name, version, architecture = line.split(" ")
        place = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={architecture}"
        yield _component(name, version, place, "")


def _ask(*command: str) -> str:
    """What a program prints; nothing where there is no such program."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _component(name: str, version: str, place: str, licence: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "application" if name == ITSELF else "library",
        "bom-ref": place,
        "name": name,
        "version": version,
        "purl": place,
    }
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    return component


def describe(root: Path, venv: Path) -> dict[str, Any]:
    """The whole list."""
    python = platform.python_version()
    found = [
        *python_packages(venv),
        _component("cpython", python, f"pkg:generic/cpython@{python}", "PSF-2.0"),
        *debian_packages(root),
    ]
    found.sort(key=lambda component: component["bom-ref"])
    (itself,) = (component for component in found if component["name"] == ITSELF)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": itself},
        "components": [component for component in found if component is not itself],
    }


def main() -> None:
    """Write it."""
    root, venv, file = map(Path, sys.argv[1:])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(describe(root, venv), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
