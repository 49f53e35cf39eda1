"""What a function is, and one invocation of it."""

from typing import Protocol

import msgspec

from router.model.image import Image
from router.model.log_settings import TEXT, LogSettings
from router.model.sink import Sink

ON_DEMAND = "on-demand"
PROVISIONED = "provisioned-concurrency"
"""How an environment came to be: an invocation asked for it, or it was started ahead."""


class FunctionVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a function: all an environment needs to know to run it.

    `environment` holds references (`{{resolve:…}}`) unresolved. `code_path` is the folder with
    the code; `code_hash` changes whenever the code does.
    """

    name: str
    arn: str
    """Unqualified ARN."""
    version: str = "$LATEST"
    runtime: str
    handler: str
    code_path: str
    code_hash: str
    layers_path: str = ""
    """The folder it sees as `/opt`; empty without layers."""
    image: Image | None = None
    """What it is instead of code, with `code_path` as its root."""
    timeout_ms: int = 3_000
    memory_mb: int = 128
    ephemeral_mb: int = 512
    environment: dict[str, str] = {}
    file_systems: tuple[str, ...] = ()
    """Where it sees folders of the host that settings name (`LocalMountPath`)."""
    log_group: str = ""
    logs: LogSettings = TEXT
    dead_letter_arn: str = ""
    """Where events go that it never succeeded with; empty: nowhere."""
    initialization: str = ON_DEMAND
    """How the environment that it is for comes to be."""
    revision: str = ""
    """Changes with any part of the function; environments of an older one are not reused."""


class InvokeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One synchronous invocation. `payload` is the event JSON, passed through untouched."""

    function: FunctionVersion
    invoked_arn: str
    request_id: str
    payload: bytes
    client_context: bytes | None = None
    trace_id: str | None = None
    sink: Sink | None = None
    """Takes the response while it is made, if the function streams it."""


class LogTail(Protocol):
    """The log of an invocation that is put into words when it is asked for."""

    def tail(self) -> bytes:
        """The last 4 KB of it."""


class InvokeReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back.

    With `error_type` set, `payload` is the error document of `functions-and-invocation.md` 6.3
    and an API caller gets `X-Amz-Function-Error: Unhandled`.
    """

    payload: bytes
    """Empty for a response that went to the request's sink."""
    error_type: str | None = None
    executed_version: str = "$LATEST"
    log: "bytes | LogTail" = b""
    """Last 4 KB of START … REPORT, or what makes them: few callers want them."""
    duration_ms: float = 0.0
    init_ms: float | None = None
    """Set when this invocation made the environment (a cold start)."""
    memory_mb_max: int = 0

    @property
    def log_tail(self) -> bytes:
        """Last 4 KB of START … REPORT."""
        return self.log if isinstance(self.log, bytes) else self.log.tail()
