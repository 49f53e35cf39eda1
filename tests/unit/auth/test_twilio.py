"""Twilio against the vector of `bus-http-and-schedules.md` 4.1, and what it must not accept."""

import base64
import hashlib
import hmac
from urllib.parse import urlencode

import pytest

from router.auth.webhooks import scheme_for, signature_problems
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php"
QUERY = "foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
VECTOR = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
FORM = "application/x-www-form-urlencoded"


def refusal(
    given, body=None, *, query=QUERY, url=URL, kind=FORM, tokens=(TOKEN,), path="/hook", **more
):
    signature = Signature(scheme="twilio", secrets=tokens, public_url=url)
    headers = {"content-type": kind, **more}
    if given is not None:
        headers["x-twilio-signature"] = given
    body = urlencode(FIELDS).encode() if body is None else body
    return scheme_for(signature, tokens).refusal(Head(headers, path, query), body, 0)


def sign(text, algorithm="sha1", token=TOKEN):
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), algorithm)).decode()


def test_vector():
    assert refusal(VECTOR) is None


def test_the_order_of_the_fields_on_the_wire_means_nothing():
    body = urlencode(dict(reversed(FIELDS.items()))).encode()
    assert refusal(VECTOR, body) is None


@pytest.mark.parametrize("index", range(0, 97, 4))
def test_any_wrong_body_byte_is_refused(index):
    body = bytearray(urlencode(FIELDS).encode())
    body[index] ^= 1
    assert refusal(VECTOR, bytes(body)) == "signature_invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"query": "foo=1&bar=3"},
        {"query": ""},
        {"url": "https://mycompany.com/other"},
        {"url": "http://mycompany.com/myapp.php"},
        {"tokens": ("54321",)},
        {"kind": "text/plain"},
        {"given": VECTOR.lower()},
        {"given": f"{VECTOR},{VECTOR}"},
        {"given": "\xff"},
    ],
)
def test_what_is_not_exactly_what_was_signed(change):
    reason = "body_unsigned" if "kind" in change else "signature_invalid"
    assert refusal(**{"given": VECTOR, **change}) == reason


def test_without_signature():
    assert refusal(None) == "signature_missing"
    assert refusal("") == "signature_missing"


def test_any_of_two_live_tokens_matches():
    assert refusal(VECTOR, tokens=("new", TOKEN)) is None
    assert refusal(VECTOR, tokens=(TOKEN, "new")) is None


@pytest.mark.parametrize("url", ["https://a.example/x", "https://a.example:443/x"])
@pytest.mark.parametrize("signed", ["https://a.example/x", "https://a.example:443/x"])
def test_the_port_of_the_scheme_may_be_there_or_not(url, signed):
    assert refusal(sign(signed), b"", query="", url=url) is None


def test_a_port_of_one_s_own():
    for signed in ("http://a.example:8080/x", "http://a.example/x"):
        assert refusal(sign(signed), b"", query="", url="http://a.example:8080/x") is None
    other = sign("http://a.example:80/x")
    assert refusal(other, b"", query="", url="http://a.example:8080/x") == "signature_invalid"
    assert refusal(sign("http://[::1]:80/x"), b"", query="", url="http://[::1]/x") is None


def test_a_public_url_without_a_path_gets_the_request_s():
    given = sign("https://a.example/hook?q=%20")
    assert refusal(given, b"", query="q=%20", url="https://a.example") is None
    assert refusal(given, b"", query="q=%20", url="https://a.example", path="/x") is not None


def test_repeated_and_empty_fields():
    """Every name and value once, sorted; an empty value counts."""
    body = b"b=2&a=y&a=x&a=x&c="
    assert refusal(sign(URL + "axayb2c"), body, query="") is None


def test_fields_are_utf_8():
    assert refusal(sign(URL + "Bodyé €"), b"Body=%C3%A9+%E2%82%AC", query="") is None


@pytest.mark.parametrize(
    "body", [b"a=%ff", b"a=\xc3\xa9", b"&".join([b"a=1"] * 1_001), b"a=" + b"&" * 300_000]
)
def test_forms_nobody_could_have_signed(body):
    assert refusal(sign(URL + "a"), body, query="") == "signature_invalid"


def test_a_json_body_counts_by_its_digest_in_the_url():
    body = b'{"a": 1}'
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    given = sign(f"{URL}?{query}")
    assert refusal(given, body, query=query, kind="application/json") is None
    assert refusal(given, b'{"a": 2}', query=query, kind="application/json") == "signature_invalid"
    bare = refusal(sign(URL), body, query="", kind="application/json")
    assert bare == "body_unsigned"


def test_a_signed_url_does_not_make_another_body_genuine():
    """Neither by calling JSON a form, nor by a second digest."""
    body = b'{"a": 1}'
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    given = sign(f"{URL}?{query}")
    assert refusal(given, b"", query=query) == "signature_invalid"
    twice = f"{query}&bodySHA256={hashlib.sha256(b'x').hexdigest()}"
    assert refusal(sign(f"{URL}?{twice}"), b"x", query=twice, kind="") == "signature_invalid"


def test_the_settings_header_chooses_sha_256():
    given = sign(URL + "a1", "sha256")
    setting = {"x-twilio-webhooks-signature-settings": "key=k1,algorithm=HMAC_SHA256"}
    assert refusal(given, b"a=1", query="", **setting) is None
    assert refusal(given, b"a=1", query="") == "signature_invalid"
    legacy = sign(URL + "a1")
    assert refusal(legacy, b"a=1", query="", **setting) == "signature_invalid"


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "a.example/x",
        "ftp://a.example/x",
        "https://u:p@a.example/x",
        "https://a.example/x?q=1",
        "https://a.example/x#rc=2",
        "https://a.example:0/x",
        "https://a.example:99999/x",
        "https://a.example/é",
        "https:///x",
    ],
)
def test_urls_that_nobody_could_sign(url):
    signature = Signature(scheme="twilio", secrets=("t",), public_url=url)
    assert [problem.option for problem in signature_problems(signature, None)] == ["PublicUrl"]
