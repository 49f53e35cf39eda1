"""One runtime's conversation: which event it has, who waits for one, what became of it.

No I/O: connections ask by `Asker`, the environment hears by `Owner`.
"""

import base64
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import orjson

from router.model.sink import Sink
from router.outcomes.error_document import NAME_CHARACTERS_MAX, UNKNOWN, error_name
from router.outcomes.http_reply import INTEGRATION, STREAM_TYPE
from router.workers.runtime_api import answers
from router.workers.runtime_api.answers import Event
from router.workers.runtime_api.requests import Head, Request
from router.workers.runtime_api.states import (
    ERROR_RESPONSE,
    READY,
    RESPONSE,
    NotAllowed,
    Runtime,
    UnknownId,
)

TYPE_HEADER: Final = "lambda-runtime-function-error-type"
TYPE_TRAILER: Final = TYPE_HEADER
BODY_TRAILER: Final = "lambda-runtime-function-error-body"
MODE_HEADER: Final = "lambda-runtime-function-response-mode"

STREAM_TYPES: Final = frozenset({INTEGRATION, STREAM_TYPE})
"""What is streamed when it comes in chunks, though nothing says so: AWS's client for Go sends all
it has in chunks, and what is no stream as JSON."""

TYPE_KEPT: Final = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
TOO_LARGE: Final = "Function.ResponseSizeTooLarge"
TRUNCATED: Final = "Runtime.TruncatedResponse"
BAD_MODE: Final = "Runtime.InvalidResponseModeHeader"


class Asker(Protocol):
    """Who waits for an event: a connection."""

    def give(self, event: Event) -> None:
        """Send it the event."""


class Owner(Protocol):
    """Who is told: the environment."""

    def on_ready(self) -> None:
        """The runtime has asked for an event and has none."""

    def on_init_error(self, error_type: str, document: bytes) -> None:
        """It could not start."""

    def on_answer(self, error_type: str | None, payload: bytes) -> None:
        """It has answered, once for each event."""


class Session:
    """What one runtime has said so far."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._runtime = Runtime()
        self._askers: deque[Asker] = deque()
        self._offered: Event | None = None
        self._current: Event | None = None
        self._is_streamed = False
        """The answer that comes, or came last, is passed on."""

    @property
    def is_ready(self) -> bool:
        """Whether it waits for an event."""
        return self._runtime.state == READY and self._offered is None

    @property
    def current_id(self) -> str:
        """The invocation it has or had last; empty when it has asked for more since."""
        return self._runtime.request_id

    def offer(self, event: Event) -> None:
        """Give it an event now, or as soon as it asks."""
        self._offered = event
        self._hand_out()

    # What the connections bring.

    def ask(self, asker: Asker) -> bytes | None:
        """`next`: the refusal, or None when the event is or will be given."""
        try:
            has_one = self._runtime.ask()
        except NotAllowed as error:
            return answers.not_allowed(error)
        if has_one and self._current is not None:
            asker.give(self._current)
            return None
        self._current = None
        self._askers.append(asker)
        if self._offered is None:
            self._owner.on_ready()
        self._hand_out()
        return None

    def forget(self, asker: Asker) -> None:
        """A connection is gone."""
        if asker in self._askers:
            self._askers.remove(asker)

    def begin_answer(self, request_id: str, head: Head, *, is_error: bool) -> bytes | None:
        """The head of an answer has come: the refusal, or None when its body is wanted."""
        try:
            self._runtime.begin_answer(request_id, is_error=is_error)
        except UnknownId:
            return answers.UNKNOWN_ID
        except NotAllowed as error:
            return answers.not_allowed(error)
        mode = head.headers.get(MODE_HEADER, "")
        if mode not in {"", "streaming"} and not is_error:
            self._end(BAD_MODE, self._document(BAD_MODE, "Invalid function response mode"))
            return answers.UNKNOWN_MODE
        return None

    def begin_stream(self, head: Head, on_room: Callable[[], None]) -> Sink | None:
        """Where the body of the answer that has begun goes; None: it is to be kept.

        A runtime that sends its answer in chunks does not stream unless it says so, or sends one
        of `STREAM_TYPES`.
        """
        sink = self._current.sink if self._current is not None else None
        self._is_streamed = sink is not None and _is_stream(head)
        if sink is None or not self._is_streamed:
            return None
        sink.begin(head.headers.get("content-type", ""), on_room)
        return sink

    def end_answer(self, request: Request, *, is_error: bool) -> bytes:
        """The answer is complete: what to tell the runtime."""
        if request.is_too_large:
            most = answers.RESPONSE_BYTES_MAX
            if self._is_streamed and not is_error:
                most = answers.STREAM_BYTES_MAX
            text = f"Response payload size exceeded maximum allowed payload size ({most} bytes)."
            document = {"errorMessage": text, "errorType": TOO_LARGE}
            self._end(TOO_LARGE, orjson.dumps(document))
            return answers.TOO_LARGE
        if is_error:
            self._end(error_type_of(request), request.body)
        elif TYPE_TRAILER in request.trailers:
            error_type = kept_type(request.trailers[TYPE_TRAILER])
            document_bytes = _decoded(request.trailers.get(BODY_TRAILER, ""))
            self._end(error_type, document_bytes or self._document(error_type, "Stream failed"))
        else:
            self._end(None, request.body)
        return answers.ACCEPTED

    def break_answer(self) -> bytes:
        """The answer that has begun will never be complete."""
        if self._runtime.state not in {RESPONSE, ERROR_RESPONSE}:
            return answers.TRUNCATED
        self._end(TRUNCATED, self._document(TRUNCATED, "HTTP request detected as truncated"))
        return answers.TRUNCATED

    def fail_init(self, request: Request) -> bytes:
        """`init/error`."""
        try:
            self._runtime.fail_init()
        except NotAllowed as error:
            return answers.not_allowed(error)
        self._owner.on_init_error(error_type_of(request), request.body)
        return answers.ACCEPTED

    def _end(self, error_type: str | None, payload: bytes) -> None:
        self._runtime.end_answer()
        self._owner.on_answer(error_type, payload)

    def _hand_out(self) -> None:
        if self._offered is None or not self._askers:
            return
        event, self._offered = self._offered, None
        self._runtime.hand_out(event.request_id)
        self._current = event
        self._askers.popleft().give(event)

    def _document(self, error_type: str, text: str) -> bytes:
        message = f"RequestId: {self._runtime.request_id} Error: {text}"
        return orjson.dumps({"errorType": error_type, "errorMessage": message})


def _is_stream(head: Head) -> bool:
    if mode := head.headers.get(MODE_HEADER, ""):
        return mode == "streaming"
    is_chunked = "transfer-encoding" in head.headers
    return is_chunked and head.headers.get("content-type", "") in STREAM_TYPES


def error_type_of(request: Request) -> str:
    """What an error is called: by the header, else by the document itself."""
    named = request.head.headers.get(TYPE_HEADER)
    if named:
        return kept_type(named)
    return error_name(request.body)


def kept_type(text: str) -> str:
    """A type from a header as Lambda's metrics and logs show it."""
    if found := TYPE_KEPT.search(text):
        return found.group()[:NAME_CHARACTERS_MAX]
    return "Function.Unknown" if text.startswith("Function.") else UNKNOWN


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
