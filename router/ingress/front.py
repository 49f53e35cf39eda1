"""The ingress listener in a process of its own, as the router sees it: the face of `Ingress`.

    strangers ─► ingress process ═ records of a turn, one frame ═► router: store ─► mapping …
                     ▲                                                │
                     └═══════ what became of each, once durable ══════┘

The sockets that listen are made here and inherited, so the port stays while a process that ended
is started again: what connects meanwhile waits in the kernel. What it had handed over is stored
all the same; its senders have no answer and ask again.

A router without webhooks and URLs has no such process: the first of them starts it, or the first
who connects, who waits for it in the kernel.
"""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import structlog

from router.config import Settings
from router.http.server import ABORT_S
from router.http.sockets import listen
from router.ingress import tally
from router.ingress.child import Child
from router.ingress.frames import (
    ASK,
    DRAIN,
    Append,
    Begin,
    Counts,
    FrameError,
    Heard,
    Ready,
    Routes,
    Stop,
)
from router.ingress.intake import Intake
from router.ingress.told import Told, look_up
from router.ingress.url_desk import Answering, UrlDesk
from router.model.errors import RouterError
from router.model.function_url import UrlCall, UrlTaken
from router.model.webhook import WebhookSpec
from router.store.base import StreamStore
from router.telemetry import metrics

log = structlog.get_logger(__name__)

START_S: Final = 30.0
"""Longest wait for a process to listen."""

HEARD_S: Final = 10.0
"""How long a change of webhooks waits for the process to know it. Ample: on a machine that is busy
whoever made a webhook must not be answered 404 there."""

COUNTED_S: Final = 5.0
"""How long a scrape waits for the process's counts; scrapers give up after 10 s by default."""

ASK_S: Final = 5.0
"""How often the process is asked for its counts, which also shows that it lives."""

SILENT_MAX: Final = 6
"""Questions in a row without an answer: then the process is ended, and started again."""

ASKED_MAX: Final = 32
"""Questions that may wait for an answer."""

URL_TASKS_IDLE_MAX: Final = 64
"""Tasks that wait for requests to functions' URLs."""

PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 5.0
"""Before a process that did not live long is started again; doubled each time."""

SHORT_LIFE_S: Final = 10.0

SECRETS_S: Final = 10.0
"""How often all secrets are looked up: a rotation needs no restart."""

UNUSABLE_S: Final = 2.0
"""How often those that could not be used are."""


class IngressFailed(RouterError):
    """The ingress process does not start."""

    code = "ingress_failed"


class Notices:
    """What the front tells the router of; nothing by default."""

    def down(self, text: str) -> None:
        """Requests are not answered just now."""

    def up(self) -> None:
        """They are again."""

    def stalled(self, late_s: float) -> None:
        """The process's loop was held up for so long."""


