"""The query protocol: a form in, XML out (STS, and SQS for older SDKs and curl).

Lists and maps are flattened: `Tag.1.Key=a&Tag.1.Value=b`, and repeated elements in the answer.
"""

import base64
import re
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from router.control.errors import ApiError, Malformed
from router.control.model import Member, Operation, ServiceModel, Shape
from router.control.protocol import wire
from router.control.protocol.wire import Parsed, Reply, Request

CONTENT_TYPE: Final = "text/xml"
FIELDS_MAX: Final = 1_000
"""Most fields of a form."""

DEPTH_MAX: Final = 8
"""Most parts of a field's name; the deepest of SQS has six."""

SKIPPED: Final = frozenset({"Action", "Version", "Signature", "Expires", "Timestamp"})
"""Fields that say how to read the form, not what is asked."""

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INDEX: Final = re.compile(r"[0-9]{1,6}", re.ASCII)

Tree = dict[str, Any]
"""A field's name by its parts; leaves are texts."""


class Dialect(msgspec.Struct, frozen=True):
    """How a service speaks the query protocol."""

    version: str
    namespace: str
    names: dict[str, str] = {}
    """Names of members that have another one here."""
    keys: dict[str, str] = {}
    """Map shapes whose keys are not called `Name`."""
    detail: str = ""
    """What errors have after their message."""
    texts: dict[str, str] = {}
    """Error texts that differ here."""


SQS: Final = Dialect(
    version="2012-11-05",
    namespace="http://queue.amazonaws.com/doc/2012-11-05/",
    names={
        "AWSAccountIds": "AWSAccountId",
        "Actions": "ActionName",
        "AttributeNames": "AttributeName",
        "Attributes": "Attribute",
        "BinaryListValues": "BinaryListValue",
        "MessageAttributeNames": "MessageAttributeName",
        "MessageAttributes": "MessageAttribute",
        "MessageSystemAttributeNames": "MessageSystemAttributeName",
        "MessageSystemAttributes": "MessageSystemAttribute",
        "QueueUrls": "QueueUrl",
        "StringListValues": "StringListValue",
        "TagKeys": "TagKey",
        "Tags": "Tag",
        "queueUrls": "QueueUrl",
        "tags": "Tag",
    },
    keys={"TagMap": "Key"},
    detail="<Detail/>",
    texts={
        "The specified queue does not exist.": (
            "The specified queue does not exist for this wsdl version."
        )
    },
)


def dialect_of(service: str, model: ServiceModel) -> Dialect | None:
    """How a service speaks the query protocol; None when it does not."""
    if service == "sqs":
        return SQS
    if model.protocol == "query":
        return Dialect(model.api_version, model.xml_namespace or "")
    return None


def fields(request: Request) -> dict[str, str]:
    """The form's fields and the query's. Raises `Malformed`."""
    pairs = list(request.query)
    if len(pairs) > FIELDS_MAX:
        raise Malformed("the query has too many fields")
    if request.method != "GET":
        try:
            # What is no UTF-8 is refused, never replaced: it would be another message.
            pairs += parse_qsl(
                request.body.decode("utf-8"),
                keep_blank_values=True,
                max_num_fields=FIELDS_MAX,
                errors="strict",
            )
        except ValueError:
            raise Malformed("the form cannot be read") from None
    return {key: value for key, value in pairs if not key.startswith("X-Amz-")}


def parse(
    model: ServiceModel, operation: Operation, form: dict[str, str], dialect: Dialect
) -> Parsed:
    """Parameters from a form's fields. Raises `Malformed`."""
    parsed = Parsed()
    tree = _tree({key: text for key, text in form.items() if key not in SKIPPED})
    parsed.params = _structure(model, model.shape(operation.input), tree, "", dialect, parsed)
    return parsed


def _tree(form: dict[str, str]) -> Tree:
    tree: Tree = {}
    for key, text in form.items():
        *parents, last = key.split(".")
        if len(parents) >= DEPTH_MAX:
            raise Malformed(f"the field {key[:100]} is nested too deep")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise Malformed(f"the field {key[:100]} is given twice over")
        if isinstance(node.get(last), dict):
            raise Malformed(f"the field {key[:100]} is given twice over")
        node[last] = text
    return tree


def _structure(
    model: ServiceModel, shape: Shape, tree: Any, path: str, dialect: Dialect, parsed: Parsed
) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise Malformed(f"{path} must be a structure")
    names = {_name(model, name, member, dialect): name for name, member in shape.members.items()}
    result = {}
    for key, node in tree.items():
        name = names.get(key)
        where = f"{path}.{key}" if path else key
        if name is None:
            parsed.unknown.append(where)
        else:
            result[name] = _value(model, shape.members[name], node, where, dialect, parsed)
    return result


