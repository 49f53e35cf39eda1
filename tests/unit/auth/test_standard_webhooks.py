"""Standard Webhooks and Svix against the vector of `bus-http-and-schedules.md` 4.1."""

import base64
import hmac

import pytest

from router.auth.webhooks import scheme_for
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

NOW_S = 1_614_265_330
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
GOOD = HEADERS["webhook-signature"]


def refusal(headers, now_s=NOW_S, secrets=(KEY,), body=BODY, scheme="standard-webhooks"):
    signature = Signature(scheme=scheme, secrets=secrets)
    return scheme_for(signature, secrets).refusal(Head(headers), body, now_s)


def svix(headers):
    return {name.replace("webhook", "svix"): value for name, value in headers.items()}


def test_vector():
    assert refusal(HEADERS) is None


def test_svix_is_the_same_with_other_names():
    assert refusal(svix(HEADERS), scheme="svix") is None
    assert refusal(HEADERS, scheme="svix") == "signature_missing"
    assert refusal(svix(HEADERS)) == "signature_missing"
    assert refusal(svix(HEADERS), NOW_S + 301, scheme="svix") == "timestamp_too_old"
    assert refusal(svix(HEADERS), body=BODY + b" ", scheme="svix") == "signature_invalid"


@pytest.mark.parametrize("index", range(len(BODY)))
def test_any_wrong_body_byte_is_refused(index):
    wrong = bytearray(BODY)
    wrong[index] ^= 1
    assert refusal(HEADERS, body=bytes(wrong)) == "signature_invalid"


def test_any_of_two_live_secrets_matches_in_either_order():
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    assert refusal(HEADERS, secrets=(other, KEY)) is None
    assert refusal(HEADERS, secrets=(KEY, other)) is None
    assert refusal(HEADERS, secrets=(other,)) == "signature_invalid"


def test_the_secret_needs_neither_prefix_nor_padding():
    key = b"0123456789abcdef0123456789"
    signed = b"%b.%b.%b" % (
        HEADERS["webhook-id"].encode(),
        HEADERS["webhook-timestamp"].encode(),
        BODY,
    )
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {**HEADERS, "webhook-signature": f"v1,{digest}"}
    padded = base64.b64encode(key).decode()
    assert padded.endswith("=")
    assert refusal(headers, secrets=(padded,)) is None
    assert refusal(headers, secrets=("whsec_" + padded.rstrip("="),)) is None


def test_it_finds_its_signature_among_others():
    given = f"v1a,Zm9v v1,Zm9v {GOOD}"
    assert refusal({**HEADERS, "webhook-signature": given}) is None


def test_a_bounded_number_of_signatures_is_looked_at():
    given = "v1,Zm9v " * 16 + GOOD
    assert refusal({**HEADERS, "webhook-signature": given}) == "signature_invalid"


@pytest.mark.parametrize("version", ["v1a", "v2", "V1", ""])
def test_other_versions_do_not_count(version):
    given = {**HEADERS, "webhook-signature": f"{version},{GOOD[3:]}"}
    assert refusal(given) == "signature_invalid"


def test_a_repeated_signature_header_is_no_signature():
    assert refusal({**HEADERS, "webhook-signature": f"{GOOD},{GOOD}"}) == "signature_invalid"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("webhook-id", "signature_missing"),
        ("webhook-signature", "signature_missing"),
        ("webhook-timestamp", "timestamp_missing"),
    ],
)
def test_headers_are_all_needed(name, reason):
    headers = {key: value for key, value in HEADERS.items() if key != name}
    assert refusal(headers) == reason
    assert refusal({**headers, name: ""}) == reason


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
def test_replay_outside_the_tolerance(offset_s, reason):
    assert refusal(HEADERS, NOW_S + offset_s) == reason


@pytest.mark.parametrize("text", ["now", "1614265330.0", "-1", "+1614265330", "1" * 13, "١٢"])
def test_a_timestamp_is_a_plain_number_of_seconds(text):
    assert refusal({**HEADERS, "webhook-timestamp": text}) == "timestamp_invalid"


def test_a_dot_in_the_id_cannot_move_the_boundary_of_what_is_signed():
    key = base64.b64decode(KEY[6:])
    body = f"{NOW_S}.tail".encode()
    digest = base64.b64encode(hmac.digest(key, b"a.1.b.%d.%b" % (NOW_S, body), "sha256")).decode()
    headers = {
        "webhook-id": "a.1.b",
        "webhook-timestamp": str(NOW_S),
        "webhook-signature": f"v1,{digest}",
    }
    assert refusal(headers, body=body) == "signature_invalid"
