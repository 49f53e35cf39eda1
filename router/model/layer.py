"""Layers: folders of code that functions see below `/opt`, published in versions.

`functions-and-invocation.md` 4.1 (Layers), 5.6.
"""

import msgspec

from router.model.resources import Owner

LAYERS_MAX = 5
"""Most layers of one function (Lambda quota)."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer's name, for as long as the router lives: numbers are never given twice."""

    name: str
    last_number: int


class LayerVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One published version. Times are epoch milliseconds."""

    name: str
    number: int
    code_hash: str
    code_size: int
    """Bytes of the zip."""
    unzipped_bytes: int
    sha256: str
    """Base64 of the zip's SHA-256."""
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    licence: str = ""
    created_ms: int
    statements: dict[str, str] = {}
    """Resource policy: statement id → statement, as JSON."""
    policy_revision: str = ""
    owner: Owner | None = None


def layer_key(name: str, number: int) -> str:
    """The name of a version in the catalog."""
    return f"{name}:{number}"
