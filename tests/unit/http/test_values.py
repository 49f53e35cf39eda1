"""Heads of responses."""

import pytest

from router.http.values import Response, render, render_open

DATE = b"date: x\r\n"


@pytest.mark.parametrize("is_own", [True, False])
def test_a_head(is_own):
    headers = (("content-type", "text/plain"), ("x-a", "ü"), ("x-empty", ""))
    response = Response(201, b"hi", headers, is_own=is_own)
    head = (
        b"HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\nx-a: \xfc\r\nx-empty: \r\n"
        b"content-length: 2\r\ndate: x\r\n\r\n"
    )
    assert render(response, DATE, has_body=True) == head + b"hi"
    assert render(response, DATE, has_body=False) == head


@pytest.mark.parametrize(("status", "line"), [(599, b"599 Unknown"), (304, b"304 Not Modified")])
def test_a_status_line(status, line):
    assert render(Response(status), DATE, has_body=True).startswith(b"HTTP/1.1 " + line + b"\r\n")


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nb", "a\0b", "\r", "\n"])
@pytest.mark.parametrize("is_name", [True, False])
def test_a_header_never_ends_its_line(bad, is_name):
    header = (bad, "v") if is_name else ("n", bad)
    response = Response(200, b"", (("a", "b"), header), is_own=True)
    with pytest.raises(ValueError, match="line break"):
        render(response, DATE, has_body=True)
    with pytest.raises(ValueError, match="line break"):
        render_open(response, DATE, -1)
