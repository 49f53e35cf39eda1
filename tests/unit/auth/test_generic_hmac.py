"""HMACs as described: every field of `bus-http-and-schedules.md` 4.1, generic."""

import base64
import hmac

import pytest

from router.auth.webhooks import scheme_for
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

NOW_S = 1_700_000_000
SLACK_LIKE = Signature(
    scheme="hmac-sha256",
    secrets=("s",),
    header="X-Slack-Signature",
    prefix="v0=",
    template="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
)
SLACK_BODY = b'{"type":"event_callback"}'
SLACK_HEADERS = {
    "x-slack-signature": "v0=3a33e0df22a950947c8bb305b6b72aeb07c4107d6b1e7b1c30dfa407564ec800",
    "x-slack-request-timestamp": "1700000000",
}
SHOPIFY_LIKE = Signature(
    scheme="hmac-sha256", secrets=("s",), header="X-Shopify-Hmac-Sha256", encoding="base64"
)


def refusal(signature, key, headers, body, now_s=NOW_S):
    return scheme_for(signature, [key]).refusal(Head(headers), body, now_s)


def test_timestamp_and_body_signed():
    def slack(headers, now_s):
        return refusal(SLACK_LIKE, "slack_secret", headers, SLACK_BODY, now_s)

    assert slack(SLACK_HEADERS, 1_700_000_000) is None
    assert slack(SLACK_HEADERS, 1_700_000_301) == "timestamp_too_old"
    assert slack(SLACK_HEADERS, 1_699_999_699) == "timestamp_too_new"
    late = {**SLACK_HEADERS, "x-slack-request-timestamp": "1700000001"}
    assert slack(late, 1_700_000_000) == "signature_invalid"
    bare = {"x-slack-signature": SLACK_HEADERS["x-slack-signature"]}
    assert slack(bare, 1_700_000_000) == "timestamp_missing"


def test_base64():
    headers = {"x-shopify-hmac-sha256": "1GxccvotnkOedTjSm8S0m/VA3yAUKshyqT52ccNYHj4="}
    assert refusal(SHOPIFY_LIKE, "shpss_test", headers, b'{"id":1}') is None
    assert refusal(SHOPIFY_LIKE, "shpss_test", headers, b'{"id":2}') == "signature_invalid"
    assert refusal(SHOPIFY_LIKE, "shpss_test", {}, b'{"id":1}') == "signature_missing"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_every_digest_and_encoding(algorithm, encoding):
    signature = Signature(
        scheme=f"hmac-{algorithm}", secrets=("k",), header="Sig", encoding=encoding
    )
    for used in ("sha1", "sha256", "sha512"):
        raw = hmac.digest(b"k", b"body", used)
        text = raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()
        wanted = None if used == algorithm else "signature_invalid"
        assert refusal(signature, "k", {"sig": text}, b"body") == wanted


def test_an_id_and_an_empty_body():
    signature = Signature(
        scheme="hmac-sha256",
        secrets=("s",),
        header="sig",
        template="{id}/{body}",
        id_header="Message-Id",
    )
    digest = hmac.digest(b"k", b"m1/", "sha256").hex()
    assert refusal(signature, "k", {"sig": digest, "message-id": "m1"}, b"") is None
    other = {"sig": digest, "message-id": "m2"}
    assert refusal(signature, "k", other, b"") == "signature_invalid"
    assert refusal(signature, "k", {"sig": digest}, b"") == "signature_missing"


def test_the_prefix_is_needed():
    signature = Signature(scheme="hmac-sha256", secrets=("s",), header="sig", prefix="x=")
    digest = hmac.digest(b"k", b"b", "sha256").hex()
    assert refusal(signature, "k", {"sig": "x=" + digest}, b"b") is None
    assert refusal(signature, "k", {"sig": digest}, b"b") == "signature_invalid"


def test_the_tolerance_is_the_described_one():
    signature = Signature(
        scheme="hmac-sha256",
        secrets=("s",),
        header="sig",
        template="{timestamp}{body}",
        timestamp_header="at",
        tolerance_s=10,
    )
    digest = hmac.digest(b"k", b"%db" % NOW_S, "sha256").hex()
    headers = {"sig": digest, "at": str(NOW_S)}
    assert refusal(signature, "k", headers, b"b", NOW_S + 10) is None
    assert refusal(signature, "k", headers, b"b", NOW_S + 11) == "timestamp_too_old"


@pytest.mark.parametrize(
    ("template", "sent", "forged"),
    [
        ("{id}.{body}", ("m1", b'"a.b"'), ('m1."a', b'b"')),
        ("{timestamp}.{id}.{body}", ("m1", b'"a.b"'), ('m1."a', b'b"')),
        ("{id}..{body}", ("m1", b"..x"), ("m1..", b"x")),
        ("{body}.{id}", ("m1", b'"a.b"'), ('b".m1', b'"a')),
        ("{body}.{timestamp}.{id}", (f"m.{NOW_S}.1", b"x"), ("1", b"x.%d.m" % NOW_S)),
    ],
)
def test_a_signature_fits_one_request(template, sent, forged):
    """An id that could be cut elsewhere is refused: the rest of a body would be genuine too."""
    has_timestamp = "{timestamp}" in template
    signature = Signature(
        scheme="hmac-sha256",
        secrets=("s",),
        header="sig",
        template=template,
        id_header="id",
        timestamp_header="at" if has_timestamp else None,
    )

    def signed(message_id, body):
        text = template.format(id=message_id, timestamp=NOW_S, body=body.decode())
        return text.encode()

    assert signed(*sent) == signed(*forged)
    digest = hmac.digest(b"k", signed(*sent), "sha256").hex()
    answers = [
        refusal(signature, "k", {"sig": digest, "id": message_id, "at": str(NOW_S)}, body)
        for message_id, body in (sent, forged)
    ]
    assert answers.count(None) == 1


def test_a_digit_of_the_body_is_none_of_the_timestamp():
    signature = Signature(
        scheme="hmac-sha256",
        secrets=("s",),
        header="sig",
        template="{body}{timestamp}",
        timestamp_header="at",
    )
    digest = hmac.digest(b"k", b"100%d" % NOW_S, "sha256").hex()
    assert refusal(signature, "k", {"sig": digest, "at": str(NOW_S)}, b"100") is None
    forged = {"sig": digest, "at": f"00{NOW_S}"}
    assert refusal(signature, "k", forged, b"1") == "timestamp_invalid"
