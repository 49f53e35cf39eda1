"""The kinds of replies a client of a function's URL may get (section 16, line 12)."""

import json

import pytest

from router.outcomes.http_reply import http_reply, plain_head, prelude_head

JSON = ("content-type", "application/json")


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"hello": "world"}, b'{"hello":"world"}'),
        (["hello", 3, True], b'["hello",3,true]'),
        ("hello", b"hello"),
        (3, b"3"),
        (None, b"null"),
        ({"statuscode": 200}, b'{"statuscode":200}'),
    ],
)
def test_anything_without_a_status_is_the_body(value, body):
    """Recorded: compact JSON of 17 and 16 bytes, and a string of 5 without quotes."""
    reply = http_reply(json.dumps(value).encode())
    assert (reply.status, reply.headers, reply.body) == (200, (JSON,), body)


@pytest.mark.parametrize("depth", [254, 255, 900, 1_024, 5_000])
def test_however_deep_a_value_nests_it_is_the_body(depth):
    value = b"[" * depth + b"]" * depth
    assert http_reply(value).body == value
    assert http_reply(b'{"a":%b}' % value).body == b'{"a":%b}' % value


def test_numbers_stay_as_they_are_written():
    value = b"[123456789012345678901234567890,1.50,1e2]"
    assert http_reply(value.replace(b",", b" , ")).body == value


def test_a_header_that_nests_too_deep_cannot_be_sent():
    nested = b"[" * 300 + b"]" * 300
    assert http_reply(b'{"statusCode":200,"headers":{"a":%b}}' % nested) is None
    assert prelude_head(b'{"statusCode":200,"headers":{"a":%b}}' % nested) is None


def test_a_response_in_full():
    reply = http_reply(
        json.dumps(
            {
                "statusCode": "418",
                "headers": {"X-One": "1", "Content-Type": "text/plain", "X-Number": 7},
                "cookies": ["a=1; Secure", "b=2"],
                "body": "aGVsbG8=",
                "isBase64Encoded": True,
            }
        ).encode()
    )
    assert reply.status == 418
    assert reply.body == b"hello"
    assert reply.headers == (
        ("x-one", "1"),
        ("content-type", "text/plain"),
        ("x-number", "7"),
        ("set-cookie", "a=1; Secure"),
        ("set-cookie", "b=2"),
    )


def test_a_response_with_little_in_it():
    reply = http_reply(b'{"statusCode": 204}')
    assert (reply.status, reply.headers, reply.body) == (204, (JSON,), b"")
    assert http_reply(b'{"statusCode": 200.0, "body": "x"}').status == 200


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": "ok"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 199},
        {"statusCode": 600},
        {"statusCode": 200.5},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a b": "1"}},
        {"statusCode": 200, "headers": {"a": "1\r\nset-cookie: x=1"}},
        {"statusCode": 200, "headers": {"a": "1\b"}},
        {"statusCode": 200, "cookies": ["a=\x7f"]},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": ["a=1\nb"]},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "no base64", "isBase64Encoded": True},
        {"statusCode": 200, "body": "aGVsbG8\u00e9", "isBase64Encoded": True},
    ],
)
def test_a_response_that_is_none(value):
    assert http_reply(json.dumps(value).encode()) is None


def test_headers_of_the_server_are_not_the_functions():
    reply = http_reply(
        b'{"statusCode": 200, "headers": {"Content-Length": "9", "Transfer-Encoding": "chunked",'
        b' "Connection": "close", "x": "1"}}'
    )
    assert reply.headers == (JSON, ("x", "1"))


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_has_none_whatever_the_function_says(status):
    payload = json.dumps({"statusCode": status, "body": "HTTP/1.1 200 OK\r\n\r\n"}).encode()
    assert http_reply(payload).body == b""


def test_the_head_of_a_streamed_answer():
    assert plain_head("").headers == (("content-type", "application/octet-stream"),)
    assert plain_head("text/html").headers == (("content-type", "text/html"),)
    assert plain_head("text/html\0") is None
    head = prelude_head(b'{"statusCode": 201, "cookies": ["a=1"], "headers": {"Age": 1}}')
    assert head.status == 201
    assert head.headers == (
        ("content-type", "application/octet-stream"),
        ("age", "1"),
        ("set-cookie", "a=1"),
    )
    assert prelude_head(b"{}").status == 200
    for wrong in (b"", b"[]", b'{"statusCode": 101}', b'{"headers": {"a": "\\n"}}'):
        assert prelude_head(wrong) is None


def test_what_is_no_json_is_the_body_as_it_is():
    assert http_reply(b"\xff\x00").body == b"\xff\x00"


def test_a_header_is_sent_as_utf_8():
    reply = http_reply('{"statusCode": 200, "headers": {"x": "€"}, "cookies": ["a=ü"]}'.encode())
    values = {name: text.encode("latin-1").decode() for name, text in reply.headers}
    assert (values["x"], values["set-cookie"]) == ("€", "a=ü")
