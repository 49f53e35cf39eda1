"""A small HTTP/1.1 server with absolute deadlines and a bound on everything.

The grammar is httptools'; what a client may cost is ours (`reliability.md` 6): connections in
all and per address, bytes of a head, bytes held by all requests together, and the time for each
step, which bytes that trickle in do not extend. A handler sees the head before the body is read.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Any, Final

import structlog

from router.http import values
from router.http.connection import Connection
from router.http.places import Places
from router.http.reader import Memory
from router.http.sockets import BACKLOG, listen
from router.http.values import Handler, HttpLimits, Refusal

log = structlog.get_logger(__name__)

BEGUN_AT_A_TIME: Final = 64
"""Connections that are read before what they brought is begun."""

ENDED_AT_A_TIME: Final = 64
"""Connections closed in one turn of the loop: thousands that are late at once hold up nobody."""

PAUSE_S: Final = 0.002
"""Between two such turns."""

LATE_S: Final = 0.5
"""A sweep that comes this late says that the process was held up; deadlines wait for it."""

FULL_SHARE: Final = 0.75
"""From this share of a bound on, whoever makes no headway gives way, oldest first …"""

ROOM_SHARE: Final = 0.5
"""… down to this one: so a newcomer finds room whatever idles."""

ABORT_S: Final = 1.0
"""How long aborted requests may take to end."""


def _uncounted(reason: str) -> None:
    del reason


def _nobody(connection: Any) -> bool:
    del connection
    return False


def _waiting_since(connection: Connection) -> float:
    return connection.waiting_since_s


class HttpServer:
    """Listens, admits connections, looks after deadlines and stops gracefully.

    `refused` hears the reason of each refusal the server gives by itself. `is_barred` looks at each
    new connection; what it says is in each of its requests' heads. `begins_at_once`: a request is
    begun when it has been read, not when all have that came in the same turn of the loop.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        refused: Callable[[str], None] = _uncounted,
        is_barred: Callable[[Any], bool] = _nobody,
        *,
        begins_at_once: bool = False,
    ) -> None:
        self.handler = handler
        self.is_barred = is_barred
        self._begins_at_once = begins_at_once
        self.limits = limits or HttpLimits()
        self.memory = Memory(self.limits.buffered_bytes_max)
        self.places = Places(self.limits.large_max)
        self.refused = refused
        self.is_stopping = False
        self.date_line = b""
        self.loop: asyncio.AbstractEventLoop
        self._connections: set[Connection] = set()
        self._of_peer: Counter[str] = Counter()
        self._open = 0
        self._unbegun: list[Connection] = []
        """Connections that have read something in this turn."""
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_s = 0.0
        self._emptied = asyncio.Event()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen. Returns address and port, which matters for port 0. Raises `OSError`."""
        sockets = await listen(host, port)
        await self.serve(sockets)
        address = sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on sockets that listen already; they are this server's from here on."""
        self.loop = asyncio.get_running_loop()
        self._swept_s = self.loop.time()
        self._sweep()
        for listening in sockets:
            server = await self.loop.create_server(
                lambda: Connection(self), sock=listening, backlog=BACKLOG
            )
            self._listeners.append(server)

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._open

    async def stop(self, drain_s: float) -> None:
        """Accept no more, finish what has begun for up to `drain_s` seconds, then close all."""
        self.is_stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.stop()
        await self._wait_empty(drain_s)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_empty(ABORT_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for listener in self._listeners:
            await listener.wait_closed()

    async def _wait_empty(self, wait_s: float) -> None:
        if not self._connections:
            return
        self._emptied.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._emptied.wait()
        except TimeoutError:
            return

    # What connections call.

    def now(self) -> float:
        """Loop time in seconds."""
        return self.loop.time()

    def begin_soon(self, connection: Connection) -> None:
        """Go on with what a connection has read; if that may wait, together with others.

        What is ready in a turn is first read and then begun: going to and fro between the two
        costs a tenth more, in cold caches. But not all of it at once: who stores the first ones
        works on them while the next are read.
        """
        self._unbegun.append(connection)
        if self._begins_at_once or len(self._unbegun) >= BEGUN_AT_A_TIME:
            self._begin()
        elif len(self._unbegun) == 1:
            self.loop.call_soon(self._begin)

    def _begin(self) -> None:
        unbegun, self._unbegun = self._unbegun, []
        for connection in unbegun:
            try:
                connection.advance()
            except Exception:
                # A bug in one answer is no matter of the others.
                log.exception("connection_failed")
                connection.abort()

    def admit(self, connection: Connection) -> Refusal | None:
        """Count a new connection; a refusal when there are too many already."""
        self._connections.add(connection)
        self._open += 1
        self._of_peer[connection.peer] += 1
        if self._open > self.limits.connections_max or self.is_stopping:
            return values.TOO_MANY
        if self._of_peer[connection.peer] > self.limits.connections_per_address_max:
            return values.TOO_MANY_OF_PEER
        return None

    def left(self, connection: Connection) -> None:
        """A connection is closed; it is kept in mind while its request still runs."""
        self._open -= 1
        self._of_peer[connection.peer] -= 1
        if not self._of_peer[connection.peer]:
            del self._of_peer[connection.peer]
        if not connection.is_running:
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Nothing of a connection is left."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        """One timer for all deadlines, and for the date: no timer per connection or request."""
        self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)
        self.date_line = f"date: {formatdate(usegmt=True)}\r\n".encode()
        now = self.loop.time()
        late_s, self._swept_s = now - self._swept_s - self.limits.sweep_s, now
        if late_s > LATE_S:
            # What came while this process was stopped is still unread: no fault of the clients.
            for connection in self._connections:
                connection.deadline += late_s
        late = [connection for connection in self._connections if connection.deadline <= now]
        self._end_late(late)
        self._make_room(now - self.limits.headway_s)

    def _end_late(self, late: list[Connection]) -> None:
        now = self.loop.time()
        for connection in late[:ENDED_AT_A_TIME]:
            if connection.deadline <= now:
                connection.on_deadline()
        if rest := late[ENDED_AT_A_TIME:]:
            self.loop.call_later(PAUSE_S, self._end_late, rest)

    def _make_room(self, before_s: float) -> None:
        """Near a bound: close what has made no headway since then, the longest waiting first.

        Else a few hundred halves of requests, or connections that only stay, would keep everybody
        else out for as long as their deadlines let them.
        """
        memory, limits = self.memory, self.limits
        if memory.held_bytes > limits.buffered_bytes_max * FULL_SHARE:
            for connection in self._waiting(before_s, has_bytes=True):
                if memory.held_bytes <= limits.buffered_bytes_max * ROOM_SHARE:
                    break
                connection.give_way()
        if self._open > limits.connections_max * FULL_SHARE:
            surplus = self._open - int(limits.connections_max * ROOM_SHARE)
            for connection in self._waiting(before_s, has_bytes=False)[:surplus]:
                connection.give_way()

    def _waiting(self, before_s: float, *, has_bytes: bool) -> list[Connection]:
        """Connections whose client has to go on, the longest waiting first; some hundred."""
        found = [
            connection
            for connection in self._connections
            if connection.waiting_since_s <= before_s
            and connection.waits_for_client
            and connection.has_body_begun == has_bytes
        ]
        return sorted(found, key=_waiting_since)[: 4 * ENDED_AT_A_TIME]
