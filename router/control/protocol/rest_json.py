"""REST-JSON: method and path name the operation (Lambda)."""

from typing import Any

import orjson

from router.control.errors import ApiError
from router.control.model import Member, Operation, ServiceModel, Shape
from router.control.protocol import wire
from router.control.protocol.wire import Parsed, Reply, Request

CONTENT_TYPE = "application/json"


def parse(
    model: ServiceModel, operation: Operation, request: Request, labels: dict[str, str]
) -> Parsed:
    """Parameters from path, query, headers and body. Raises `Malformed`."""
    shape = model.shape(operation.input)
    parsed = Parsed()
    if shape.payload is not None:
        _parse_payload(model, shape, request, parsed)
    elif any(member.location is None for member in shape.members.values()):
        body = Shape(
            type="structure",
            members={k: m for k, m in shape.members.items() if m.location is None},
        )
        document = wire.parse_json(request.body)
        parsed.params = wire.from_json(model, body, document, "", parsed.unknown)
    for name, member in shape.members.items():
        if member.location is not None:
            value = _located(model, member, name, request, labels)
            if value is not None:
                parsed.params[name] = value
    return parsed


def _parse_payload(model: ServiceModel, shape: Shape, request: Request, parsed: Parsed) -> None:
    name = shape.payload or ""
    inner = model.shapes[shape.members[name].shape]
    if inner.type == "blob":
        parsed.params[name] = request.body
    elif inner.type == "string":
        parsed.params[name] = request.body.decode("utf-8", "replace")
    elif request.body.strip():
        document = wire.parse_json(request.body)
        parsed.params[name] = wire.from_json(model, inner, document, name, parsed.unknown)


def _located(
    model: ServiceModel, member: Member, name: str, request: Request, labels: dict[str, str]
) -> Any:
    key = member.wire or name
    match member.location:
        case "header":
            text = request.headers.get(key)
        case "uri":
            text = labels.get(key)
        case "querystring" if not request.query:
            return None
        case "querystring":
            shape = model.shapes[member.shape]
            texts = [value for given, value in request.query if given == key]
            if shape.type == "list" and texts and shape.member is not None:
                element = model.shapes[shape.member.shape]
                return [wire.scalar_from_text(element, value, name) for value in texts]
            text = texts[0] if texts else None
        case _:
            return None
    return None if text is None else wire.scalar_from_text(model.shapes[member.shape], text, name)


def serialize(model: ServiceModel, operation: Operation, result: dict[str, Any]) -> Reply:
    """The answer of a success."""
    shape = model.shape(operation.output)
    headers: dict[str, str] = {}
    status = operation.status
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        if member.location == "statusCode":
            status = int(value)
        elif member.location == "header":
            headers[member.wire or name] = str(value)
    if shape.payload is not None:
        body = result.get(shape.payload) or b""
        if not isinstance(body, bytes):
            return Reply(status, headers, pieces=body)
    elif operation.output is None or status == 204:
        body = b""
    else:
        body = orjson.dumps(wire.to_json(model, shape, result))
    if status != 204:
        headers.setdefault("Content-Type", CONTENT_TYPE)
    return Reply(status, headers, b"" if status == 204 else body)


def error(model: ServiceModel, problem: ApiError) -> Reply:
    """The answer of an error; the case of `message` follows the exception's shape."""
    shape = model.shapes.get(problem.shape)
    members = shape.members if shape is not None else {}
    document: dict[str, str] = {}
    if problem.kind is not None:
        document["Type"] = problem.kind
    headers = {"Content-Type": CONTENT_TYPE, "x-amzn-ErrorType": problem.shape}
    for name, value in problem.members.items():
        member = members.get(name)
        if member is not None and member.location == "header":
            headers[member.wire or name] = value
        else:
            document[name] = value
    document["Message" if "Message" in members else "message"] = problem.message
    status = problem.status or (shape.status if shape is not None else None) or 400
    return Reply(status, headers, orjson.dumps(document))
