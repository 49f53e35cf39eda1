"""Unpacked images on disk: where the root file system is, what it starts, a hash that follows it.

A folder is the root file system itself, or holds it as `rootfs`, with the image's configuration
beside it as `config.json` in any of the forms that tools write:

- an OCI image configuration, or what `docker inspect` says (a list of one): `Config`/`config` with
  `Entrypoint`, `Cmd`, `Env`, `WorkingDir`;
- the configuration of an OCI runtime bundle: `process` with `args`, `env`, `cwd`. It has ENTRYPOINT
  and CMD as one list.

Nothing is copied and nothing in the folder changed.
"""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from router.functions.packages import Package, with_code
from router.model.errors import RouterError
from router.model.image import CONFIG_BYTES_MAX, Image, ImageConfig
from router.model.resources import Function

ROOT: Final = "rootfs"
CONFIG: Final = "config.json"

CONFIG_FILE_BYTES_MAX: Final = 4 << 20
"""`docker inspect` writes some 5 KB."""

FILES_MAX: Final = 2_000_000
"""Files and folders of one image: what the hash is made of."""


class ImageUnusable(RouterError):
    """A folder is no image, or one that cannot be used."""

    code = "image_unusable"


async def with_image(function: Function, folder: str) -> Function:
    """The function with `folder` as its image, and the `ImageConfig` it has.

    Raises `ImageUnusable` when the folder is none or nothing in it can be started.
    """
    return await asyncio.to_thread(_with_image, function, Path(folder))


def _with_image(function: Function, folder: Path) -> Function:
    before = function.image
    if before is None:
        raise ValueError(f"{function.name} has no image")
    if not folder.is_dir():
        raise ImageUnusable(f"image {before.uri}: {folder} is not a folder")
    root = folder / ROOT
    if not root.is_dir():
        root = folder
    image = Image(uri=before.uri, config=before.config)
    config = folder / CONFIG
    if root != folder and config.is_file():
        image = _configured(image, config)
    if problem := image.problem:
        raise ImageUnusable(problem)
    digest = hashlib.sha256(stamp(root))
    digest.update(msgspec.json.encode(msgspec.structs.replace(image, config=ImageConfig())))
    name = digest.hexdigest()
    package = Package(str(root.resolve()), name, 0, name)
    return msgspec.structs.replace(with_code(function, package), image=image)


def stamp(root: Path) -> bytes:
    """A digest of names, sizes, times and modes. Raises `ImageUnusable`.

    Not of contents: an image has up to 10 GB of them. Folders nobody may list count by name.
    """
    digest, count = hashlib.sha256(), 0
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if folder == str(root):
                raise ImageUnusable(f"{root} cannot be read: {error.strerror}") from None
            continue
        count += len(entries)
        if count > FILES_MAX:
            raise ImageUnusable(f"{root} has more than {FILES_MAX} files")
        digest.update(f"{folder}\0".encode("utf-8", "surrogateescape"))
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            text = f"{entry.name}\0{facts.st_size} {facts.st_mtime_ns} {facts.st_mode}\0"
            digest.update(text.encode("utf-8", "surrogateescape"))
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return digest.digest()


def _configured(image: Image, file: Path) -> Image:
    """The image with what its configuration says. Raises `ImageUnusable`."""
    try:
        if file.stat().st_size > CONFIG_FILE_BYTES_MAX:
            raise ImageUnusable(f"{file} is larger than {CONFIG_FILE_BYTES_MAX} bytes")
        found = _read(orjson.loads(file.read_bytes()))
    except OSError as error:
        raise ImageUnusable(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ImageUnusable(
            f"{file} is no configuration of an image or bundle ({error}): it is what "
            "`docker inspect IMAGE`, `crane config IMAGE` or `umoci unpack` write"
        ) from None
    size_bytes = len(msgspec.json.encode(found))
    if size_bytes > CONFIG_BYTES_MAX:
        raise ImageUnusable(
            f"{file}: program and variables are {size_bytes} bytes, at most {CONFIG_BYTES_MAX}"
        )
    return msgspec.structs.replace(image, **found)


def _read(document: Any) -> dict[str, Any]:
    """Members of `Image`."""
    if isinstance(document, list):
        (document,) = document
    if "process" in document:
        process = document["process"]
        return {
            "entry_point": _texts(process.get("args")),
            "working_directory": _text(process.get("cwd")),
            "variables": _variables(process.get("env")),
            "is_joined": True,
        }
    config = document["config"] if "config" in document else document["Config"]
    return {
        "entry_point": _texts(config.get("Entrypoint")),
        "command": _texts(config.get("Cmd")),
        "working_directory": _text(config.get("WorkingDir")),
        "variables": _variables(config.get("Env")),
    }


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | None):
        raise TypeError(f"{value!r} is no list")
    return tuple(_text(item) for item in value or ())


def _text(value: Any) -> str:
    if not isinstance(value, str | None) or "\0" in (value or ""):
        raise TypeError(f"{value!r} is no text")
    return value or ""


def _variables(value: Any) -> dict[str, str]:
    pairs = [text.partition("=") for text in _texts(value)]
    return {name: text for name, _, text in pairs if name}
