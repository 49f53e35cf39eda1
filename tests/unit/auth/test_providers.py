"""GitHub, Shopify, Slack and Stripe against the vectors of `bus-http-and-schedules.md` 4.1."""

import hmac

import pytest

from router.auth.providers import Stripe
from router.auth.signing import Keyed
from router.auth.webhooks import scheme_for
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

NOW_S = 1_700_000_000
GITHUB_KEY = "It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
STRIPE_BODY = b'{"id":"evt_1"}'
STRIPE_V1 = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
SLACK_BODY = b'{"type":"event_callback"}'
SLACK_SIGNATURE = "v0=3a33e0df22a950947c8bb305b6b72aeb07c4107d6b1e7b1c30dfa407564ec800"
SLACK_HEADERS = {
    "x-slack-signature": SLACK_SIGNATURE,
    "x-slack-request-timestamp": str(NOW_S),
}
SHOPIFY_BODY = b'{"id":1}'
SHOPIFY_SIGNATURE = "1GxccvotnkOedTjSm8S0m/VA3yAUKshyqT52ccNYHj4="

VECTORS = {
    "github": (GITHUB_KEY, GITHUB_BODY, {"x-hub-signature-256": GITHUB_SIGNATURE}),
    "stripe": ("whsec_test", STRIPE_BODY, {"stripe-signature": f"t={NOW_S},v1={STRIPE_V1}"}),
    "slack": ("slack_secret", SLACK_BODY, SLACK_HEADERS),
    "shopify": ("shpss_test", SHOPIFY_BODY, {"x-shopify-hmac-sha256": SHOPIFY_SIGNATURE}),
}


def refusal(scheme, headers, body, now_s=NOW_S, secrets=None):
    secrets = secrets or (VECTORS[scheme][0],)
    signature = Signature(scheme=scheme, secrets=secrets)
    return scheme_for(signature, secrets).refusal(Head(headers), body, now_s)


def stripe(given, now_s=NOW_S, body=STRIPE_BODY):
    return refusal("stripe", {"stripe-signature": given}, body, now_s)


def hex_of(key, signed):
    return hmac.digest(key.encode(), signed, "sha256").hex()


@pytest.mark.parametrize("scheme", VECTORS)
def test_vectors(scheme):
    _, body, headers = VECTORS[scheme]
    assert refusal(scheme, headers, body) is None


@pytest.mark.parametrize("scheme", VECTORS)
def test_any_wrong_body_byte_is_refused(scheme):
    _, body, headers = VECTORS[scheme]
    for index in range(len(body)):
        wrong = bytearray(body)
        wrong[index] ^= 1
        assert refusal(scheme, headers, bytes(wrong)) == "signature_invalid"
    assert refusal(scheme, headers, body + b"\n") == "signature_invalid"
    assert refusal(scheme, headers, b"") == "signature_invalid"


@pytest.mark.parametrize("scheme", VECTORS)
def test_any_of_two_live_secrets_matches_in_either_order(scheme):
    key, body, headers = VECTORS[scheme]
    assert refusal(scheme, headers, body, secrets=("new", key)) is None
    assert refusal(scheme, headers, body, secrets=(key, "new")) is None
    assert refusal(scheme, headers, body, secrets=("new", "newer")) == "signature_invalid"


@pytest.mark.parametrize("scheme", VECTORS)
def test_every_header_is_needed(scheme):
    _, body, headers = VECTORS[scheme]
    for name in headers:
        rest = {key: value for key, value in headers.items() if key != name}
        reason = "timestamp_missing" if "timestamp" in name else "signature_missing"
        assert refusal(scheme, rest, body) == reason


@pytest.mark.parametrize("scheme", ["github", "slack", "shopify"])
def test_a_repeated_signature_header_is_no_signature(scheme):
    """Repeated headers come joined by commas."""
    _, body, headers = VECTORS[scheme]
    twice = {
        name: f"{value},{value}" if "timestamp" not in name else value
        for name, value in headers.items()
    }
    assert refusal(scheme, twice, body) == "signature_invalid"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        GITHUB_SIGNATURE[7:],
        GITHUB_SIGNATURE[:-1],
        GITHUB_SIGNATURE + "0",
        "sha1=" + GITHUB_SIGNATURE[7:],
        "sha256=é\xff",
    ],
)
def test_github_refuses_what_is_not_exactly_the_digest(given):
    headers = {"x-hub-signature-256": given}
    assert refusal("github", headers, GITHUB_BODY) == "signature_invalid"


