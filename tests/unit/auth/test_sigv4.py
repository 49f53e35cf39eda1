"""Signatures: AWS's published examples, botocore as a second opinion, and forgeries."""

import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from router.auth import sigv4
from router.auth.sigv4 import SignatureRefused

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


def published(signature):
    return {
        "Host": "example.amazonaws.com",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def check(headers, *, method="GET", path="/", query="", body=b"", now=MOMENT, secret=SECRET):
    headers = {name.lower(): value for name, value in headers.items()}
    claim = sigv4.read_claim(headers, query)
    sigv4.verify(
        claim, secret, method=method, path=path, query=query, headers=headers, body=body, now=now
    )
    return claim


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)
def test_published_examples(method, query, signature):
    claim = check(published(signature), method=method, query=query)
    assert (claim.access_key_id, claim.service) == ("AKIDEXAMPLE", "service")


def sign(signer, method, url, body, headers, *extra):
    request = AWSRequest(method, url, headers=headers, data=body)
    signer(Credentials("AKID", SECRET), "lambda", "us-east-1", *extra).add_auth(request)
    return request


TEXT = st.text(alphabet=string.ascii_letters + " +/%~*'()!:=&ä☃", max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(TEXT.filter(lambda text: text not in {"", ".", ".."}), max_size=3),
    pairs=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=3, unique_by=lambda pair: pair[0]),
    body=st.binary(max_size=40),
    header=st.text(alphabet=string.ascii_letters + "  ,", max_size=10),
)
def test_botocore_agrees(labels, pairs, body, header):
    path = "/" + "/".join(quote(label, safe="") for label in labels)
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
    url = f"http://localhost:9470{path}" + (f"?{query}" if query else "")
    request = sign(SigV4Auth, "POST", url, body, {"X-Amz-Thing": header, "Host": "localhost:9470"})
    headers = dict(request.headers.items())
    now = datetime.now(UTC)
    check(headers, method="POST", path=path, query=query, body=body, now=now)
    with pytest.raises(SignatureRefused):
        check(headers, method="POST", path=path, query=query, body=body + b"x", now=now)
    with pytest.raises(SignatureRefused):
        check(headers, method="POST", path=path + "x", query=query, body=body, now=now)
    with pytest.raises(SignatureRefused):
        check(headers, method="POST", path=path, query=query + "&x=1", body=body, now=now)


def test_presigned():
    url = "http://localhost/2015-03-31/functions?MaxItems=3"
    request = sign(SigV4QueryAuth, "GET", url, b"", {"Host": "localhost"}, 60)
    path, _, query = request.url.removeprefix("http://localhost").partition("?")
    now = datetime.now(UTC)
    assert check({"Host": "localhost"}, path=path, query=query, now=now).expires_s == 60
    with pytest.raises(SignatureRefused, match="expired"):
        check({"Host": "localhost"}, path=path, query=query, now=now + timedelta(seconds=62))


GOOD = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


@pytest.mark.parametrize("minutes", [-5.1, 5.1])
def test_clocks_may_differ_by_five_minutes(minutes):
    check(published(GOOD), now=MOMENT + timedelta(minutes=4.9))
    check(published(GOOD), now=MOMENT - timedelta(minutes=4.9))
    with pytest.raises(SignatureRefused):
        check(published(GOOD), now=MOMENT + timedelta(minutes=minutes))


def test_a_stated_body_hash_must_be_the_bodys():
    for stated in ("UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64):
        with pytest.raises(SignatureRefused, match="x-amz-content-sha256"):
            check({**published(GOOD), "X-Amz-Content-SHA256": stated})


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer x",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=x-amz-date, "
        "Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 " + "Credential=" * 10_000,
    ],
)
def test_broken_headers(authorization):
    with pytest.raises(SignatureRefused):
        sigv4.read_claim({"authorization": authorization}, "")


def test_no_claim():
    assert sigv4.read_claim({}, "a=b") is None


@pytest.mark.parametrize(
    ("date", "scope", "why"),
    [
        ("nonsense", "20150830", "must look like"),
        ("20150830T123600Z", "20150829", "not the date of the request"),
    ],
)
def test_dates_must_fit(date, scope, why, monkeypatch):
    # Signed with the right secret: only the date is wrong.
    monkeypatch.setattr(sigv4.hmac, "compare_digest", lambda _mine, _theirs: True)
    claim = sigv4.Claim("a", scope, "r", "s", ("host",), "", date)
    with pytest.raises(SignatureRefused, match=why):
        sigv4.verify(claim, "s", method="GET", path="/", query="", headers={}, body=b"", now=MOMENT)


@pytest.mark.parametrize("expires", ["", "-1", "1e3", "Ù£", "604801", "9" * 5_000])
def test_expiries_that_are_none(expires):
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={expires}"
    with pytest.raises(SignatureRefused, match="X-Amz-Expires"):
        sigv4.read_claim({}, query)


@pytest.mark.parametrize("place", ["header", "timestamp", "scope", "path", "query"])
def test_bytes_that_are_no_utf_8_are_no_error_of_ours(place):
    """As the server reads them: each character is a byte."""
    odd = {place: b"\xff".decode("latin-1")}
    scope, at = odd.get("scope", "s"), odd.get("timestamp", "20150830T123600Z")
    claim = sigv4.Claim("a", "20150830", "r", scope, ("host", "x"), "0" * 64, at)
    with pytest.raises(SignatureRefused, match="does not match"):
        sigv4.verify(
            claim,
            "s",
            method="GET",
            path="/" + odd.get("path", ""),
            query="a=" + odd.get("query", ""),
            headers={"host": "h", "x": odd.get("header", "")},
            body=b"",
            now=MOMENT,
        )
