"""What an extension asks of the Telemetry API (or the older Logs API), checked. Pure (8.3)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import orjson

TYPES: Final = ("platform", "function", "extension")

SCHEMAS: Final = {
    "Telemetry": ("2022-07-01", "2022-12-13", "2025-01-29"),
    "Logs": ("2020-08-15", "2021-03-18"),
}

STRUCTURED_SCHEMA: Final = "2022-12-13"
"""From this version on a line that is JSON is sent as such (of functions with the JSON format)."""

HOSTS: Final = frozenset({"sandbox.localdomain", "sandbox.local", "sandbox", "localhost"})
"""Names for the environment itself: telemetry goes nowhere else."""

LIMITS: Final = {
    "maxItems": (1_000, 10_000, 10_000),
    "maxBytes": (262_144, 1_048_576, 262_144),
    "timeoutMs": (25, 30_000, 1_000),
}
"""Smallest, largest and default values of `buffering`."""

PORT_MAX: Final = 65_535
HTTP_PORT: Final = 80


class Invalid(Exception):
    """400 `ValidationError`; the text says what and where."""


class Subscription(msgspec.Struct, frozen=True):
    """What is sent where, and in pieces of which size."""

    types: tuple[str, ...]
    is_http: bool
    port: int
    target: str
    """Path and query of the requests, with HTTP."""
    host: str
    """For the requests' `Host`."""
    items_max: int
    bytes_max: int
    timeout_ms: int
    is_structured: bool


def parse(api: str, body: bytes) -> Subscription:
    """The subscription in a request to `api` (`Telemetry` or `Logs`). Raises `Invalid`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Invalid("the body is not a JSON object")
    schema = document.get("schemaVersion", None if api == "Telemetry" else SCHEMAS[api][0])
    if schema not in SCHEMAS[api]:
        raise Invalid(f"schemaVersion must be one of {', '.join(SCHEMAS[api])}")
    types = document.get("types")
    if not isinstance(types, list) or not types or not all(one in TYPES for one in types):
        raise Invalid(f"types must be a list of some of {', '.join(TYPES)}")
    buffering = document.get("buffering") or {}
    if not isinstance(buffering, dict):
        raise Invalid("buffering must be an object")
    limits = {name: _limited(name, buffering) for name in LIMITS}
    is_http, port, target, host = _destination(document.get("destination"))
    return Subscription(
        tuple(dict.fromkeys(types)),
        is_http,
        port,
        target,
        host,
        limits["maxItems"],
        limits["maxBytes"],
        limits["timeoutMs"],
        api == "Telemetry" and schema >= STRUCTURED_SCHEMA,
    )


def _limited(name: str, buffering: Mapping[str, Any]) -> int:
    least, most, usual = LIMITS[name]
    value = buffering.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"buffering.{name} must be a number from {least} to {most}")
    return value


def _destination(destination: object) -> tuple[bool, int, str, str]:
    if not isinstance(destination, dict):
        raise Invalid("destination must be an object")
    match destination.get("protocol"):
        case "TCP":
            return False, _port(destination.get("port")), "", ""
        case "HTTP":
            return _http(destination.get("URI"))
    raise Invalid("destination.protocol must be HTTP or TCP")


def _http(uri: object) -> tuple[bool, int, str, str]:
    if not isinstance(uri, str) or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise Invalid("destination.URI must be the address of an HTTP listener")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"destination.URI: {error}") from None
    if parts.scheme != "http" or parts.username is not None:
        raise Invalid("destination.URI must begin with http:// and a host")
    if (parts.hostname or "") not in HOSTS:
        raise Invalid("destination.URI must have the host sandbox.localdomain")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return True, _port(HTTP_PORT if port is None else port), target, parts.netloc


def _port(port: object) -> int:
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= PORT_MAX:
        raise Invalid(f"the port of the destination must be a number from 1 to {PORT_MAX}")
    return port
