"""CloudEvents 1.0 over HTTP: binary, structured and batched JSON (`bus-…md` 4.4).

What is required of an event is checked: specversion 1.0, id, source, type, one kind of data. What
the function gets is what was sent; only of a batch each event becomes a request of its own, as if
it had come structured. Pure.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from router.model.errors import RouterError
from router.model.media_types import media_type

EVENTS_MAX: Final = 1_000
"""Most events of one batch: each is stored with the headers of all."""

STRUCTURED_JSON: Final = "application/cloudevents+json"
BATCH_JSON: Final = "application/cloudevents-batch+json"

_ANY_FORMAT: Final = "application/cloudevents"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


class NotAnEvent(RouterError):
    """A request is no CloudEvent, or none that is understood here."""

    code = "not_cloudevent"

    def __init__(self, text: str, *, status: int = 400, reason: str = "not_cloudevent") -> None:
        """`text` is for the sender; `reason` is safe as a metric label."""
        super().__init__(text)
        self.status = status
        self.reason = reason


class Part(msgspec.Struct, frozen=True, gc=False):
    """One event as a record has it."""

    headers: Mapping[str, str]
    body: bytes
    text: str | None
    """The body as text; None when it is not UTF-8."""


_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Event(msgspec.Struct, gc=False):
    """An event in JSON, as far as it is looked at."""

    specversion: str
    id: _Text
    source: _Text
    type: _Text
    subject: _Text | None = None
    datacontenttype: _Text | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    data_base64: str | None = None


_EVENT: Final[msgspec.json.Decoder[_Event]] = msgspec.json.Decoder(_Event)
_EVENTS: Final[msgspec.json.Decoder[list[_Event]]] = msgspec.json.Decoder(list[_Event])
_RAW_EVENTS: Final[msgspec.json.Decoder[list[msgspec.Raw]]] = msgspec.json.Decoder(
    list[msgspec.Raw]
)


def events_of(
    headers: Mapping[str, str], body: bytes, text: str | None
) -> tuple[Sequence[Part], bool]:
    """The events of a request, and whether they came as a batch. Raises `NotAnEvent`.

    `headers` has lower-case names; `text` is the body, None when it is not UTF-8.
    """
    kind = media_type(headers.get("content-type"))
    if not kind.startswith(_ANY_FORMAT):
        _check_binary(headers)
        return (Part(headers, body, text),), False
    _check_format(kind, headers)
    if text is None:
        raise NotAnEvent("The body is not UTF-8.")
    if kind == STRUCTURED_JSON:
        _check_event(_decoded(_EVENT, text))
        return (Part(headers, body, text),), False
    return _batch(headers, text), True


def is_structured(headers: Mapping[str, str]) -> bool:
    """Whether the attributes are in the body."""
    return media_type(headers.get("content-type")).startswith(_ANY_FORMAT)


def consent(
    origin: str, allowed: Sequence[str], per_minute_max: int | None
) -> tuple[tuple[str, str], ...]:
    """Headers that tell a sender it may send; none when it may not.

    `origin` is its `WebHook-Request-Origin`; `allowed` names who may, empty: everyone. No
    callback is ever called: consent is in this answer or nowhere.
    """
    if not origin or (allowed and origin.lower() not in {name.lower() for name in allowed}):
        return ()
    return (
        ("webhook-allowed-origin", origin if allowed else "*"),
        ("webhook-allowed-rate", str(per_minute_max or "*")),
    )


def decode_attribute(value: str) -> str:
    """An attribute from its header: quotes undone, then percent signs. Raises `ValueError`."""
    value = value.strip()
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = _ESCAPED.sub(r"\1", value[1:-1])
    if _STRAY_PERCENT.search(value):
        raise ValueError("a percent sign that encodes nothing")
    return unquote_to_bytes(value.encode("latin-1")).decode()


def _check_format(kind: str, headers: Mapping[str, str]) -> None:
    if kind not in {STRUCTURED_JSON, BATCH_JSON}:
        raise _unknown("Only the JSON format of CloudEvents is understood.")
    charset = _CHARSET.search(headers.get("content-type", ""))
    if charset and charset[1].lower() not in {"utf-8", "us-ascii"}:
        raise _unknown("CloudEvents in JSON are UTF-8.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unknown("Compressed CloudEvents are not understood.")


def _unknown(text: str) -> NotAnEvent:
    return NotAnEvent(text, status=415, reason="format_unknown")


def _check_binary(headers: Mapping[str, str]) -> None:
    for name in _REQUIRED:
        given = headers.get(f"ce-{name}")
        try:
            value = decode_attribute(given or "")
        except ValueError:
            raise NotAnEvent(f"The header ce-{name} is not well encoded.") from None
        if not value:
            raise NotAnEvent(
                f"The header ce-{name} is missing, and the body is no {STRUCTURED_JSON} either."
            )
        if name == "specversion" and value != "1.0":
            raise NotAnEvent("Only specversion 1.0 is understood.")


def _decoded(decoder: "msgspec.json.Decoder[Any]", text: str) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        # It names members and types, never a value.
        raise NotAnEvent(f"The body is not as a CloudEvent is: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        raise NotAnEvent("The body is not JSON.") from None


def _check_event(event: _Event, place: str = "") -> None:
    if event.specversion != "1.0":
        raise NotAnEvent(f"Only specversion 1.0 is understood{place}.")
    if event.data_base64 is None:
        return
    if bytes(event.data) != b"null":
        raise NotAnEvent(f"An event has data or data_base64, not both{place}.")
    try:
        base64.b64decode(event.data_base64, validate=True)
    except ValueError:
        raise NotAnEvent(f"data_base64 is not base64{place}.") from None


def _batch(headers: Mapping[str, str], text: str) -> list[Part]:
    # First with every member that is required: what makes many objects of few bytes ends here.
    events = _decoded(_EVENTS, text)
    if len(events) > EVENTS_MAX:
        raise NotAnEvent(
            f"A batch has at most {EVENTS_MAX} events.", status=413, reason="too_many_events"
        )
    for index, event in enumerate(events):
        _check_event(event, f", at item {index}")
    _, semicolon, parameters = headers["content-type"].partition(";")
    shared = {**headers, "content-type": STRUCTURED_JSON + semicolon + parameters}
    parts = []
    for raw in _RAW_EVENTS.decode(text):
        body = bytes(raw)
        own = {**shared, "content-length": str(len(body))}
        parts.append(Part(own, body, body.decode()))
    return parts
