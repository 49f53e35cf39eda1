"""Functions' URLs at the listener: which request is for one, and its way there and back.

A URL is told by its host name, `<id>.lambda-url.<region>.<domain>`, or by its path,
`/lambda-url/<id>/…`, for hosts without such names. What a request may do, and what becomes of it,
is decided where functions are run (`url_service.py`).
"""

import asyncio
from typing import Any, Final, Protocol

from router.http.values import (
    BodyPolicy,
    Head,
    Refusal,
    Request,
    Response,
    Streamed,
    json_response,
)
from router.ingress.refusals import DRAINING, OVERLOADED
from router.ingress.url_calls import Answered
from router.model.function_url import HOST_MARK, ID_LENGTH, PATH_START, UrlCall
from router.model.limits import EVENT_BYTES_MAX, TIMEOUT_S_MAX
from router.telemetry import metrics

CALLS_MAX: Final = 4_096
"""Requests that may be with functions at a time; each takes room for its body and its answer."""

ANSWER_S_MAX: Final = TIMEOUT_S_MAX + 60.0
"""A function may take its time, and a cold start before it."""

TOO_LARGE: Final = Refusal(
    "body_too_large",
    json_response(
        413,
        {
            "Message": f"Request must be smaller than {EVENT_BYTES_MAX} bytes for the "
            "InvokeFunction operation"
        },
        (
            ("content-type", "application/json"),
            ("x-amzn-errortype", "RequestEntityTooLargeException"),
        ),
    ),
)


class Caller(Protocol):
    """The way to what answers."""

    def call(self, call: UrlCall) -> "asyncio.Future[Answered]":
        """Hand a request over. Who cancels the future waits no longer; the function runs on."""


class UrlIngress:
    """A handler of the listener."""

    def __init__(self, caller: Caller, calls_max: int = CALLS_MAX) -> None:
        self._caller = caller
        self._calls_max = calls_max
        self._calls = 0
        self._is_draining = False

    def drain(self) -> None:
        """Refuse new requests from now on; those under way are finished."""
        self._is_draining = True

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """As `Handler.on_head`."""
        del head
        if self._is_draining:
            metrics.INGRESS_REFUSED.labels("draining").inc()
            return DRAINING
        if self._calls >= self._calls_max:
            metrics.INGRESS_REFUSED.labels("overloaded").inc()
            return OVERLOADED
        return BodyPolicy(EVENT_BYTES_MAX, _count_refused, TOO_LARGE)

    def on_request(self, request: Request) -> "Asked":
        """As `Handler.on_request`."""
        head = request.head
        url_id, path = place_of(head)
        call = UrlCall(
            number=0,
            url_id=url_id,
            method=head.method,
            path=path,
            prefix=head.path[: len(head.path) - len(path)] if head.path != path else "",
            query=head.query,
            headers=head.headers,
            peer=head.peer,
            body=bytes(request.body),
        )
        future = self._caller.call(call)
        self._calls += 1
        future.add_done_callback(self._answered)
        return Asked(future)

    def _answered(self, future: "asyncio.Future[Answered]") -> None:
        inflow = None if future.cancelled() else future.result()[1]
        if inflow is None:
            self._over(future)
        else:
            inflow.over.add_done_callback(self._over)

    def _over(self, _future: "asyncio.Future[Any]") -> None:
        self._calls -= 1


class Asked:
    """A request that is with its function: the server's `Pending`."""

    wait_s = ANSWER_S_MAX
    __slots__ = ("future",)

    def __init__(self, future: "asyncio.Future[Answered]") -> None:
        self.future = future

    def response(self) -> Response | Streamed:
        """The function's answer."""
        answer, inflow = self.future.result()
        head = Response(answer.status, answer.body, tuple(answer.headers), is_own=True)
        return head if inflow is None else Streamed(head, inflow, ANSWER_S_MAX)


def is_url(head: Head) -> bool:
    """Whether a request is for a function's URL, known or not."""
    host = head.headers.get("host", "")
    return host.startswith(HOST_MARK, ID_LENGTH) or head.path.startswith(PATH_START)


def place_of(head: Head) -> tuple[str, str]:
    """Id and path of a request that `is_url`; the path begins with a slash."""
    host = head.headers.get("host", "")
    if host.startswith(HOST_MARK, ID_LENGTH):
        return host[:ID_LENGTH].lower(), head.path
    url_id, _, path = head.path.removeprefix(PATH_START).partition("/")
    return url_id, f"/{path}"


def _count_refused(reason: str) -> None:
    metrics.INGRESS_REFUSED.labels(reason).inc()
