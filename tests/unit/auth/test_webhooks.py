"""Signature schemes against the vectors of `bus-http-and-schedules.md` 4.1."""

import base64
import hmac

import pytest

from router.auth.webhooks import MESSAGES, scheme_for
from router.model.errors import ConfigError
from router.model.webhook import Signature

NOW_S = 1_614_265_330
GITHUB = Signature(scheme="github", secrets=("s",))
GITHUB_KEY = "It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
STANDARD = Signature(scheme="standard-webhooks", secrets=("s",))
STANDARD_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
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


def github(headers, body=GITHUB_BODY, secrets=(GITHUB_KEY,)):
    return scheme_for(GITHUB, secrets).refusal(headers, body, NOW_S)


def test_github_vector():
    assert github({"x-hub-signature-256": GITHUB_SIGNATURE}) is None


def test_github_accepts_upper_case_digits():
    assert github({"x-hub-signature-256": "sha256=" + GITHUB_SIGNATURE[7:].upper()}) is None


@pytest.mark.parametrize("index", range(len(GITHUB_BODY)))
def test_github_refuses_any_wrong_body_byte(index):
    body = bytearray(GITHUB_BODY)
    body[index] ^= 1
    assert github({"x-hub-signature-256": GITHUB_SIGNATURE}, bytes(body)) == "signature_invalid"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        GITHUB_SIGNATURE[7:],
        GITHUB_SIGNATURE[:-1],
        GITHUB_SIGNATURE + "0",
        "sha1=" + GITHUB_SIGNATURE[7:],
        f"{GITHUB_SIGNATURE},{GITHUB_SIGNATURE}",
        "sha256=é\xff",
    ],
)
def test_github_refuses_what_is_not_exactly_the_digest(given):
    assert github({"x-hub-signature-256": given}) == "signature_invalid"


def test_github_without_signature():
    assert github({"x-hub-signature": "sha1=00"}) == "signature_missing"


def test_any_of_two_live_secrets_matches_in_either_order():
    headers = {"x-hub-signature-256": GITHUB_SIGNATURE}
    assert github(headers, secrets=("new", GITHUB_KEY)) is None
    assert github(headers, secrets=(GITHUB_KEY, "new")) is None
    assert github(headers, secrets=("new", "newer")) == "signature_invalid"


def standard(headers, now_s=NOW_S, secrets=(STANDARD_KEY,), body=STANDARD_BODY):
    return scheme_for(STANDARD, secrets).refusal(headers, body, now_s)


def test_standard_webhooks_vector():
    assert standard(STANDARD_HEADERS) is None


def test_standard_webhooks_secret_needs_neither_prefix_nor_padding():
    key = b"0123456789abcdef0123456789"
    signed = b"%b.%b.%b" % (
        STANDARD_HEADERS["webhook-id"].encode(),
        STANDARD_HEADERS["webhook-timestamp"].encode(),
        STANDARD_BODY,
    )
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {**STANDARD_HEADERS, "webhook-signature": f"v1,{digest}"}
    padded = base64.b64encode(key).decode()
    assert padded.endswith("=")
    assert standard(headers, secrets=(padded,)) is None
    assert standard(headers, secrets=("whsec_" + padded.rstrip("="),)) is None


def test_standard_webhooks_finds_its_signature_among_others():
    good = STANDARD_HEADERS["webhook-signature"]
    given = f"v1a,Zm9v v1,Zm9v {good}"
    assert standard({**STANDARD_HEADERS, "webhook-signature": given}) is None


def test_standard_webhooks_looks_at_a_bounded_number_of_signatures():
    good = STANDARD_HEADERS["webhook-signature"]
    given = "v1,Zm9v " * 16 + good
    assert standard({**STANDARD_HEADERS, "webhook-signature": given}) == "signature_invalid"


@pytest.mark.parametrize("version", ["v1a", "v2", "V1", ""])
def test_standard_webhooks_other_versions_do_not_count(version):
    digest = STANDARD_HEADERS["webhook-signature"][3:]
    given = {**STANDARD_HEADERS, "webhook-signature": f"{version},{digest}"}
    assert standard(given) == "signature_invalid"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("webhook-id", "signature_missing"),
        ("webhook-signature", "signature_missing"),
        ("webhook-timestamp", "timestamp_missing"),
    ],
)
def test_standard_webhooks_headers_are_all_needed(name, reason):
    headers = {key: value for key, value in STANDARD_HEADERS.items() if key != name}
    assert standard(headers) == reason
    assert standard({**headers, name: ""}) == reason


@pytest.mark.parametrize(
    ("offset_s", "reason"),
    [
        (300, None),
        (301, "timestamp_too_old"),
        (86_400, "timestamp_too_old"),
        (-300, None),
        (-301, "timestamp_too_new"),
    ],
)
def test_standard_webhooks_replay_outside_the_tolerance(offset_s, reason):
    assert standard(STANDARD_HEADERS, NOW_S + offset_s) == reason


