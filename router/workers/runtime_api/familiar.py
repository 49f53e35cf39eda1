"""Requests whose head is one that came before, but for an invocation's id and a length. Pure.

A runtime asks and answers in the same two heads for ever, and taking one apart is most of what its
request costs. What is remembered has been through the parser, alone and in one piece; where the id
is letters of an id and the length is digits, all the rest means what it meant then.
"""

import re
from typing import Final

from router.workers.runtime_api.requests import Head, Request

HEAD_BYTES_MAX: Final = 2 * 1024
"""Longer heads are not remembered."""

LENGTH_DIGITS_MAX: Final = 7
"""Of the length of a body that comes with its head."""

ANSWER: Final = b"POST /2018-06-01/runtime/invocation/"
_ID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID_BYTES: Final = 36
_AFTER_ID: Final = len(ANSWER) + _ID_BYTES
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,7})[ \t]*\r\n", re.IGNORECASE)
_PLAIN: Final = frozenset({"content-length", "content-type", "lambda-runtime-function-error-type"})
"""Headers that say nothing of how a body comes."""


class Familiar:
    """What one connection has asked last without a body, and how it has answered last."""

    def __init__(self) -> None:
        self._bodiless = b""
        self._request: Request | None = None
        self._middle = b""
        """Of an answer: from the id to the length …"""
        self._rest = b""
        """… and from there to the body."""
        self._answer: Head | None = None
        self._is_over = False

    def close(self) -> None:
        """Nothing more is wanted of this connection."""
        self._is_over = True

    def learn(self, data: bytes, request: Request) -> None:
        """`data` was this request, alone and complete; the connection can be used further."""
        head = request.head
        end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX) + 4
        if end < 4 or not _PLAIN.issuperset(head.headers) or request.trailers:
            return
        if end == len(data) and head.method == "GET":
            self._bodiless, self._request = data, request
        elif data.startswith(ANSWER) and _ID.fullmatch(data, len(ANSWER), _AFTER_ID):
            lengths = list(_LENGTH.finditer(data, _AFTER_ID, end))
            if len(lengths) == 1:
                first, last = lengths[0].span(1)
                self._middle, self._rest = data[_AFTER_ID:first], data[last:end]
                self._answer = head

    def recognise(self, data: bytes) -> Request | None:
        """The request that `data` is; None: the parser has to look."""
        if self._is_over:
            return None
        if data == self._bodiless:
            return self._request
        if self._answer is None or not data.startswith(ANSWER):
            return None
        if not data.startswith(self._middle, _AFTER_ID):
            return None
        first = _AFTER_ID + len(self._middle)
        last = data.find(self._rest, first, first + LENGTH_DIGITS_MAX + len(self._rest))
        digits, body = data[first:last], data[last + len(self._rest) :]
        if last <= first or not digits.isdigit() or int(digits) != len(body):
            return None
        if _ID.fullmatch(data, len(ANSWER), _AFTER_ID) is None:
            return None
        before = self._answer
        target = before.path[len(ANSWER) - len("POST ") + _ID_BYTES :]
        path = (data[len("POST ") : _AFTER_ID]).decode("ascii") + target
        headers = {**before.headers, "content-length": digits.decode("ascii")}
        return Request(Head(before.method, path, headers), body, {}, False, True)