def test_github_accepts_upper_case_digits():
    headers = {"x-hub-signature-256": "sha256=" + GITHUB_SIGNATURE[7:].upper()}
    assert refusal("github", headers, GITHUB_BODY) is None


def test_github_s_legacy_header_is_no_signature():
    assert refusal("github", {"x-hub-signature": "sha1=00"}, GITHUB_BODY) == "signature_missing"


@pytest.mark.parametrize(
    "given",
    ["", SHOPIFY_SIGNATURE[:-1], SHOPIFY_SIGNATURE.swapcase(), SHOPIFY_SIGNATURE + " ", "é"],
)
def test_shopify_refuses_what_is_not_exactly_the_digest(given):
    headers = {"x-shopify-hmac-sha256": given}
    assert refusal("shopify", headers, SHOPIFY_BODY) == "signature_invalid"


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
def test_slack_replay_outside_the_tolerance(offset_s, reason):
    assert refusal("slack", SLACK_HEADERS, SLACK_BODY, NOW_S + offset_s) == reason


def test_slack_signs_the_timestamp():
    late = {**SLACK_HEADERS, "x-slack-request-timestamp": str(NOW_S + 1)}
    assert refusal("slack", late, SLACK_BODY) == "signature_invalid"


@pytest.mark.parametrize("given", [SLACK_SIGNATURE[3:], "v1=" + SLACK_SIGNATURE[3:], "v0=", ""])
def test_slack_signatures_of_another_form(given):
    headers = {**SLACK_HEADERS, "x-slack-signature": given}
    assert refusal("slack", headers, SLACK_BODY) == "signature_invalid"


def test_stripe_refuses_only_the_past():
    """As Stripe's own libraries: a clock of ours that is slow must not lose events."""
    given = f"t={NOW_S},v1={STRIPE_V1}"
    assert stripe(given, NOW_S + 300) is None
    assert stripe(given, NOW_S + 301) == "timestamp_too_old"
    assert stripe(given, NOW_S - 86_400) is None


def test_stripe_any_v1_may_match():
    """Two while a secret is rolled; v0 and unknown versions never count."""
    assert stripe(f"t={NOW_S},v1={'0' * 64},v1={STRIPE_V1}") is None
    assert stripe(f"t={NOW_S},v1={STRIPE_V1},v1={'0' * 64},v0=x") is None
    assert stripe(f"t={NOW_S},v0={STRIPE_V1}") == "signature_missing"
    assert stripe(f"t={NOW_S},v0={STRIPE_V1},v1={'0' * 64}") == "signature_invalid"
    assert stripe(f"v1={STRIPE_V1}, t={NOW_S}") is None


def test_stripe_looks_at_a_bounded_number_of_signatures():
    assert stripe(f"t={NOW_S}," + "v1=00," * 15 + f"v1={STRIPE_V1}") == "signature_invalid"
    assert stripe(f"t={NOW_S}," + "v1=00," * 14 + f"v1={STRIPE_V1}") is None


def test_stripe_makes_one_digest_for_a_key_however_many_signatures_come():
    """Or one unsigned request with a large body holds up all others."""

    class Counted(Keyed):
        signed = 0

        def sign(self, signed):
            Counted.signed += 1
            return super().sign(signed)

    scheme = Stripe(["one", "two"], 300)
    scheme._keys = [Counted(b"one"), Counted(b"two")]
    head = Head({"stripe-signature": f"t={NOW_S}," + "v1=00," * 14 + "v1=11"})
    assert scheme.refusal(head, b"{}", NOW_S) == "signature_invalid"
    assert Counted.signed == 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (f"v1={STRIPE_V1}", "timestamp_missing"),
        (f"t=,v1={STRIPE_V1}", "timestamp_missing"),
        (f"t=now,v1={STRIPE_V1}", "timestamp_invalid"),
        (f"t={NOW_S},t={NOW_S},v1={STRIPE_V1}", "timestamp_invalid"),
        (f"t={NOW_S}", "signature_missing"),
        (f"t={NOW_S + 1},v1={STRIPE_V1}", "signature_invalid"),
        ("", "timestamp_missing"),
    ],
)
def test_stripe_headers_of_another_form(given, reason):
    assert stripe(given) == reason


def test_the_whole_stripe_secret_is_the_key():
    """`whsec_` is part of it, unlike with Standard Webhooks."""
    signed = f"{NOW_S}.".encode() + STRIPE_BODY
    assert stripe(f"t={NOW_S},v1={hex_of('whsec_test', signed)}") is None
    assert stripe(f"t={NOW_S},v1={hex_of('test', signed)}") == "signature_invalid"
