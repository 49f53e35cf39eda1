"""Event records as their filters see them, one function per kind of source (10.1).

Each takes one record as a function would get it (`event-source-mappings.md` 11); the record itself
is never changed.
"""

import base64
from collections.abc import Mapping
from typing import Any

from router.mapping.filtering import Form, MatchDocument
from router.patterns.document import NotJson, decode

Members = Mapping[str, Any]


def text_payload(text: str) -> tuple[Form, Any]:
    """A payload's form and what a filter sees of it: the tree of JSON, or the text."""
    try:
        return Form.JSON, decode(text)
    except NotJson:
        return Form.TEXT, text


def base64_payload(text: str | None) -> tuple[Form, Any]:
    """The same of base64; what is not UTF-8 text, or not there, has nothing to see."""
    if text is None:
        return Form.NEITHER, {}
    try:
        return text_payload(base64.b64decode(text, validate=True).decode())
    except ValueError:
        return Form.NEITHER, {}


def of_sqs(record: Members) -> MatchDocument:
    """`body` parsed when it is JSON; everything else as it is."""
    form, body = text_payload(record["body"])
    return MatchDocument({**record, "body": body}, (form,))


def of_kinesis(record: Members) -> MatchDocument:
    """The members of `kinesis` at the top, `data` decoded and parsed, beside the outer members."""
    inner = record["kinesis"]
    form, data = base64_payload(inner["data"])
    outer = {name: value for name, value in record.items() if name != "kinesis"}
    return MatchDocument({**outer, **inner, "data": data}, (form,))


def of_dynamodb(record: Members) -> MatchDocument:
    """The record as it is: images are typed values, the creation time is a number."""
    return MatchDocument(dict(record), (Form.JSON,))


def of_kafka(record: Members) -> MatchDocument:
    """`value` and `key` decoded and parsed. A tombstone has no `value`, some records no `key`."""
    value_form, value = base64_payload(record.get("value"))
    key_form, key = base64_payload(record.get("key"))
    return MatchDocument({**record, "value": value, "key": key}, (value_form, key_form))


def of_mq(message: Members) -> MatchDocument:
    """The message with its `data` decoded and parsed."""
    form, data = base64_payload(message.get("data"))
    return MatchDocument({**message, "data": data}, (form,))


def of_webhook(record: Members) -> MatchDocument:
    """`body` parsed when it is JSON; one that is not UTF-8 travels as base64 and is not matched."""
    if record.get("isBase64Encoded"):
        return MatchDocument({**record, "body": {}}, (Form.NEITHER,))
    form, body = text_payload(record["body"])
    return MatchDocument({**record, "body": body}, (form,))
