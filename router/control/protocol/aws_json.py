"""AWS JSON 1.0 and 1.1: a header names the operation, the body is one object (SQS, …)."""

from typing import Any, Final

import orjson

from router.control.errors import ApiError
from router.control.model import Operation, ServiceModel
from router.control.protocol import wire
from router.control.protocol.wire import Parsed, Reply, Request

NAMESPACES: Final = {"AmazonSQS": "com.amazonaws.sqs"}
"""Target prefix → what stands before `#` in `__type`, where AWS sends one."""


def parse(model: ServiceModel, operation: Operation, request: Request) -> Parsed:
    """Parameters from the body. Raises `Malformed`."""
    parsed = Parsed()
    document = wire.parse_json(request.body)
    parsed.params = wire.from_json(
        model, model.shape(operation.input), document, "", parsed.unknown
    )
    return parsed


def serialize(model: ServiceModel, operation: Operation, result: dict[str, Any]) -> Reply:
    """The answer of a success; an operation without output answers an empty body."""
    headers = {"Content-Type": content_type(model.json_version)}
    if operation.output is None:
        return Reply(200, headers)
    return Reply(
        200, headers, orjson.dumps(wire.to_json(model, model.shape(operation.output), result))
    )


def content_type(version: str | None) -> str:
    """Media type of a JSON version."""
    return f"application/x-amz-json-{version or '1.1'}"


def error(
    problem: ApiError, target_prefix: str | None, version: str | None, shape_status: int | None
) -> Reply:
    """The answer of an error.

    `x-amzn-query-error` keeps the older codes that clients of SQS compare with.
    """
    namespace = NAMESPACES.get(target_prefix or "")
    name = f"{namespace}#{problem.shape}" if namespace else problem.shape
    headers = {"Content-Type": content_type(version)}
    if problem.query_code is not None:
        side = "Receiver" if problem.kind == "Service" else "Sender"
        headers["x-amzn-query-error"] = f"{problem.query_code};{side}"
    document = {"__type": name, "message": problem.message, **problem.members}
    return Reply(problem.status or shape_status or 400, headers, orjson.dumps(document))
