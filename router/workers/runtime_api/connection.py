"""One connection of a runtime: requests in, answers out, one after another.

The process behind it may send anything at any pace. What it can cost the router is bounded: bytes
by the reader, requests that wait by `WAITING_MAX`, time by `HEAD_S` and `BODY_S`; and it ends with
its environment.
"""

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from router.model.sink import Sink
from router.workers.runtime_api import answers
from router.workers.runtime_api.answers import Event
from router.workers.runtime_api.reader import Malformed, RequestReader, Wish
from router.workers.runtime_api.requests import Head, Request

if TYPE_CHECKING:
    from router.workers.runtime_api.server import RuntimeServer

HEAD_S: Final = 10.0
"""From the first byte of a request to the end of its head."""

BODY_S: Final = 60.0
"""From there to the end of the body; an answer to an invocation has the time of that instead."""

CUT_GRACE_S: Final = 0.25
"""After an answer is cut short: how long the process may take to be found ended instead."""

REST_S: Final = 0.005
"""A connection that has used up the allowance of its environment goes on after this time."""

WAITING_MAX: Final = 16
"""Requests on one connection behind a `next` that has no event yet."""

JOINED_BYTES_MAX: Final = 64 * 1024
"""An event up to this size goes out in one piece with its head; a larger one is not copied."""

