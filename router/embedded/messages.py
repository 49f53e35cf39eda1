"""One message: what it may hold, its checksums, its receipt (`bus-http-and-schedules.md` 6.3)."""

import base64
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from router.embedded.problems import QueueProblem, bad_value, missing, unsupported
from router.model.limits import MIB
from router.store.queues import StoredMessage

ATTRIBUTES_MAX: Final = 10
TRACE_HEADER: Final = "AWSTraceHeader"
"""The one system attribute that senders set."""

DELAY_S_MAX: Final = 900
VISIBILITY_S_MAX: Final = 43_200
BATCH_BYTES_MAX: Final = MIB
TYPE_LENGTH_MAX: Final = 256

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME: Final = re.compile(r"[\w.\-]{1,256}")
_ORDER_ID: Final = re.compile(r"[!-~]{1,128}")
_RECEIPT_SEPARATOR: Final = ":"
_SEQUENCE_BASE: Final = 10**19
"""SequenceNumbers have twenty digits."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message somebody wants to send. Attribute values: DataType, StringValue, BinaryValue."""

    body: str
    attributes: dict[str, dict[str, Any]] = {}
    system: dict[str, str] = {}
    """AWSTraceHeader, MessageGroupId, MessageDeduplicationId."""
    delay_s: int | None = None
    group_id: str = ""
    """FIFO queues, as the next one."""
    deduplication_id: str = ""


class Order(msgspec.Struct, frozen=True):
    """How a FIFO queue takes messages."""

    is_content_deduplicated: bool


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt handle carries: which message, and which of its receives."""

    message_id: str
    id: int
    token: int
    received_ms: int
    """Wall clock of that receive."""
    handle: str
    """The handle itself."""


def draft(params: Mapping[str, Any], order: Order | None = None) -> Draft:
    """A draft from the API's parameters; `order` for a FIFO queue.

    Raises `QueueProblem`; sizes are `check_size`'s.
    """
    body = params.get("MessageBody")
    if not body:
        raise missing("MessageBody")
    if _FORBIDDEN.search(body):
        raise QueueProblem(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
            "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    attributes = params.get("MessageAttributes") or {}
    check_attributes(attributes)
    system = _trace(params)
    group = params.get("MessageGroupId")
    if group is not None:
        check_order_id("MessageGroupId", group)
        system["MessageGroupId"] = group
    if order is None:
        if (given := params.get("MessageDeduplicationId")) is not None:
            raise bad_value(
                f"Value {given} for parameter MessageDeduplicationId is invalid. Reason: The "
                "request includes a parameter that is not valid for this queue type."
            )
        return Draft(body=body, attributes=attributes, system=system, delay_s=_delay_s(params))
    check_order(params, order)
    if params.get("DelaySeconds"):
        raise bad_value(
            f"Value {params['DelaySeconds']} for parameter DelaySeconds is invalid. Reason: The "
            "request include parameter that is not valid for this queue type."
        )
    deduplication = params.get("MessageDeduplicationId")
    if deduplication is None:
        deduplication = hashlib.sha256(body.encode()).hexdigest()
    else:
        check_order_id("MessageDeduplicationId", deduplication)
    system["MessageDeduplicationId"] = deduplication
    return Draft(
        body=body,
        attributes=attributes,
        system=system,
        group_id=system["MessageGroupId"],
        deduplication_id=deduplication,
    )


def check_order(params: Mapping[str, Any], order: Order) -> None:
    """Raise `QueueProblem` for a message without what a FIFO queue needs."""
    if params.get("MessageGroupId") is None:
        raise missing("MessageGroupId")
    if params.get("MessageDeduplicationId") is None and not order.is_content_deduplicated:
        raise bad_value(
            "The queue should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly"
        )


def traced(draft: Draft, trace_header: str) -> Draft:
    """The draft with a trace header, unless it has one."""
    if draft.system.get(TRACE_HEADER):
        return draft
    return msgspec.structs.replace(draft, system={**draft.system, TRACE_HEADER: trace_header})


def check_order_id(name: str, value: str) -> None:
    """Raise `QueueProblem` for a group, deduplication or attempt id SQS refuses."""
    if not _ORDER_ID.fullmatch(value):
        raise bad_value(
            f"Value {value} for parameter {name} is invalid. Reason: {name} can only include "
            "alphanumeric and punctuation characters. 1 to 128 in length."
        )


def sequence_number(number: int) -> str:
    """SequenceNumber of a message by its number in the store."""
    return str(_SEQUENCE_BASE + number)


def _trace(params: Mapping[str, Any]) -> dict[str, str]:
    system = {}
    for name, value in (params.get("MessageSystemAttributes") or {}).items():
        if name != TRACE_HEADER or value.get("DataType") != "String":
            raise bad_value(
                f"Message system attribute name '{name}' is invalid. "
                "Only AWSTraceHeader of type String is accepted."
            )
        system[name] = value.get("StringValue") or ""
    return system


def _delay_s(params: Mapping[str, Any]) -> int | None:
    delay_s: int | None = params.get("DelaySeconds")
    if delay_s is not None and not 0 <= delay_s <= DELAY_S_MAX:
        raise bad_value(
            f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: "
            f"DelaySeconds must be >= 0 and <= {DELAY_S_MAX}."
        )
    return delay_s


def check_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `QueueProblem` for message attributes SQS refuses."""
    if len(attributes) > ATTRIBUTES_MAX:
        raise bad_value(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{ATTRIBUTES_MAX}]."
        )
    for name, value in attributes.items():
        _check_attribute_name(name)
        if value.get("StringListValues") or value.get("BinaryListValues"):
            raise unsupported(
                "Message attribute list values in SendMessage operation are not supported."
            )
        _check_attribute_value(name, value)


