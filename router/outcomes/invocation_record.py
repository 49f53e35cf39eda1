"""Invocation records and dead letters: what is told of an asynchronous invocation that is over.

`functions-and-invocation.md` 7.2 to 7.4, members in AWS's order. The event and the function's
answer are put in as they came, but for the white space between their parts.
"""

import json
import re
from typing import Any, Final

import msgspec
import orjson

from router.model.limits import KIB
from router.outcomes.failure_record import moment_of, timestamp

SUCCESS: Final = "Success"

ERROR_MESSAGE_BYTES_MAX: Final = KIB
"""Longest `ErrorMessage` of a dead letter."""

FUNCTION_ERROR_CODE: Final = "200"
"""`ErrorCode` of a function that ran and failed: the status of its invocation."""

THROTTLED_CODE: Final = "429"
NOT_STARTED_CODE: Final = "500"
STOPPED_CODE: Final = "400"
"""Of a recursive loop."""

DETAIL_TYPE: Final = "Lambda Function Invocation Result - "
"""Of events on a bus; `Success` or `Failure` follows."""

_NO_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no attribute of a message can have."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt that ran said; kept with the event until the next one."""

    executed_version: str
    is_error: bool
    payload: bytes


class HoldUp(msgspec.Struct, frozen=True):
    """Why an event could not be run at all."""

    code: str
    text: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous invocation that is over."""

    request_id: str
    function: str
    """Bare name."""
    function_arn: str
    """Always with a qualifier."""
    condition: str
    invoke_count: int
    payload: bytes
    response: Response | None = None
    """Of the last attempt; None when none ran."""
    wall_ms: int


def invocation_record(ended: Ended) -> bytes:
    """The document that destinations get."""
    document: dict[str, Any] = {
        "version": "1.0",
        "timestamp": timestamp(ended.wall_ms),
        "requestContext": {
            "requestId": ended.request_id,
            "functionArn": ended.function_arn,
            "condition": ended.condition,
            "approximateInvokeCount": ended.invoke_count,
        },
        "requestPayload": _json(ended.payload),
    }
    if (response := ended.response) is not None:
        context: dict[str, Any] = {
            "statusCode": 200,
            "executedVersion": response.executed_version,
        }
        if response.is_error:
            context["functionError"] = "Unhandled"
        document["responseContext"] = context
        document["responsePayload"] = _json(response.payload)
    return orjson.dumps(document)


def object_key(ended: Ended, letter_id: str) -> str:
    """`aws/lambda/async/<function>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random UUID>`, UTC."""
    moment = moment_of(ended.wall_ms)
    return (
        f"aws/lambda/async/{ended.function}/{moment:%Y/%m/%d}/"
        f"{moment:%Y-%m-%dT%H.%M.%S}-{letter_id}"
    )


def dead_letter_attributes(ended: Ended, hold_up: HoldUp | None) -> bytes:
    """The three message attributes of a dead letter, as JSON of SendMessage."""
    code, text = FUNCTION_ERROR_CODE, ""
    if ended.response is not None:
        text = _error_message(ended.response.payload)
    elif hold_up is not None:
        code, text = hold_up.code, hold_up.text
    # No attribute may be empty.
    text = _NO_TEXT.sub("?", _cut(text)) or "Unknown"
    return orjson.dumps(
        {
            "RequestID": {"DataType": "String", "StringValue": ended.request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": code},
            "ErrorMessage": {"DataType": "String", "StringValue": text},
        }
    )


def bus_entry(record: bytes, bus_arn: str) -> dict[str, Any]:
    """The entry of PutEvents that carries a record."""
    context = orjson.loads(record)["requestContext"]
    result = "Success" if context["condition"] == SUCCESS else "Failure"
    return {
        "Source": "lambda",
        "DetailType": DETAIL_TYPE + result,
        "Detail": record.decode(),
        "Resources": [bus_arn, context["functionArn"]],
        "EventBusName": bus_arn,
    }


def _json(payload: bytes) -> Any:
    """JSON as it is, compact; what is none as a text."""
    text = payload.decode("utf-8", "replace")
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        return orjson.Fragment(msgspec.json.format(text, indent=-1))
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # What Python writes and others do not read: halves of a surrogate pair, but no NaN.
        document = json.loads(text, parse_constant=_refuse)
        return orjson.Fragment(json.dumps(document, separators=(",", ":")))
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _error_message(payload: bytes) -> str:
    """What a function's error says: its text, else its type."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return payload[:ERROR_MESSAGE_BYTES_MAX].decode("utf-8", "replace")
    if not isinstance(document, dict):
        return ""
    said = document.get("errorMessage") or document.get("errorType") or ""
    return said if isinstance(said, str) else json.dumps(said, separators=(",", ":"))


def _cut(text: str) -> str:
    """The first 1 KB, whole characters."""
    data = text.encode("utf-8", "replace")[:ERROR_MESSAGE_BYTES_MAX]
    return data.decode("utf-8", "ignore")
