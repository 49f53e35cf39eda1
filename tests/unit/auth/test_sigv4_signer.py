"""Requests of ours, signed as botocore signs them, and as our own listener checks them."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from router.auth import sigv4
from router.auth.aws_session import Credentials
from router.auth.sigv4_signer import signed_headers

NOW = datetime(2026, 3, 1, 12, 36, 5, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def ours(body, *, token=None, path="/", host="sqs.eu-central-1.amazonaws.com", now=NOW):
    return signed_headers(
        Credentials("AKID", SECRET, token),
        region="eu-central-1",
        service="sqs",
        path=path,
        headers={
            "content-type": "application/x-amz-json-1.0",
            "host": host,
            "x-amz-target": "AmazonSQS.ReceiveMessage",
        },
        body=body,
        now=now,
    )


def boto(body, headers, *, token=None, path="/"):
    request = AWSRequest(
        "POST",
        f"https://sqs.eu-central-1.amazonaws.com{path}",
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
    headers = CIMultiDict(ours(body, now=now))
    claim = sigv4.read_claim(headers, "")
    assert claim is not None
    sigv4.verify(
        claim, SECRET, method="POST", path="/", query="", headers=headers, body=body, now=now
    )
