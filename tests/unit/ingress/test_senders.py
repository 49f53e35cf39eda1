"""How senders are answered, and how they mark repetitions."""

import json

import pytest

from router.auth.webhooks import SCHEMES
from router.http.values import Head
from router.ingress.keys import parse_keys
from router.ingress.senders import SENDERS, accepted, default_dedup_key


def head(kind):
    return Head("POST", "/h", "", {"content-type": kind}, None, 0, "::1")


def answer(scheme, kind="application/json"):
    return SENDERS[scheme].answer(head(kind))("e1")


def test_senders_are_schemes():
    assert set(SENDERS) < set(SCHEMES)


def test_the_default_names_the_event():
    response = accepted("e1")
    assert (response.status, json.loads(response.body)) == (202, {"id": "e1"})
    assert SENDERS["github"].answer is None


def test_those_that_insist_on_200():
    for scheme in ("slack", "shopify"):
        response = answer(scheme)
        assert (response.status, json.loads(response.body)) == (200, {"id": "e1"})


def test_what_slack_would_show_to_people_is_empty():
    response = answer("slack", "application/x-www-form-urlencoded; charset=utf-8")
    assert (response.status, response.body) == (200, b"")


def test_twilio_is_told_to_do_nothing():
    response = answer("twilio")
    assert (response.status, response.headers) == (202, (("content-type", "text/xml"),))
    assert b"<Response>" in response.body
    assert b"e1" in response.body


def challenge(body):
    return SENDERS["slack"].handshake(body)


def test_slack_s_challenge_is_answered():
    response = challenge(b'{"token":"t","challenge":"c<1>","type":"url_verification"}')
    assert (response.status, json.loads(response.body)) == (200, {"challenge": "c<1>"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=url_verification",
        b'["url_verification"]',
        b'{"type":"event_callback","event":{"text":"url_verification"}}',
        b'{"type":"url_verification"}',
        b'{"type":"url_verification","challenge":7}',
        b'{"type":"url_verification","challenge":"\\ud800"}',
    ],
)
def test_anything_else_is_an_event(body):
    assert challenge(body) is None


@pytest.mark.parametrize(
    ("scheme", "key"),
    [
        ("github", "header.X-GitHub-Delivery"),
        ("stripe", "$.id"),
        ("slack", "$.event_id"),
        ("shopify", "header.X-Shopify-Webhook-Id"),
        ("twilio", "header.I-Twilio-Idempotency-Token"),
        ("standard-webhooks", "header.webhook-id"),
        ("svix", "header.svix-id"),
        ("bearer", None),
        ("hmac-sha256", None),
        ("none", None),
    ],
)
def test_default_keys(scheme, key):
    assert default_dedup_key(scheme, "Any") == key
    assert default_dedup_key(scheme, "CloudEvents") == ("cloudevent.source", "cloudevent.id")
    if key:
        parse_keys(key)