class IngressProcess:
    """Traffic from outside, taken in by a process of its own. Start it last, drain it first."""

    def __init__(
        self,
        streams: StreamStore,
        resolve_secret: Callable[[str], str],
        settings: Settings,
        *,
        answering: Answering,
        locks: Collection[str] = (),
        notices: Notices | None = None,
    ) -> None:
        """`resolve_secret` gives a secret's value or raises `ConfigError`; may read files.

        `answering` is who answers for functions' URLs. `settings.listen` is what the machine
        carries, see `app.capacity`. `locks` are the mechanisms by which the process gives up what
        it does not need.
        """
        self._settings = settings
        self._resolve_secret = resolve_secret
        self._locks = list(locks)
        self._notices = notices or Notices()
        self._intake = Intake(streams)
        self._desk = UrlDesk(answering, URL_TASKS_IDLE_MAX)
        self._told = Told(resolve_secret)
        self._heard_version = 0
        self._heard: asyncio.Event = asyncio.Event()
        self._counted: deque[asyncio.Future[None]] = deque()
        self._sockets: list[socket.socket] = []
        self._child: Child | None = None
        self._ready: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_draining = self._is_stopping = False
        self._is_wanted = False
        """There is something for a process to do."""
        self._is_watching = False
        """For who connects: nothing is served so far."""
        self._must_start = False
        """The first process comes up, or there is no router."""
        self._is_up = False
        """A process listens."""
        self._starts = self._connections = 0
        self._locked_by: list[str] = []

    # What exists

    def set_webhooks(self, specs: Iterable[WebhookSpec]) -> None:
        """Swap all webhooks at once. Raises `ConfigError` and changes nothing when one is wrong."""
        news = self._told.set_webhooks(specs)
        self._intake.set_routes(self._told.routes)
        self._tell(news)
        if self._told.routes:
            self.want()

    def want(self) -> None:
        """There is something to serve: have a process listen, now or from `start` on, for good."""
        self._is_wanted = True
        if self._sockets and self._ready is None and not self._is_stopping:
            self._begin()

    async def heard(self) -> None:
        """Wait until what exists is known to the process; to one that is starting it will be."""
        version = self._told.version
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_S):
                while self._child is not None and self._heard_version < version:
                    self._heard.clear()
                    await self._heard.wait()
                return
        log.warning("ingress_process_late", waited_s=HEARD_S)

    def _tell(self, news: Routes | None) -> None:
        if news is not None and self._child is not None:
            self._child.link.send(news)

    async def _look_after_secrets(self) -> None:
        looked_s = time.monotonic()
        while True:
            await asyncio.sleep(UNUSABLE_S)
            references = self._told.unusable()
            if time.monotonic() - looked_s >= SECRETS_S:
                references, looked_s = self._told.references(), time.monotonic()
            if references:
                found = await asyncio.to_thread(look_up, references, self._resolve_secret)
                self._tell(self._told.learn(found))

    # Life

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Have the port. Returns address and port, which matters for port 0.

        With something to serve, a process listens then. Raises `OSError` for a port that cannot be
        had, `IngressFailed` for a process that does not start.
        """
        self._loop = asyncio.get_running_loop()
        self._sockets = await listen(host, port)
        address = self._sockets[0].getsockname()
        metrics.INGRESS_CONNECTIONS.set_function(lambda: self._connections)
        if self._is_wanted:
            self._begin()
            await self.started()
        else:
            for listening in self._sockets:
                self._loop.add_reader(listening, self.want)
            self._is_watching = True
        return str(address[0]), int(address[1])

    async def started(self) -> None:
        """Wait until a process listens, if one is wanted. Raises `IngressFailed`, and stops."""
        if self._ready is None:
            return
        self._must_start = True
        try:
            async with asyncio.timeout(START_S):
                await asyncio.wait(
                    {self._ready, self._tasks[0]}, return_when=asyncio.FIRST_COMPLETED
                )
                if not self._ready.done():
                    await self._tasks[0]  # why it ended
                await self._ready
        except BaseException as error:
            await self.stop(0.0)
            if isinstance(error, TimeoutError):
                text = f"the ingress process does not listen after {START_S:g} s"
                raise IngressFailed(text) from None
            raise

    def _begin(self) -> None:
        self._watch_no_more()
        self._ready = self._loop.create_future()
        self._tasks = [
            asyncio.create_task(work)
            for work in (self._keep_alive(), self._look_after_secrets(), self._keep_asking())
        ]

    def _watch_no_more(self) -> None:
        if self._is_watching:
            self._is_watching = False
            for listening in self._sockets:
                self._loop.remove_reader(listening)

    def drain(self) -> None:
        """Answer new requests with 503 and Retry-After; finish those under way."""
        self._is_draining = True
        if self._child is not None:
            self._child.link.send(DRAIN)

    async def stop(self, drain_s: float) -> None:
        """Close the listener, finish what has begun for up to `drain_s` seconds, close all."""
        self._is_stopping = True
        self._watch_no_more()
        for listening in self._sockets:
            listening.close()
        child = self._child
        if child is not None:
            child.link.send(Stop(drain_s))
            await asyncio.wait({child.ended}, timeout=drain_s + 2 * ABORT_S)
            child.kill()
            await child.ended
        self._desk.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def describe(self) -> dict[str, Any]:
        """For `router doctor`."""
        return {
            "is_apart": True,
            "is_wanted": self._is_wanted,
            "process": self._child.pid if self._child is not None else None,
            "restarts": max(0, self._starts - 1),
            "locks": self._locked_by,
        }

    async def _keep_alive(self) -> None:
        """Start a process, and another whenever one ends."""
        pause_s = PAUSE_S_MIN
        while True:
            began_s = time.monotonic()
            status = await self._run()
            if self._is_stopping:
                return
            if self._must_start and self._ready is not None and not self._ready.done():
                raise IngressFailed("the ingress process ended before it listened")
            metrics.INGRESS_RESTARTS.inc()
            self._notices.down("the ingress process ended and is started again")
            lived_s = time.monotonic() - began_s
            log.error("ingress_process_ended", status=status, lived_s=round(lived_s, 1))
            if lived_s >= SHORT_LIFE_S:
                pause_s = PAUSE_S_MIN
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _run(self) -> int | None:
        """One process from start to end, and its status; None for one that did not start."""
        self._starts += 1
        listeners = [listening.fileno() for listening in self._sockets]
        try:
            child = await Child.start(listeners, self._locks, self._on_message)
        except OSError as error:
            log.error("ingress_process_not_started", error=str(error))
            return None
        self._child = child
        late = asyncio.get_running_loop().call_later(START_S, self._check_up, child)
        try:
            settings = self._settings
            child.link.send(
                Begin(
                    listeners,
                    settings.listen,
                    settings.store.waiting_bytes_max,
                    settings.log_level,
                    settings.log_format,
                )
            )
            child.link.send(self._told.everything())
            if self._is_draining:
                child.link.send(DRAIN)
            await asyncio.shield(child.ended)
        except asyncio.CancelledError:
            child.kill()
            raise
        finally:
            late.cancel()
            self._desk.left(child.link)
            self._child = None
            self._is_up = False
            self._connections = 0
            self._heard.set()
            while self._counted:
                _done(self._counted.popleft())
        return child.status

    def _check_up(self, child: Child) -> None:
        """End a process that does not come up, so that another can."""
        if not self._is_up:
            log.error("ingress_process_stuck", silent_s=START_S)
            child.kill()

    def _on_message(self, child: Child, kind: int, message: Any) -> None:
        match message:
            case Append():
                self._intake.take(message, child.link.send)
            case UrlCall():
                self._desk.take(message, child.link)
            case UrlTaken():
                self._desk.taken(message, child.link)
            case Counts():
                self._on_counts(message)
            case Heard():
                self._heard_version = message.version
                self._heard.set()
            case Ready():
                self._locked_by = message.locks
                self._is_up = True
                if self._ready is not None:
                    _done(self._ready)
                self._notices.up()
            case _:
                raise FrameError(f"kind {kind} is not for the router")

    # What it counts

    async def measure(self) -> None:
        """Bring what the process counts up to date, for a scrape."""
        if (answer := self._ask()) is not None:
            await asyncio.wait({answer}, timeout=COUNTED_S)

    def _ask(self) -> "asyncio.Future[None] | None":
        if self._child is None or not self._is_up or len(self._counted) >= ASKED_MAX:
            return None
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._counted.append(answer)
        self._child.link.send(ASK)
        return answer

    def _on_counts(self, counts: Counts) -> None:
        tally.add(counts)
        self._connections = counts.connections
        self._notices.stalled(counts.stall_s)
        if self._counted:
            _done(self._counted.popleft())

    async def _keep_asking(self) -> None:
        silent = 0
        while True:
            await asyncio.sleep(ASK_S)
            answer, child = self._ask(), self._child
            if child is None or not self._is_up:
                silent = 0
                continue
            silent = silent + 1 if self._counted and answer is not self._counted[0] else 0
            if silent >= SILENT_MAX:
                log.error("ingress_process_stuck", silent_s=silent * ASK_S)
                child.kill()
                silent = 0


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
