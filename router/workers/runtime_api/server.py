"""The listener of one environment: lets in its own processes and nobody else.

The socket is made before the process, which is told the port; nobody is let in before it is known
which process that is. Whoever else connects is cut off before a byte is read.
"""

import asyncio
import contextlib
import socket
import time
from typing import Final

from router.telemetry import metrics
from router.workers.extensions.calls import Extensions
from router.workers.runtime_api import peers
from router.workers.runtime_api.connection import CUT_GRACE_S, Connection
from router.workers.runtime_api.session import Owner, Session

HOST: Final = "127.0.0.1"

CONNECTIONS_MAX: Final = 32
"""At a time; clients need one or two, each extension as many. More wait with the kernel …"""

BACKLOG: Final = 16
"""… as far as it lets them."""

ACCEPTED_PER_S: Final = 200
"""New connections; a shell makes one for each call. Over it the listener rests."""

REST_S: Final = 1.0

WINDOW_S: Final = 0.01
COST_MAX: Final = 2_500
"""Spent on the requests of one environment in such a time, in the units of `RequestReader.cost`:
about a quarter of it, and more than thirty invocations."""


def listen() -> socket.socket:
    """A listening socket on a free port. Raises `OSError` when no port or descriptor is left."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind((HOST, 0))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """For `AWS_LAMBDA_RUNTIME_API`."""
    return f"{HOST}:{listener.getsockname()[1]}"


class RuntimeServer:
    """`begin` once the process is known, `close` at its end. The socket is its own from here on."""

    def __init__(self, owner: Owner, listener: socket.socket, extensions: Extensions) -> None:
        self.session = Session(owner)
        self.extensions = extensions
        self._loop = asyncio.get_running_loop()
        self._socket = listener
        self._pid = 0
        self._uid: int | None = None
        self._connections: set[Connection] = set()
        self._letting_in: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._second = 0.0
        self._spent = 0
        self._window = 0.0
        self._is_open = True
        self._is_accepting = False

    @property
    def is_quiet(self) -> bool:
        """Whether no runtime that may still say something is connected or about to be."""
        is_heard = all(it.is_cut or it.is_of_extension for it in self._connections)
        return is_heard and not self._letting_in

    def begin(self, pid: int, uid: int | None) -> None:
        """Let in process `pid` and those below it; they run as `uid`, if that tells them apart."""
        self._pid, self._uid = pid, uid
        self._listen()

    def close(self) -> None:
        """Close everything."""
        if not self._is_open:
            return
        self._rest()
        self._is_open = False
        self._socket.close()
        for task in self._letting_in:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def allowance(self) -> int:
        """What may be spent on requests of this environment now; the rest waits (`REST_S`)."""
        now = time.monotonic()
        if now - self._window > WINDOW_S:
            self._window, self._spent = now, 0
        return COST_MAX - self._spent

    def spend(self, cost: int) -> None:
        """So much was."""
        self._spent += cost

    def left(self, connection: Connection, *, is_cut: bool) -> None:
        """A connection is gone, `is_cut` in the middle of an answer."""
        self._connections.discard(connection)
        if is_cut and self._is_open:
            self._loop.call_later(CUT_GRACE_S, self._break_answer)
        if self._is_open:
            self._listen()

    def _break_answer(self) -> None:
        if self._is_open:
            self.session.break_answer()

    # Accepting.

    def _listen(self) -> None:
        if self._is_open and self._pid and not self._is_accepting:
            self._is_accepting = True
            self._loop.add_reader(self._socket, self._accept)

    def _rest(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._socket)

    def _accept(self) -> None:
        while self._is_open:
            if len(self._connections) + len(self._letting_in) >= CONNECTIONS_MAX:
                self._rest()
                return
            if not self._has_allowance():
                self._rest()
                self._loop.call_later(REST_S, self._listen)
                return
            try:
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is left: they wait with the kernel
                self._rest()
                self._loop.call_later(REST_S, self._listen)
                return
            self._take(accepted)

    def _has_allowance(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second, self._accepted = now, 0
        self._accepted += 1
        return self._accepted <= ACCEPTED_PER_S

    def _take(self, accepted: socket.socket) -> None:
        try:
            is_own = peers.is_own(accepted, self._pid, self._uid)
        except peers.Stranger:
            self._refuse(accepted)
            return
        task = self._loop.create_task(self._let_in(accepted, is_known=is_own is True))
        self._letting_in.add(task)
        task.add_done_callback(self._letting_in.discard)

    async def _let_in(self, accepted: socket.socket, *, is_known: bool) -> None:
        connection = Connection(self)
        try:
            if not is_known and not await asyncio.to_thread(peers.is_below, accepted, self._pid):
                self._refuse(accepted)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except asyncio.CancelledError:
            accepted.close()
            raise
        except OSError:
            self._connections.discard(connection)
            accepted.close()

    def _refuse(self, accepted: socket.socket) -> None:
        metrics.RUNTIME_API_REFUSED.inc()
        with contextlib.suppress(OSError):
            accepted.close()
