"""Requests of ours, signed as botocore signs them, and as our own listener checks them."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from router.auth import sigv4
from router.auth.aws_session import Credentials
from router.auth.sigv4_signer import PostSigner

NOW = datetime(2026, 3, 1, 12, 36, 5, tzinfo=UTC)
NOW_S = NOW.timestamp()
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


HOST = "sqs.eu-central-1.amazonaws.com"


def signer(*, token=None, path="/"):
    return PostSigner(
        Credentials("AKID", SECRET, token),
        region="eu-central-1",
        service="sqs",
        host=HOST,
        path=path,
        content_type="application/x-amz-json-1.0",
    )


def ours(body, *, now_s=NOW_S, **of):
    return signer(**of).headers("AmazonSQS.ReceiveMessage", body, now_s)


def boto(body, headers, *, token=None, path="/"):
    request = AWSRequest(
        "POST",
        f"https://{HOST}{path}",
        headers={name: headers[name] for name in ("content-type", "x-amz-target")},
        data=body,
    )
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        SigV4Auth(BotoCredentials("AKID", SECRET, token), "sqs", "eu-central-1").add_auth(request)
    return request.headers["Authorization"]


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("path", ["/", "/queue path/x"])
def test_botocore_makes_the_same_signature(token, path):
    made = ours(b'{"a":1}', token=token, path=path.replace(" ", "%20"))
    assert made["authorization"] == boto(
        b'{"a":1}', made, token=token, path=path.replace(" ", "%20")
    )
    assert made.get("x-amz-security-token") == token


@given(st.binary(max_size=200), st.integers(1_600_000_000, 3_800_000_000))
@settings(max_examples=30)
def test_what_is_signed_here_is_accepted_here(body, seconds):
    now = datetime.fromtimestamp(seconds, UTC)
    headers = {name.lower(): text for name, text in ours(body, now_s=seconds + 0.9).items()}
    claim = sigv4.read_claim(headers, "")
    assert claim is not None
    sigv4.verify(
        claim, SECRET, method="POST", path="/", query="", headers=headers, body=body, now=now
    )


def test_each_request_of_a_signer_is_signed_with_its_own_time_and_body():
    one = signer(token="a")
    for body, seconds in ((b"1", 0), (b"2", 0), (b"2", 0.5), (b"3", 1), (b"3", 90_000), (b"1", 0)):
        now_s = NOW_S + seconds
        assert one.headers("AmazonSQS.ReceiveMessage", body, now_s) == ours(
            body, token="a", now_s=now_s
        )
