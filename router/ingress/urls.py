"""Functions' URLs at the listener: which request is for one, and its way there and back.

A URL is told by its host name, `<id>.lambda-url.<region>.<domain>`, or by its path,
`/lambda-url/<id>/…`, for hosts without such names. What a request may do, and what becomes of it,
is decided where functions are run (`url_service.py`).
"""

import asyncio
from collections.abc import Callable
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
from router.ingress.url_calls import Inflow, OnAnswer
from router.model.function_url import HOST_MARK, ID_LENGTH, PATH_START, UrlAnswer, UrlCall
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


def _count_refused(reason: str) -> None:
    metrics.INGRESS_REFUSED.labels(reason).inc()


def _too_large() -> Refusal:
    return TOO_LARGE


POLICY: Final = BodyPolicy(EVENT_BYTES_MAX, _count_refused, _too_large)


class Caller(Protocol):
    """The way to what answers."""

    def call(self, call: UrlCall, on_answer: OnAnswer) -> None:
        """Hand a request over. Its answer comes once, later than this returns."""


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
        return POLICY

    def on_request(self, request: Request) -> "Response | Asked":
        """As `Handler.on_request`."""
        if self._is_draining:  # the body came later; nothing has begun
            metrics.INGRESS_REFUSED.labels("draining").inc()
            return DRAINING
        head = request.head
        path = head.path
        url_id, rest = place_of(head)
        prefix = path[: len(path) - len(rest)] if path != rest else ""
        headers, query = head.headers, head.query
        asked = Asked(self._over)
        self._caller.call(
            UrlCall(0, url_id, head.method, rest, prefix, query, headers, head.peer, request.body),
            asked.hear,
        )
        self._calls += 1
        return asked

    def _over(self, _future: Any = None) -> None:
        self._calls -= 1


class Asked:
    """A request that is with its function: the server's `Pending`, and what that waits for.

    Who cancels it waits no longer; the function runs on.
    """

    wait_s = ANSWER_S_MAX
    ends_with_client = False
    __slots__ = ("_answer", "_inflow", "_is_cancelled", "_on_done", "_over")

    def __init__(self, over: Callable[..., None]) -> None:
        """`over`: called when nothing is held for the request any more."""
        self._over = over
        self._on_done: Callable[[Asked], object] | None = None
        self._answer: UrlAnswer | None = None
        self._inflow: Inflow | None = None
        self._is_cancelled = False

    def watch(self, done: "Callable[[Asked], object]") -> None:
        """See `Pending.watch`."""
        self._on_done = done

    def cancel(self) -> None:
        """See `Pending.cancel`."""
        if self._answer is not None or self._is_cancelled:
            return
        self._is_cancelled = True
        self._over()
        if self._on_done is not None:
            asyncio.get_running_loop().call_soon(self._on_done, self)

    def hear(self, answer: UrlAnswer, inflow: Inflow | None) -> None:
        """The answer is here, and the client has it when this returns: no turn of the loop more."""
        if self._is_cancelled:
            if inflow is not None:
                inflow.leave()
            return
        self._answer, self._inflow = answer, inflow
        if inflow is None:
            self._over()
        else:
            inflow.over.add_done_callback(self._over)
        if self._on_done is not None:
            self._on_done(self)

    def response(self) -> Response | Streamed:
        """The function's answer."""
        answer, inflow = self._answer, self._inflow
        if answer is None:
            raise asyncio.CancelledError
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
