"""One connection of the HTTP server: answers turns one by one and keeps the deadlines."""

import asyncio
import math
from typing import TYPE_CHECKING, Final, cast

import structlog

from router.http import values
from router.http.outflow import Outflow
from router.http.reader import BODY, HEAD, IDLE, RequestReader, Turn
from router.http.values import (
    CHUNKED,
    TO_THE_END,
    Pending,
    Refusal,
    Request,
    Response,
    Streamed,
    render,
    render_open,
)

if TYPE_CHECKING:
    from router.http.server import HttpServer

log = structlog.get_logger(__name__)

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

CLOSE_LINE: Final = b"connection: close\r\n"
KEEP_ALIVE_LINE: Final = b"connection: keep-alive\r\n"


class Connection(asyncio.Protocol):
    """One client.

    While a request is being answered nothing more is parsed: what comes is kept, one read at
    most, and the socket is paused, so that back-pressure reaches the sender. `deadline` is what
    the server's sweep looks at, in loop time.
    """

    def __init__(self, server: "HttpServer") -> None:
        self.deadline = 0.0
        self.waiting_since_s = 0.0
        """Since when the client has to send what comes next, in loop time."""
        self.peer = ""
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._reader: RequestReader | None = None
        self._running: tuple[Turn, Pending] | None = None
        """What is with the handler, until its answer is sent."""
        self._outflow: Outflow | None = None
        """The answer whose body is being sent while it is made."""
        self._tail = b""
        self._stage = 0
        self._is_read_paused = False
        self.is_write_paused = False
        self._has_place = False
        self._waits_for_place = False
        """For one of those for large bodies, see `places`."""
        self._is_answered = False
        """The last answer is written; what is left is to close."""
        self._is_closing = False

    @property
    def is_running(self) -> bool:
        """A request is with the handler."""
        return self._running is not None

    @property
    def waits_for_client(self) -> bool:
        """Nothing can be done before the client sends more."""
        reader = self._reader
        return (
            reader is not None
            and not reader.turns
            and not reader.is_over
            and self._running is None
            and not self.is_write_paused
            and not self._waits_for_place
            and not self._is_closing
        )

    @property
    def has_body_begun(self) -> bool:
        """The head of a request has come, its body not yet."""
        return self._reader is not None and self._reader.phase == BODY

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or tell it that there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if isinstance(peername, tuple) else ""
        server = self._server
        refusal = server.admit(self)
        self.waiting_since_s = server.now()
        self.deadline = self.waiting_since_s + server.limits.header_s
        if refusal is not None:
            server.refused(refusal.reason)
            line = server.date_line + CLOSE_LINE
            self._transport.write(render(refusal.response, line, has_body=True))
            self._close(is_lingering=False)
            return
        self._reader = RequestReader(
            server.handler,
            server.limits,
            server.memory,
            self.peer,
            server.refused,
            is_barred=server.is_barred(transport.get_extra_info("socket")),
        )

    def data_received(self, data: bytes) -> None:
        """Read on, or keep the bytes until the running request is answered."""
        reader = self._reader
        if reader is None or reader.is_over:
            return
        if self._running is not None or self.is_write_paused or self._tail:
            self._keep(data)
            return
        self._read(data)
        self._server.begin_soon(self)

    def eof_received(self) -> bool:
        """The client sends nothing more; it may still wait for answers."""
        reader = self._reader
        if reader is None or self._is_closing:
            return False
        reader.is_over = True
        self._end_with_client()
        return self._running is not None or bool(reader.turns)

    def pause_writing(self) -> None:
        """The client does not read its answers: no further request is begun."""
        self.is_write_paused = True
        self.deadline = self._server.now() + self._server.limits.body_s

    def resume_writing(self) -> None:
        """The client reads again."""
        self.is_write_paused = False
        if self._outflow is not None:
            self.deadline = self._server.now() + self._outflow.wait_s
            self._outflow.go_on()
            return
        self._wait_for_input()
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what is held. A running request goes on: its record may be on its way."""
        del exc
        self._transport = None
        self._drop_tail()
        if self._reader is not None:
            self._reader.close()
        if self._outflow is not None:
            self._outflow.leave()
            self._outflow = self._running = None
        if self._running is None:
            self._leave_place()
        self._end_with_client()
        self._server.left(self)

    def _end_with_client(self) -> None:
        """The client has hung up, or looks like it."""
        if self._running is not None and self._running[1].ends_with_client:
            self._running[1].cancel()

    # Input.

    def _read(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        rest = reader.feed(data)
        if rest:
            self._keep(rest)

    def _keep(self, data: bytes) -> None:
        memory = self._server.memory
        if not memory.has(len(data)) and self._reader is not None:
            # Answers go out still; what is dropped here was never begun.
            self._reader.is_over = self._reader.is_cut = True
            return
        memory.take(len(data))
        self._tail += data
        if self._transport is not None and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _drop_tail(self) -> bytes:
        tail, self._tail = self._tail, b""
        self._server.memory.give(len(tail))
        return tail

    # Output.

    def advance(self) -> None:
        """Do what can be done now: answer, read what was kept, close, or wait."""
        reader = self._reader
        while reader is not None and self._running is None and not self.is_write_paused:
            if self._transport is None or self._is_closing:
                return
            if self._is_answered:
                self._close(is_lingering=reader.is_cut)
            elif reader.turns:
                self._answer(reader.turns.popleft())
            elif reader.is_over:
                self._close(is_lingering=reader.is_cut)
            elif self._tail:
                self._read(self._drop_tail())
            else:
                self._rest(reader)
                return

    def _rest(self, reader: RequestReader) -> None:
        if reader.is_large and not self._has_place:
            self._wait_for_place()
            if self._waits_for_place:
                return
        if self._is_read_paused and self._transport is not None:
            self._is_read_paused = False
            self._transport.resume_reading()
        if reader.stage != self._stage:
            self._wait_for_input()
        if reader.take_continue() and self._transport is not None:
            self._transport.write(CONTINUE)

    def _wait_for_place(self) -> None:
        """Read no further in a large body before it has a place; that is no fault of the client."""
        if self._waits_for_place:
            return
        self._has_place = self._server.places.take(self)
        if self._has_place:
            return
        self._waits_for_place = True
        self.deadline = math.inf
        if self._transport is not None and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def on_place(self) -> None:
        """See `Waiting.on_place`."""
        self._waits_for_place, self._has_place = False, True
        self._wait_for_input()
        self.advance()

    def _leave_place(self) -> None:
        if self._waits_for_place:
            self._waits_for_place = False
            self._server.places.leave(self)
        elif self._has_place:
            self._has_place = False
            self._server.places.give()

    def _give_back(self, turn: Turn) -> None:
        """A request does not need any more what it took."""
        self._server.memory.give(turn.cost_bytes)
        if turn.is_large:
            self._leave_place()

    def _wait_for_input(self) -> None:
        """Start the deadline of what the client has to send next."""
        reader, limits = self._reader, self._server.limits
        if reader is None or self._is_closing:
            return
        self._stage = reader.stage
        wait_s = (limits.idle_s, limits.header_s, limits.body_s)[reader.phase]
        self.waiting_since_s = self._server.now()
        self.deadline = self.waiting_since_s + wait_s

    def _answer(self, turn: Turn) -> None:
        if turn.request is None:
            answer: Response | Pending = turn.response or values.MALFORMED.response
        else:
            answer = self._begin(turn.request)
        if isinstance(answer, Response):
            self._finish(turn, answer, is_persistent=turn.is_persistent)
            return
        server = self._server
        self.deadline = server.now() + (answer.wait_s or server.limits.handler_s)
        self._running = turn, answer
        answer.watch(self._on_done)

    def _begin(self, request: Request) -> Response | Pending:
        try:
            return self._server.handler.on_request(request)
        except Exception:
            log.exception("request_failed")
            return self._failure(values.HANDLER_FAILED)

    def _on_done(self, _done: object) -> None:
        """The running request has its answer."""
        if self._running is None:
            return
        try:
            self._take_answer(*self._running)
        except Exception:
            # One that cannot be sent: its client must not wait for ever.
            log.exception("connection_failed")
            self._running = None
            self.abort()

    def _take_answer(self, turn: Turn, pending: Pending) -> None:
        is_persistent = turn.is_persistent
        try:
            answer = pending.response()
        except asyncio.CancelledError:
            # Only the sweep and the end of `stop` cancel: the deadline has passed.
            answer, is_persistent = self._failure(values.HANDLER_LATE), False
        except Exception:
            log.exception("request_failed")
            answer = self._failure(values.HANDLER_FAILED)
        if isinstance(answer, Response):
            self._running = None
            self._finish(turn, answer, is_persistent=is_persistent)
            self.advance()
        elif isinstance(answer, Streamed):
            self._stream(turn, answer, is_persistent=is_persistent)
        else:
            self._running = turn, answer
            answer.watch(self._on_done)

    def _failure(self, refusal: Refusal) -> Response:
        self._server.refused(refusal.reason)
        return refusal.response

    def _finish(self, turn: Turn, response: Response, *, is_persistent: bool) -> None:
        server, reader, transport = self._server, self._reader, self._transport
        self._give_back(turn)
        if transport is None or reader is None:
            server.forget(self)
            return
        line = server.date_line + self._last_line(reader, turn, is_persistent=is_persistent)
        if not transport.is_closing():  # one whose other end is gone raises on write
            transport.write(render(response, line, has_body=turn.has_body))
        self._wait_for_input()

    def _last_line(self, reader: RequestReader, turn: Turn, *, is_persistent: bool) -> bytes:
        """The header that tells whether the connection goes on after this answer."""
        is_last = reader.is_over and not reader.turns
        if not is_persistent or self._server.is_stopping or is_last:
            self._is_answered = True
            return CLOSE_LINE
        return KEEP_ALIVE_LINE if turn.is_legacy else b""

    # An answer that is sent while it is made: the connection is busy with it until its end.

    def _stream(self, turn: Turn, streamed: Streamed, *, is_persistent: bool) -> None:
        server, reader, transport = self._server, self._reader, self._transport
        self._give_back(turn)
        if transport is None or reader is None or transport.is_closing():
            self._running = None
            streamed.source.leave()
            if transport is None:
                server.forget(self)
            return
        has_end = not turn.is_legacy or not turn.has_body
        line = self._last_line(reader, turn, is_persistent=is_persistent and has_end)
        line = server.date_line + line
        if not turn.has_body:
            self._running = None
            streamed.source.leave()
            framing = TO_THE_END if turn.is_legacy else CHUNKED
            transport.write(render_open(streamed.head, line, framing))
            self._wait_for_input()
            self.advance()
            return
        self.deadline = server.now() + streamed.wait_s
        self._outflow = Outflow(self, transport, streamed, is_legacy=turn.is_legacy)
        self._outflow.begin(line)

    def outflow_ended(self, *, is_broken: bool) -> None:
        """See `outflow.Way`."""
        self._running = self._outflow = None
        if is_broken:
            self._close(is_lingering=False)
            return
        self._is_answered |= self._server.is_stopping
        self._wait_for_input()
        self.advance()

    # The end.

    def on_deadline(self) -> None:
        """The time for what this connection waits for is over."""
        transport, reader = self._transport, self._reader
        if self._outflow is not None and transport is not None:
            transport.abort()
        elif self._running is not None:
            self._running[1].cancel()
        elif transport is None:
            self._server.forget(self)
        elif reader is None or self._is_closing or self.is_write_paused:
            transport.abort()
        elif reader.turns:
            return  # read just now; it is about to be begun
        elif reader.phase == IDLE:
            self._close(is_lingering=False)
        else:
            reader.refuse(values.HEAD_LATE if reader.phase == HEAD else values.BODY_LATE)
            self.advance()

    def give_way(self) -> None:
        """Others need the room. Only for who `waits_for_client`; closed between requests."""
        reader = self._reader
        if reader is None or reader.phase == IDLE:
            self._server.refused("gave_way")
            self._close(is_lingering=False)
        else:
            reader.refuse(values.GAVE_WAY)
            self.advance()

    def stop(self) -> None:
        """Close when idle; else after the answer to what has begun."""
        reader = self._reader
        if reader is None or (self._running is None and reader.phase == IDLE and not reader.turns):
            self._close(is_lingering=False)

    def abort(self) -> None:
        """Close now, whatever runs."""
        if self._running is not None:
            self._running[1].cancel()
        if self._transport is not None:
            self._transport.abort()

    def _close(self, *, is_lingering: bool) -> None:
        """Close; when the client is still sending, let it read the answer first.

        Closing a socket with unread bytes resets it, and the answer with it.
        """
        transport = self._transport
        if transport is None or self._is_closing:
            return
        self._is_closing = True
        self.deadline = self._server.now() + self._server.limits.linger_s
        if self._reader is not None:
            self._reader.is_over = True
        self._drop_tail()
        if is_lingering and transport.can_write_eof() and not transport.is_closing():
            if self._is_read_paused:
                self._is_read_paused = False
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()
