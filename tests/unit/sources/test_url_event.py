"""Payload format 2.0, member by member."""

import base64
import json

import pytest

from router.model.function_url import UrlCall
from router.sources.url_event import Signer, url_event

ID = "a" * 32


def event(signer=None, **members):
    call = UrlCall(
        **{
            "number": 1, "url_id": ID, "method": "POST", "path": "/my%20path", "prefix": "",
            "query": "", "headers": {"host": "h:8080"}, "peer": "1.2.3.4", "body": b"", **members,
        }
    )  # fmt: skip
    return json.loads(
        url_event(
            call, domain="h", request_id="r", trace_id="Root=1", port=8080,
            wall_ms=1_583_348_638_390, signer=signer,
        )
    )  # fmt: skip


def test_a_request_in_full():
    made = event(
        query="a=1&a=2&b=&c=%C3%BC+x",
        headers={
            "host": "h:8080", "user-agent": "curl/8.5", "x-two": "1,2", "cookie": "c1=v1; c2=v2",
            "connection": "keep-alive", "content-type": "application/json",
        },
        body=b'{"a":1}',
    )  # fmt: skip
    assert made["version"] == "2.0"
    assert made["routeKey"] == "$default"
    assert made["rawPath"] == "/my%20path"
    assert made["rawQueryString"] == "a=1&a=2&b=&c=%C3%BC+x"
    assert made["queryStringParameters"] == {"a": "1,2", "b": "", "c": "ü x"}
    assert made["cookies"] == ["c1=v1", "c2=v2"]
    assert made["headers"]["x-two"] == "1,2"
    assert "connection" not in made["headers"]
    assert made["headers"]["x-forwarded-for"] == "1.2.3.4"
    assert made["headers"]["x-forwarded-proto"] == "http"
    assert made["headers"]["x-forwarded-port"] == "8080"
    assert made["headers"]["x-amzn-trace-id"] == "Root=1"
    assert (made["body"], made["isBase64Encoded"]) == ('{"a":1}', False)
    assert made["requestContext"] == {
        "accountId": "anonymous",
        "apiId": ID,
        "authentication": None,
        "domainName": "h",
        "domainPrefix": ID,
        "http": {
            "method": "POST",
            "path": "/my%20path",
            "protocol": "HTTP/1.1",
            "sourceIp": "1.2.3.4",
            "userAgent": "curl/8.5",
        },
        "requestId": "r",
        "routeKey": "$default",
        "stage": "$default",
        "time": "04/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1_583_348_638_390,
    }


def test_what_is_not_there_is_left_out():
    made = event(method="GET")
    assert not {"body", "cookies", "queryStringParameters"} & set(made)
    assert made["rawQueryString"] == ""
    assert made["isBase64Encoded"] is False


def test_who_signed():
    made = event(Signer("AKIA", "000000000000", "arn:aws:iam::000000000000:user/u"))
    context = made["requestContext"]
    assert context["accountId"] == "000000000000"
    assert context["authorizer"]["iam"]["accessKey"] == "AKIA"
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:user/u"


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/plain; charset=utf-8", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/xml", True),
        ("image/svg+xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", True),
        ("multipart/form-data; boundary=x", False),
        ("application/octet-stream", False),
        ("image/png", False),
        (None, False),
    ],
)
def test_what_is_text(content_type, is_text):
    headers = {"host": "h"} | ({"content-type": content_type} if content_type else {})
    made = event(headers=headers, body="ü".encode())
    assert made["isBase64Encoded"] is not is_text
    assert made["body"] == ("ü" if is_text else base64.b64encode("ü".encode()).decode())


def test_text_that_is_none():
    made = event(headers={"host": "h", "content-type": "text/plain"}, body=b"\xff")
    assert (made["body"], made["isBase64Encoded"]) == ("/w==", True)


def test_a_proxy_before_us_is_named_first():
    made = event(headers={"host": "h", "x-forwarded-for": "9.9.9.9", "x-forwarded-proto": "https"})
    assert made["headers"]["x-forwarded-for"] == "9.9.9.9, 1.2.3.4"
    assert made["headers"]["x-forwarded-proto"] == "https"
