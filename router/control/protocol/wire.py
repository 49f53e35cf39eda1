"""A request and an answer as bytes, and values as JSON, as the model says.

Inside the router a blob is `bytes` and a timestamp is epoch seconds as a number.
"""

import base64
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson

from router.control.errors import Malformed
from router.control.model import ServiceModel, Shape

INTEGERS: Final = frozenset({"integer", "long"})
FLOATS: Final = frozenset({"double", "float"})
INTEGER_MAX: Final = 2**63 - 1
"""Largest number of the model's `long`."""


class Request(msgspec.Struct, frozen=True):
    """One HTTP request. `path` is as sent, still percent-encoded; `query` is decoded.

    Names of `headers` are in lower case; each character of a value is a byte of the wire.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


class Reply(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    pieces: AsyncGenerator[bytes, None] | None = None
    """The body as it is made, instead; whoever answers reads it to its end or closes it."""


class Parsed(msgspec.Struct):
    """Parameters by member name, and where members were that the model does not know."""

    params: dict[str, Any] = {}
    unknown: list[str] = []


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object; an empty body is an empty object. Raises `Malformed`."""
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"Could not parse request body into json: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("Could not parse request body into json: the body must be an object")
    return value


def from_json(model: ServiceModel, shape: Shape, value: Any, path: str, unknown: list[str]) -> Any:
    """A JSON value as the shape's. Raises `Malformed`; JSON null in a structure is no value."""
    match shape.type:
        case "structure":
            return _structure_from_json(model, shape, value, path, unknown)
        case "list" if shape.member is not None:
            _expect(value, list, "a list", path)
            element = model.shapes[shape.member.shape]
            return [
                None if item is None else from_json(model, element, item, f"{path}[]", unknown)
                for item in value
            ]
        case "map" if shape.value is not None:
            _expect(value, dict, "a map", path)
            inner = model.shapes[shape.value.shape]
            return {
                key: None if item is None else from_json(model, inner, item, path, unknown)
                for key, item in value.items()
            }
        case "blob":
            return from_base64(value, path)
        case _:
            return _scalar_from_json(shape, value, path)


def _structure_from_json(
    model: ServiceModel, shape: Shape, value: Any, path: str, unknown: list[str]
) -> dict[str, Any]:
    _expect(value, dict, "a structure", path)
    wire = {member.wire or name: name for name, member in shape.members.items()}
    result = {}
    for key, item in value.items():
        name = wire.get(key)
        where = f"{path}.{key}" if path else key
        if name is None:
            unknown.append(where)
        elif item is not None:
            inner = model.shapes[shape.members[name].shape]
            result[name] = from_json(model, inner, item, where, unknown)
    return result


def _scalar_from_json(shape: Shape, value: Any, path: str) -> Any:
    if shape.type == "string":
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        return _expect(value, str, "a string", path)
    if shape.type == "boolean":
        return _expect(value, bool, "a boolean", path)
    if shape.type == "timestamp":
        return _timestamp(value, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{path or 'the value'} must be a number")
    if shape.type in INTEGERS:
        if int(value) != value or abs(value) > INTEGER_MAX:
            raise Malformed(f"{path} must be an integer")
        return int(value)
    return float(value)


def _expect(value: Any, kind: type, what: str, path: str) -> Any:
    if not isinstance(value, kind):
        raise Malformed(f"{path or 'the body'} must be {what}")
    return value


def from_base64(value: Any, path: str) -> bytes:
    """A blob member. Raises `Malformed`."""
    if not isinstance(value, str):
        raise Malformed(f"{path} must be base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise Malformed(f"{path} is not base64") from None


def _timestamp(value: Any, path: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            pass
    raise Malformed(f"{path} must be a timestamp")


def scalar_from_text(shape: Shape, text: str, path: str) -> Any:
    """A value of a header, a path label or a query string. Raises `Malformed`."""
    if shape.type == "string":
        return text
    if shape.type == "boolean":
        if text not in {"true", "false"}:
            raise Malformed(f"{path} must be true or false")
        return text == "true"
    if shape.type == "timestamp":
        return _timestamp(text, path)
    try:
        if shape.type in INTEGERS:
            return int(text)
        if shape.type in FLOATS:
            return float(text)
    except ValueError:
        raise Malformed(f"{path} must be a number") from None
    if shape.type == "blob":
        return from_base64(text, path)
    raise Malformed(f"{path} cannot be given here")


def to_json(model: ServiceModel, shape: Shape, value: Any) -> Any:
    """A value of the shape as JSON. Members that are None or unknown to the model are left out."""
    match shape.type:
        case "structure":
            return {
                member.wire or name: to_json(model, model.shapes[member.shape], value[name])
                for name, member in shape.members.items()
                if value.get(name) is not None and member.location is None
            }
        case "list" if shape.member is not None:
            element = model.shapes[shape.member.shape]
            return [to_json(model, element, item) for item in value]
        case "map" if shape.value is not None:
            inner = model.shapes[shape.value.shape]
            return {key: to_json(model, inner, item) for key, item in value.items()}
        case "blob":
            return base64.b64encode(value).decode()
        case _:
            return value