@pytest.mark.parametrize("text", ["now", "1614265330.0", "-1", "+1614265330", "1" * 13, "١٢"])
def test_a_timestamp_is_a_plain_number_of_seconds(text):
    assert standard({**STANDARD_HEADERS, "webhook-timestamp": text}) == "timestamp_invalid"


def test_a_dot_in_the_id_cannot_move_the_boundary_of_what_is_signed():
    key = base64.b64decode(STANDARD_KEY[6:])
    body = f"{NOW_S}.tail".encode()
    digest = base64.b64encode(hmac.digest(key, b"a.1.b.%d.%b" % (NOW_S, body), "sha256")).decode()
    headers = {
        "webhook-id": "a.1.b",
        "webhook-timestamp": str(NOW_S),
        "webhook-signature": f"v1,{digest}",
    }
    assert standard(headers, body=body) == "signature_invalid"


def test_generic_signs_timestamp_and_body():
    scheme = scheme_for(SLACK_LIKE, ["slack_secret"])
    assert scheme.refusal(SLACK_HEADERS, SLACK_BODY, 1_700_000_000) is None
    assert scheme.refusal(SLACK_HEADERS, SLACK_BODY, 1_700_000_301) == "timestamp_too_old"
    assert scheme.refusal(SLACK_HEADERS, SLACK_BODY, 1_699_999_699) == "timestamp_too_new"
    late = {**SLACK_HEADERS, "x-slack-request-timestamp": "1700000001"}
    assert scheme.refusal(late, SLACK_BODY, 1_700_000_000) == "signature_invalid"
    bare = {"x-slack-signature": SLACK_HEADERS["x-slack-signature"]}
    assert scheme.refusal(bare, SLACK_BODY, 1_700_000_000) == "timestamp_missing"


def test_generic_base64():
    scheme = scheme_for(SHOPIFY_LIKE, ["shpss_test"])
    headers = {"x-shopify-hmac-sha256": "1GxccvotnkOedTjSm8S0m/VA3yAUKshyqT52ccNYHj4="}
    assert scheme.refusal(headers, b'{"id":1}', NOW_S) is None
    assert scheme.refusal(headers, b'{"id":2}', NOW_S) == "signature_invalid"
    assert scheme.refusal({}, b'{"id":1}', NOW_S) == "signature_missing"


def test_generic_with_id_and_an_empty_body():
    signature = Signature(
        scheme="hmac-sha256",
        secrets=("s",),
        header="sig",
        template="{id}/{body}",
        id_header="Message-Id",
    )
    scheme = scheme_for(signature, ["k"])
    digest = hmac.digest(b"k", b"m1/", "sha256").hex()
    assert scheme.refusal({"sig": digest, "message-id": "m1"}, b"", NOW_S) is None
    assert scheme.refusal({"sig": digest, "message-id": "m2"}, b"", NOW_S) == "signature_invalid"
    assert scheme.refusal({"sig": digest}, b"", NOW_S) == "signature_missing"


def test_none_takes_everything():
    assert scheme_for(Signature(scheme="none"), []).refusal({}, b"x", NOW_S) is None


def test_every_reason_has_a_text():
    assert set(MESSAGES) == {
        "signature_missing",
        "signature_invalid",
        "timestamp_missing",
        "timestamp_invalid",
        "timestamp_too_old",
        "timestamp_too_new",
    }


@pytest.mark.parametrize(
    ("signature", "secrets", "text"),
    [
        (Signature(scheme="md5"), ["s"], "unknown Scheme"),
        (GITHUB, [], "needs a Secret"),
        (GITHUB, ["a", ""], "needs a Secret"),
        (STANDARD, ["whsec_!!"], "base64"),
        (STANDARD, ["whsec_"], "base64"),
        (STANDARD, ["whpk_AAAA"], "Ed25519"),
        (Signature(scheme="hmac-sha256"), ["s"], "Header is required"),
        (Signature(scheme="hmac-sha256", header="h", encoding="x"), ["s"], "Encoding"),
        (Signature(scheme="hmac-sha256", header="h", template="x"), ["s"], "{body}"),
        (
            Signature(scheme="hmac-sha256", header="h", template="{timestamp}{body}"),
            ["s"],
            "TimestampHeader",
        ),
        (Signature(scheme="hmac-sha256", header="h", template="{id}{body}"), ["s"], "IdHeader"),
        (Signature(scheme="hmac-sha256", header="h", timestamp_header="t"), ["s"], "{timestamp}"),
    ],
)
def test_what_could_never_work_is_refused_when_made(signature, secrets, text):
    with pytest.raises(ConfigError, match=text):
        scheme_for(signature, secrets)


def test_an_error_never_shows_the_secret():
    with pytest.raises(ConfigError) as caught:
        scheme_for(STANDARD, ["whsec_?canary?"])
    assert "canary" not in str(caught.value)
