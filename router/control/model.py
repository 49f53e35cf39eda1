"""Service models: which operations exist, what they take and give.

They come from the installed botocore (`compact`), kept in a small form under the data folder.
"""

import asyncio
import hashlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from router.control import compact
from router.model.errors import RouterError

OVERLAYS: Final = Path(__file__).with_name("overlay")
BUILD_S_MAX: Final = 60.0
"""Longest time building the small forms may take, in seconds."""


class ModelError(RouterError):
    """The service models cannot be built or read."""

    code = "service_model_error"


class Member(msgspec.Struct, frozen=True):
    """A place in a structure, list or map that holds a shape."""

    shape: str
    location: str | None = None
    """uri, querystring, header, headers or statusCode; None: the body."""
    wire: str | None = msgspec.field(default=None, name="locationName")
    flattened: bool = False


class Shape(msgspec.Struct, frozen=True):
    """A type of the model with its constraints."""

    type: str
    members: dict[str, Member] = {}
    required: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    payload: str | None = None
    member: Member | None = None
    key: Member | None = None
    value: Member | None = None
    flattened: bool = False
    timestamp_format: str | None = msgspec.field(default=None, name="timestampFormat")
    status: int | None = None
    """HTTP status of an exception."""
    sensitive: bool = False
    """Its values are shown in no error."""


class Operation(msgspec.Struct, frozen=True):
    """One operation: where it listens, which shapes it takes and gives."""

    method: str
    uri: str
    status: int = 200
    input: str | None = None
    output: str | None = None
    wrapper: str | None = None


class ServiceModel(msgspec.Struct, frozen=True):
    """One service."""

    protocol: str
    operations: dict[str, Operation]
    shapes: dict[str, Shape]
    target_prefix: str | None = msgspec.field(default=None, name="targetPrefix")
    json_version: str | None = msgspec.field(default=None, name="jsonVersion")
    xml_namespace: str | None = msgspec.field(default=None, name="xmlNamespace")
    api_version: str = msgspec.field(default="", name="apiVersion")

    def shape(self, name: str | None) -> Shape:
        """A shape by name; an empty structure for an operation without input or output."""
        return EMPTY if name is None else self.shapes[name]


EMPTY: Final = Shape(type="structure")


def source() -> tuple[Path, str]:
    """The installed botocore's data folder and version, found without importing it."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or spec.origin is None:
        raise ModelError("botocore is not installed; reinstall the router")
    origin = Path(spec.origin)
    match = re.search(r"^__version__ = '([^']+)'", origin.read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise ModelError(f"{origin} does not say its version")
    return origin.parent / "data", match[1]


def _cache_folder(cache: Path, version: str) -> Path:
    digest = hashlib.sha256(Path(compact.__file__).read_bytes())
    for overlay in sorted(OVERLAYS.glob("*.json")):
        digest.update(overlay.read_bytes())
    return cache / "models" / f"{version}-{digest.hexdigest()[:12]}"


async def load(cache: Path, services: Sequence[str]) -> Mapping[str, ServiceModel]:
    """The models of `services`, built in a child process when the cache has them not.

    Raises `ModelError`.
    """
    data, version = source()
    folder = _cache_folder(cache, version)
    missing = [name for name in services if not (folder / f"{name}.json").is_file()]
    if missing:
        await _build(data, folder, missing)
    try:
        return {name: _read(folder / f"{name}.json") for name in services}
    except ModelError:
        # A cache damaged from outside is made again, once.
        await _build(data, folder, services)
        return {name: _read(folder / f"{name}.json") for name in services}


async def _build(data: Path, folder: Path, services: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        compact.__file__,
        str(data),
        str(OVERLAYS),
        str(folder),
        *services,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )
    try:
        async with asyncio.timeout(BUILD_S_MAX):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ModelError(f"building service models took longer than {BUILD_S_MAX} s") from None
    if process.returncode:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ModelError(f"service models cannot be built from {data}: {last}")


def _read(path: Path) -> ServiceModel:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServiceModel)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"service model {path} cannot be read: {error}") from error


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A model's pattern (Java's dialect) as Python's; it must match the whole text.

    Unicode classes appear inside `[…]` only: letters, separators and numbers.
    """
    if "\\p{" not in pattern:
        return re.compile(pattern, re.ASCII)
    for java, python in (("\\p{L}", "\\w"), ("\\p{N}", "\\d"), ("\\p{Z}", "\\s")):
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


@lru_cache(maxsize=512)
def method_name(operation: str) -> str:
    """`GetQueueUrl` → `get_queue_url`: the method of a service class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