def _value(
    model: ServiceModel, member: Member, node: Any, path: str, dialect: Dialect, parsed: Parsed
) -> Any:
    shape = model.shapes[member.shape]
    if shape.type == "structure":
        return _structure(model, shape, node, path, dialect, parsed)
    if shape.type == "list" and shape.member is not None:
        items = _items(node, path)
        return [_value(model, shape.member, item, path, dialect, parsed) for item in items]
    if shape.type == "map" and shape.value is not None:
        key_name = dialect.keys.get(member.shape, "Name")
        result = {}
        for item in _items(node, path):
            if not isinstance(item, dict) or not isinstance(item.get(key_name), str):
                raise Malformed(f"{path} needs a {key_name} for each entry")
            value = item.get("Value")
            result[item[key_name]] = (
                None
                if value is None
                else _value(model, shape.value, value, f"{path}.Value", dialect, parsed)
            )
        return result
    if not isinstance(node, str):
        raise Malformed(f"{path} must be a single value")
    return wire.scalar_from_text(shape, node, path)


def _items(node: Any, path: str) -> list[Any]:
    """Entries by their numbers; one alone may come without."""
    if isinstance(node, str):
        return [node]
    if not all(_INDEX.fullmatch(key) for key in node):
        raise Malformed(f"the entries of {path} must be numbered")
    return [node[key] for key in sorted(node, key=int)]


def _name(model: ServiceModel, name: str, member: Member, dialect: Dialect) -> str:
    """What a member is called; lists of structures after what they hold."""
    if name in dialect.names:
        return dialect.names[name]
    shape = model.shapes[member.shape]
    if shape.type == "list" and shape.member is not None and (shape.flattened or member.flattened):
        return shape.member.shape
    return name


def serialize(
    model: ServiceModel,
    name: str,
    operation: Operation,
    result: dict[str, Any],
    request_id: str,
    dialect: Dialect,
) -> Reply:
    """The answer of a success; without an output shape there is no result element."""
    inner = _members(model, model.shape(operation.output), result, dialect)
    if operation.output is not None:
        wrapper = operation.wrapper or f"{name}Result"
        inner = f"<{wrapper}>{inner}</{wrapper}>" if inner else f"<{wrapper}/>"
    text = (
        f'<{name}Response xmlns="{dialect.namespace}">{inner}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{name}Response>"
    )
    return Reply(200, {"Content-Type": CONTENT_TYPE}, text.encode())


def _members(model: ServiceModel, shape: Shape, value: dict[str, Any], dialect: Dialect) -> str:
    parts = []
    for name, member in shape.members.items():
        item = value.get(name)
        if item is None:
            continue
        inner = model.shapes[member.shape]
        tag = _name(model, name, member, dialect)
        if inner.type == "list" and inner.member is not None:
            element = model.shapes[inner.member.shape]
            texts = [_text(model, element, entry, dialect) for entry in item]
        elif inner.type == "map" and inner.value is not None:
            element = model.shapes[inner.value.shape]
            key_tag = dialect.keys.get(member.shape, "Name")
            texts = [
                f"<{key_tag}>{_escaped(key)}</{key_tag}>"
                f"<Value>{_text(model, element, entry, dialect)}</Value>"
                for key, entry in item.items()
            ]
        else:
            texts = [_text(model, inner, item, dialect)]
        parts += [f"<{tag}>{text}</{tag}>" for text in texts]
    return "".join(parts)


def _text(model: ServiceModel, shape: Shape, value: Any, dialect: Dialect) -> str:
    if shape.type == "structure":
        return _members(model, shape, value, dialect)
    if shape.type == "blob":
        return base64.b64encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    """As XML holds it: a bare carriage return would come out as a line feed."""
    return escape(_NOT_XML.sub("\ufffd", text)).replace("\r", "&#xD;")


def error(dialect: Dialect, problem: ApiError, request_id: str) -> Reply:
    """The answer of an error."""
    side = "Receiver" if problem.kind == "Service" else "Sender"
    code = problem.query_code or problem.shape
    message = dialect.texts.get(problem.message, problem.message)
    text = (
        f'<ErrorResponse xmlns="{dialect.namespace}"><Error><Type>{side}</Type>'
        f"<Code>{_escaped(code)}</Code><Message>{_escaped(message)}</Message>{dialect.detail}"
        f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Reply(problem.status or 400, {"Content-Type": CONTENT_TYPE}, text.encode())


def no_operation() -> Reply:
    """The answer to a request that names no operation."""
    return Reply(404, {"Content-Type": CONTENT_TYPE}, b"<UnknownOperationException/>")