UNREAD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Answers a client has not read; one that asks for more all the same is cut off."""

ANSWER: Final = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")
RUNTIME: Final = "/2018-06-01/runtime/"


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: "RuntimeServer") -> None:
        self._server = server
        self._session = server.session
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self._on_head, self._on_request, self._on_piece)
        self._waiting: deque[Request] = deque()
        self._is_asking = False
        """A `next` of this connection has no answer yet."""
        self.is_cut = False
        """It ended in the middle of an answer, and says nothing more."""
        self.is_of_extension = False
        """What it said last was an extension's."""
        self._is_last = False
        """The client wants no more after what is being answered."""
        self._is_answering = False
        """The body of an answer to an invocation is being read."""
        self._refusal: bytes | None = None
        """What the request being read will be answered with, whatever its body."""
        self._timer: asyncio.TimerHandle | None = None
        self._sink: Sink | None = None
        """Takes the answer that is being read."""
        self._is_held_up = False
        """It has no room just now."""
        self._tail = b""
        """Read from the socket, and not yet: others want the loop too."""
        self._is_paused = False
        self._is_unread = False
        """The client does not read its answers."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was let in."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._tail:
            self._tail += data
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        reader, server = self._reader, self._server
        before = reader.cost
        try:
            self._tail = reader.feed(data, server.allowance())
        except Malformed as error:
            self._write(answers.HEAD_TOO_LARGE if error.is_too_large else answers.MALFORMED)
            self._close()
            return
        finally:
            server.spend(reader.cost - before)
        if reader.take_continue() and self._refusal is None:
            self._write(answers.CONTINUE)
        self._watch()
        if self._tail:
            asyncio.get_running_loop().call_later(REST_S, self._read_on)
        self._pause_or_resume()

    @property
    def _has_to_wait(self) -> bool:
        """Whether nothing more is to be read from the socket."""
        return bool(self._tail) or self._is_unread or self._is_held_up

    def _read_on(self) -> None:
        if self._is_held_up:
            return  # `_on_room` goes on
        tail, self._tail = self._tail, b""
        if self._transport is not None and not self._transport.is_closing():
            self._read(tail)

    def _pause_or_resume(self) -> None:
        transport, wanted = self._transport, self._has_to_wait
        if wanted == self._is_paused or transport is None or transport.is_closing():
            return
        self._is_paused = wanted
        if wanted:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def eof_received(self) -> bool:
        """It sends nothing more, perhaps in the middle of an answer.

        Whether it still reads cannot be told, so it gets no event any more.
        """
        if not self._is_answering:
            return False
        self.is_cut = True
        # When it has ended or is about to, that is what became of the invocation.
        loop = asyncio.get_running_loop()
        self._set_timer(None)
        self._timer = loop.call_later(CUT_GRACE_S, self._give_up_answer)
        return True

    def _give_up_answer(self) -> None:
        self._timer = None
        if self._is_answering:
            self._is_answering = False
            self._write(self._session.break_answer())
        self._close()

    def pause_writing(self) -> None:
        """It does not read its answers: no more requests are read either."""
        self._is_unread = True
        self._pause_or_resume()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_unread = False
        self._pause_or_resume()

    def connection_lost(self, _error: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        self._session.forget(self)
        self._server.extensions.forget(self)
        self._waiting.clear()
        self._set_timer(None)
        self._server.left(self, is_cut=self._is_answering)

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()

    # What the session calls.

    def give(self, event: Event) -> None:
        """The event it has asked for."""
        self._is_asking = False
        if len(event.payload) <= JOINED_BYTES_MAX:
            self._write(event.head + event.payload)
        else:
            self._write(event.head)
            self._write(event.payload)
        self._go_on()

    # What the reader calls.

    def _on_head(self, head: Head) -> Wish:
        """What becomes of the body."""
        self._refusal = None
        found = ANSWER.fullmatch(head.path) if head.method == "POST" else None
        if found is None:
            return Wish.KEEP if head.path.startswith(RUNTIME) else Wish.KEEP_SMALL
        if self._is_asking or self._waiting:
            raise Malformed  # a client that answers has had the event it asked for
        is_error = found[2] == "error"
        self._refusal = self._session.begin_answer(found[1], head, is_error=is_error)
        self._is_answering = self._refusal is None
        if not self._is_answering:
            return Wish.THROW
        self._sink = None if is_error else self._session.begin_stream(head, self._on_room)
        return Wish.KEEP if self._sink is None else Wish.PASS_ON

    def _on_piece(self, chunk: bytes) -> None:
        if self._sink is None or self._sink.write(chunk):
            return
        self._is_held_up = True
        self._pause_or_resume()

    def _on_room(self) -> None:
        """Who takes the stream goes on."""
        if not self._is_held_up:
            return
        self._is_held_up = False
        if self._tail:
            self._read_on()
        else:
            self._pause_or_resume()

    def _on_request(self, request: Request) -> None:
        if not request.is_persistent:
            self._is_last = True
        if self._is_asking or self._waiting:
            if len(self._waiting) >= WAITING_MAX:
                raise Malformed(is_too_large=True)
            self._waiting.append(request)
            return
        self._serve(request)
        self._go_on()

    # Answers.

    def _serve(self, request: Request) -> None:
        head = request.head
        answer: bytes | None
        if self._is_answering:
            self._is_answering = False
            answer = self._session.end_answer(request, is_error=head.path.endswith("/error"))
        elif self._refusal is not None:
            answer, self._refusal = self._refusal, None
        else:
            answer = self._answer(request)
        if answer is not None:
            self._write(answer)

    def _answer(self, request: Request) -> bytes | None:
        """Everything but answers to invocations; None when the answer comes later."""
        self.is_of_extension = False
        match request.head.method, request.head.path.removeprefix(RUNTIME):
            case "GET", "invocation/next":
                self._is_asking = True
                refusal = self._session.ask(self)
                if refusal is not None:
                    self._is_asking = False
                return refusal
            case "POST", "init/error":
                return self._session.fail_init(request)
            case "GET", "/2018-06-01/ping":
                return answers.PONG
            case _, "invocation/next" | "init/error" | "/2018-06-01/ping":
                return answers.NOT_ALLOWED
        return self._answer_extension(request)

    def _answer_extension(self, request: Request) -> bytes | None:
        self.is_of_extension = self._is_asking = True
        answer = self._server.extensions.call(request, self)
        if answer is not None:
            self._is_asking = False
        return answer

    def _go_on(self) -> None:
        while self._waiting and not self._is_asking:
            self._serve(self._waiting.popleft())
        if self._is_last and not self._is_asking and not self._waiting:
            self._close()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            transport.abort()
            return
        transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # Time.

    def _watch(self) -> None:
        """Bound the time of a request that is not complete; most are when they are looked at."""
        reader = self._reader
        if not reader.is_inside or self._is_answering:
            self._set_timer(None)
        elif self._timer is None:
            self._set_timer(HEAD_S + BODY_S if reader.head is not None else HEAD_S)

    def _set_timer(self, wait_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_s, self._on_late, self._reader.head)

    def _on_late(self, head_then: Head | None) -> None:
        self._timer = None
        if head_then is None and self._reader.head is not None:
            self._set_timer(BODY_S)
        else:
            self.abort()
