"""How each kind of sender wants to be answered, and how it marks a repetition (`bus-…md` 4.2).

The default is 202 with the event's id. A handshake is answered at once, and nothing is stored.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import orjson

from router.http.values import JSON_HEADERS, Head, Pairs, Response, json_response
from router.model.media_types import FORM, media_type
from router.model.webhook import WebhookSpec

Answer = Callable[[str], Response]
"""From the event's id to what says that it is accepted."""

CLOUDEVENTS: Final = "CloudEvents"
"""`Format` of a webhook whose requests must be CloudEvents."""

XML_HEADERS: Final[Pairs] = (("content-type", "text/xml"),)
NO_RETRY_HEADERS: Final[Pairs] = (("x-slack-no-retry", "1"),)


class Sender(msgspec.Struct, frozen=True):
    """What one kind of sender expects."""

    dedup_key: str | tuple[str, ...] | None = None
    """What tells a repetition of its requests; None: nothing it sends does."""
    answer: Callable[[Head], Answer] | None = None
    """How an accepted request is answered; None: 202 and the id."""
    handshake: Callable[[bytes], Response | None] | None = None
    """Answers a genuine request that asks for an answer only."""
    refusal_headers: Pairs = ()
    """Of an answer to what would be refused again: keeps the sender from trying."""


def accepted(event_id: str, status: int = 202) -> Response:
    """The answer to a stored request."""
    return Response(status, b'{"id":"%b"}' % event_id.encode(), JSON_HEADERS)


def _accepted_200(event_id: str) -> Response:
    return accepted(event_id, 200)


def _empty_200(_event_id: str) -> Response:
    return Response(200)


def _twiml(event_id: str) -> Response:
    # Twilio carries out what it is answered: do nothing. The id is for its request inspector.
    body = b'<?xml version="1.0" encoding="UTF-8"?><Response><!-- %b --></Response>'
    return Response(202, body % event_id.encode(), XML_HEADERS)


def _slack_answer(head: Head) -> Answer:
    # Commands and interactions come as forms, and what they are answered is shown to people.
    is_form = media_type(head.headers.get("content-type")) == FORM
    return _empty_200 if is_form else _accepted_200


def _slack_challenge(body: bytes) -> Response | None:
    if b"url_verification" not in body:
        return None
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(members, dict) or members.get("type") != "url_verification":
        return None
    challenge = members.get("challenge")
    if not isinstance(challenge, str):
        return None
    return json_response(200, {"challenge": challenge})


SENDERS: Final[Mapping[str, Sender]] = {
    "github": Sender("header.X-GitHub-Delivery"),
    "stripe": Sender("$.id"),
    "slack": Sender("$.event_id", _slack_answer, _slack_challenge, NO_RETRY_HEADERS),
    # One business event may come under several topics: only a delivery is a repetition of itself.
    "shopify": Sender("header.X-Shopify-Webhook-Id", lambda _head: _accepted_200),
    "twilio": Sender("header.I-Twilio-Idempotency-Token", lambda _head: _twiml),
    "standard-webhooks": Sender("header.webhook-id"),
    "svix": Sender("header.svix-id"),
}
"""Scheme → its sender; others are answered the default way."""

CLOUDEVENTS_KEY: Final = ("cloudevent.source", "cloudevent.id")
"""What makes a CloudEvent unique."""


def sender_of(spec: WebhookSpec) -> Sender:
    """Who sends to a webhook."""
    return SENDERS.get(spec.signature.scheme, Sender())


def default_dedup_key(scheme: str, form: str) -> str | tuple[str, ...] | None:
    """`Deduplicate.Key` where none is given; None where nothing is known of the sender."""
    if form == CLOUDEVENTS:
        return CLOUDEVENTS_KEY
    return SENDERS.get(scheme, Sender()).dedup_key
