"""The query protocol: a form in, XML out (STS).

Lists and maps in requests are not read: no operation we serve over it takes one.
"""

from html import escape
from typing import Any
from urllib.parse import parse_qsl

from router.control.errors import ApiError, Malformed
from router.control.model import Operation, ServiceModel, Shape
from router.control.protocol import wire
from router.control.protocol.wire import Parsed, Reply, Request

CONTENT_TYPE = "text/xml"
FIELDS_MAX = 1_000
"""Most fields of a form."""


def fields(request: Request) -> dict[str, str]:
    """The form's fields, or the query's of a GET. Raises `Malformed`."""
    if request.method == "GET":
        return dict(request.query)
    try:
        pairs = parse_qsl(
            request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX
        )
    except ValueError:
        raise Malformed("the form cannot be read") from None
    return dict(pairs)


def parse(model: ServiceModel, operation: Operation, form: dict[str, str]) -> Parsed:
    """Parameters from a form's plain fields. Raises `Malformed`."""
    parsed = Parsed()
    members = model.shape(operation.input).members
    for key, text in form.items():
        if key in {"Action", "Version"}:
            continue
        member = members.get(key)
        if member is None:
            parsed.unknown.append(key)
        else:
            parsed.params[key] = wire.scalar_from_text(model.shapes[member.shape], text, key)
    return parsed


def serialize(
    model: ServiceModel, name: str, operation: Operation, result: dict[str, Any], request_id: str
) -> Reply:
    """The answer of a success."""
    inner = _structure(model, model.shape(operation.output), result)
    if operation.wrapper:
        inner = f"<{operation.wrapper}>{inner}</{operation.wrapper}>"
    text = (
        f'<{name}Response xmlns="{model.xml_namespace or ""}">{inner}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{name}Response>"
    )
    return Reply(200, {"Content-Type": CONTENT_TYPE}, text.encode())


def _structure(model: ServiceModel, shape: Shape, value: dict[str, Any]) -> str:
    parts = []
    for name, member in shape.members.items():
        item = value.get(name)
        if item is None:
            continue
        inner = model.shapes[member.shape]
        text = _structure(model, inner, item) if inner.type == "structure" else escape(str(item))
        parts.append(f"<{name}>{text}</{name}>")
    return "".join(parts)


def error(model: ServiceModel, problem: ApiError, request_id: str) -> Reply:
    """The answer of an error."""
    side = "Receiver" if problem.kind == "Service" else "Sender"
    code = problem.query_code or problem.shape
    text = (
        f'<ErrorResponse xmlns="{model.xml_namespace or ""}"><Error><Type>{side}</Type>'
        f"<Code>{escape(code)}</Code><Message>{escape(problem.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Reply(problem.status or 400, {"Content-Type": CONTENT_TYPE}, text.encode())