def _check_attribute_name(name: str) -> None:
    lowered = name.lower()
    if (
        not _ATTRIBUTE_NAME.fullmatch(name)
        or lowered.startswith(("aws.", "amazon.", "."))
        or name.endswith(".")
        or ".." in name
    ):
        raise bad_value(
            f"Message (user) attribute name '{name}' is invalid. It can contain letters, digits, "
            "'_', '-' and '.', up to 256 characters, does not start with AWS. or Amazon., and "
            "has no '.' at either end or twice in a row."
        )


def _check_attribute_value(name: str, value: Mapping[str, Any]) -> None:
    data_type = value.get("DataType") or ""
    base = data_type.split(".", 1)[0]
    if base not in {"String", "Number", "Binary"} or len(data_type) > TYPE_LENGTH_MAX:
        raise bad_value(
            f"The type of message (user) attribute '{name}' is invalid. You must use only the "
            "following supported type prefixes: Binary, Number, String."
        )
    content = value.get("BinaryValue" if base == "Binary" else "StringValue")
    if not content:
        raise bad_value(
            f"Message (user) attribute '{name}' must contain a non-empty value of type "
            f"'{'Binary' if base == 'Binary' else 'String'}'."
        )
    if isinstance(content, str) and _FORBIDDEN.search(content):
        raise bad_value(f"Message (user) attribute '{name}' contains invalid characters.")
    if base == "Number" and not re.fullmatch(
        r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", str(content)
    ):
        raise bad_value(f"Can't cast the value of message (user) attribute '{name}' to a number.")


def size_bytes(message: Draft) -> int:
    """Bytes that count: body, attribute names, types and values."""
    return bytes_given(message.body, message.attributes)


def bytes_given(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """As `size_bytes`, of what was not checked yet."""
    total = len(body.encode())
    for name, value in attributes.items():
        total += len(name.encode()) + len((value.get("DataType") or "").encode())
        total += len(value.get("BinaryValue") or (value.get("StringValue") or "").encode())
    return total


def md5_of_body(body: str) -> str:
    """MD5OfMessageBody."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """MD5OfMessageAttributes; None without attributes."""
    if not attributes:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    for name, value in sorted(attributes.items()):
        is_binary = value["DataType"].startswith("Binary")
        content = value["BinaryValue"] if is_binary else value["StringValue"].encode()
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update(b"\x02" if is_binary else b"\x01")
        digest.update(struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


def encode_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Message attributes as the store keeps them: JSON as on the wire; nothing for none."""
    if not attributes:
        return b""
    return orjson.dumps(
        {
            name: {
                key: base64.b64encode(item).decode() if isinstance(item, bytes) else item
                for key, item in value.items()
            }
            for name, value in attributes.items()
        }
    )


def decode_attributes(stored: bytes) -> dict[str, dict[str, Any]]:
    """What `encode_attributes` made."""
    if not stored:
        return {}
    return {
        name: {
            key: base64.b64decode(item) if key == "BinaryValue" else item
            for key, item in value.items()
        }
        for name, value in orjson.loads(stored).items()
    }


def select_attributes(
    attributes: dict[str, dict[str, Any]], wanted: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The attributes a receive asks for: names, `All`, or a start as `start.*`."""
    if not wanted or not attributes:
        return {}
    if any(name in {"All", ".*", "*"} for name in wanted):
        return attributes
    starts = tuple(name[:-1] for name in wanted if name.endswith(".*"))
    names = set(wanted)
    return {
        name: value
        for name, value in attributes.items()
        if name in names or (starts and name.startswith(starts))
    }


def make_receipt(message: StoredMessage) -> str:
    """A new handle for each receive: opaque to callers."""
    parts = (message.message_id, str(message.id), str(message.token), str(message.received_ms))
    return base64.urlsafe_b64encode(_RECEIPT_SEPARATOR.join(parts).encode()).decode()


def read_receipt(handle: str) -> Receipt:
    """What a handle carries. Raises `QueueProblem` for what we never made."""
    try:
        text = base64.b64decode(handle.encode(), altchars=b"-_", validate=True).decode()
        message_id, number, token, received_ms = text.split(_RECEIPT_SEPARATOR)
        receipt = Receipt(message_id, int(number), int(token), int(received_ms), handle)
    except ValueError:
        raise bad_receipt(handle) from None
    numbers = (receipt.id, receipt.token, receipt.received_ms)
    if receipt.id <= 0 or not all(0 <= number < 2**63 for number in numbers):
        raise bad_receipt(handle)
    return receipt


def expired_receipt(handle: str) -> QueueProblem:
    """A FIFO queue's message is not held by this handle any more."""
    return bad_value(
        f"Value {handle} for parameter ReceiptHandle is invalid. "
        "Reason: The receipt handle has expired."
    )


def bad_receipt(handle: str) -> QueueProblem:
    """The handle is none of ours."""
    return QueueProblem(
        "ReceiptHandleIsInvalid",
        f'The input receipt handle "{handle}" is not a valid receipt handle.',
    )
