"""REST-JSON: method and path name the operation (Lambda)."""

from typing import Any

import msgspec
import orjson

from router.control.errors import ApiError
from router.control.model import Operation, ServiceModel, Shape
from router.control.protocol import wire
from router.control.protocol.wire import Parsed, Reply, Request

CONTENT_TYPE = "application/json"


class Binding(msgspec.Struct, frozen=True):
    """Where the members of an operation are on the wire: its shapes, looked through once."""

    operation: Operation
    payload: str | None
    """The member that is the whole body."""
    payload_shape: Shape | None
    body: Shape | None
    """Members that are in a document."""
    headers: tuple[tuple[str, str, Shape], ...]
    """Member, its header in lower case, and what it holds; likewise the next two."""
    labels: tuple[tuple[str, str, Shape], ...]
    query: tuple[tuple[str, str, Shape], ...]
    answer: Shape
    answer_headers: tuple[tuple[str, str], ...]
    """Member and its header in an answer."""
    answer_status: str | None


def bind(model: ServiceModel, operation: Operation) -> Binding:
    """See `Binding`."""
    shape, answer = model.shape(operation.input), model.shape(operation.output)
    places: dict[str | None, list[tuple[str, str, Shape]]] = {}
    for name, member in shape.members.items():
        key = member.wire or name
        place = (name, key.lower() if member.location == "header" else key)
        places.setdefault(member.location, []).append((*place, model.shapes[member.shape]))
    in_body = {name: shape.members[name] for name, _, _ in places.get(None, ())}
    payload = None if shape.payload is None else model.shapes[shape.members[shape.payload].shape]
    statuses = [name for name, it in answer.members.items() if it.location == "statusCode"]
    return Binding(
        operation,
        shape.payload,
        payload,
        Shape(type="structure", members=in_body) if in_body and payload is None else None,
        tuple(places.get("header", ())),
        tuple(places.get("uri", ())),
        tuple(places.get("querystring", ())),
        answer,
        tuple(
            (name, member.wire or name)
            for name, member in answer.members.items()
            if member.location == "header"
        ),
        statuses[0] if statuses else None,
    )


def parse(
    model: ServiceModel, binding: Binding, request: Request, labels: dict[str, str]
) -> Parsed:
    """Parameters from path, query, headers and body. Raises `Malformed`."""
    parsed = Parsed()
    if binding.payload_shape is not None:
        _parse_payload(model, binding, request, parsed)
    elif binding.body is not None:
        document = wire.parse_json(request.body)
        parsed.params = wire.from_json(model, binding.body, document, "", parsed.unknown)
    params = parsed.params
    for name, key, shape in binding.labels:
        if key in labels:
            params[name] = wire.scalar_from_text(shape, labels[key], name)
    for name, key, shape in binding.headers:
        text = request.headers.get(key)
        if text is not None:
            if not text.isascii():
                text = text.encode("latin-1").decode("utf-8", "replace")
            params[name] = wire.scalar_from_text(shape, text, name)
    if request.query:
        for name, key, shape in binding.query:
            texts = [value for given, value in request.query if given == key]
            if texts:
                params[name] = _from_query(model, shape, texts, name)
    return parsed


def _parse_payload(model: ServiceModel, binding: Binding, request: Request, parsed: Parsed) -> None:
    name, inner = binding.payload or "", binding.payload_shape or Shape(type="blob")
    if inner.type == "blob":
        parsed.params[name] = request.body
    elif inner.type == "string":
        parsed.params[name] = request.body.decode("utf-8", "replace")
    elif request.body.strip():
        document = wire.parse_json(request.body)
        parsed.params[name] = wire.from_json(model, inner, document, name, parsed.unknown)


def _from_query(model: ServiceModel, shape: Shape, texts: list[str], name: str) -> Any:
    if shape.type == "list" and shape.member is not None:
        element = model.shapes[shape.member.shape]
        return [wire.scalar_from_text(element, text, name) for text in texts]
    return wire.scalar_from_text(shape, texts[0], name)


def serialize(model: ServiceModel, binding: Binding, result: dict[str, Any]) -> Reply:
    """The answer of a success."""
    shape, status = binding.answer, binding.operation.status
    headers = {
        header: str(result[name])
        for name, header in binding.answer_headers
        if result.get(name) is not None
    }
    if binding.answer_status is not None:
        status = int(result.get(binding.answer_status) or status)
    if shape.payload is not None:
        body = result.get(shape.payload) or b""
        if not isinstance(body, bytes):
            return Reply(status, headers, pieces=body)
    elif binding.operation.output is None or status == 204:
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
