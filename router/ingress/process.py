"""The ingress process: reads what strangers send, so that the router's own loop need not.

It holds no store and no code of functions: listening sockets, the secrets of webhooks, and a
socket pair to the router, which it cannot outlive. A record it hands over is answered once it is
durable, and only then is its sender.

    python -P -m router.ingress.process END PARENT LOCKS...
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from typing import Any

import structlog

from router.ingress.frames import (
    ASK,
    DRAIN,
    Begin,
    FrameError,
    Heard,
    Ready,
    Routes,
    Secret,
    Stop,
    Stored,
)
from router.ingress.link import Link
from router.ingress.listener import Ingress
from router.ingress.lock_in import lock_in
from router.ingress.remote import RemoteStore
from router.ingress.tally import Tally
from router.ingress.url_calls import RemoteCaller
from router.model.errors import ConfigError
from router.model.function_url import UrlAnswer, UrlPart
from router.model.webhook import WebhookSpec
from router.telemetry import logs, memory
from router.telemetry.loop_watch import LoopWatch
from router.workers.isolation import plain

log = structlog.get_logger(__name__)


class Process:
    """What the frames of the router bring about, in the order they come."""

    def __init__(self, locked: list[str], unlocked: dict[str, str]) -> None:
        """What was given up already, and what could not be."""
        self._locked = locked
        self._unlocked = unlocked
        self.ended = asyncio.Event()
        self.link = Link(self.on_message, self.on_end)
        self._ingress: Ingress | None = None
        self._store: RemoteStore
        self._calls: RemoteCaller
        self._begin: Begin
        self._specs: dict[str, WebhookSpec] = {}
        self._secrets: dict[str, Secret] = {}
        self._is_serving = False
        self._tally = Tally()
        self._watch = LoopWatch()
        self._tasks: set[asyncio.Task[None]] = set()

    def on_message(self, kind: int, message: Any) -> None:
        """A frame of the router."""
        match message:
            case Stored():
                self._store.stored(message)
            case UrlAnswer():
                self._calls.answered(message)
            case UrlPart():
                self._calls.more(message)
            case Begin():
                self._on_begin(message)
            case Routes():
                self._on_routes(message)
            case Stop():
                self._spawn(self._stop(message.drain_s))
            case _ if kind == ASK:
                self._tell_counts()
            case _ if kind == DRAIN:
                self._listening.drain()
            case _:
                raise FrameError(f"kind {kind} is not for the ingress process")

    def on_end(self) -> None:
        """The router is gone, or wants this process gone."""
        self.ended.set()

    @property
    def _listening(self) -> Ingress:
        if self._ingress is None:
            raise FrameError("the first frame is not the one to begin with")
        return self._ingress

    def _on_begin(self, begin: Begin) -> None:
        logs.configure(begin.log_level, begin.log_format)
        for name, text in self._unlocked.items():
            log.warning("ingress_process_not_locked_in", mechanism=name, error=text)
        self._begin = begin
        self._store = RemoteStore(self.link.send, begin.waiting_bytes_max)
        self._calls = RemoteCaller(self.link.send)
        self._ingress = Ingress(self._store, self._resolve, begin.settings, caller=self._calls)

    def _on_routes(self, routes: Routes) -> None:
        for arn in routes.removed:
            self._specs.pop(arn, None)
        for spec in routes.changed:
            self._specs[spec.arn] = spec
        if routes.secrets:
            self._secrets |= routes.secrets
            self._listening.forget_secrets()
        for text in routes.forgotten:
            self._secrets.pop(text, None)
        if routes.changed or routes.removed:
            self._listening.set_webhooks(self._specs.values())
        self.link.send(Heard(routes.version))
        if not self._is_serving:
            # Not before: a webhook that exists is never answered 404.
            self._is_serving = True
            self._spawn(self._serve())

    def _resolve(self, text: str) -> str:
        secret = self._secrets.get(text, Secret(None, "the secret is not known yet"))
        if secret.value is None:
            raise ConfigError(secret.problem)
        return secret.value

    async def _serve(self) -> None:
        sockets = [socket.socket(fileno=fd) for fd in self._begin.listeners]
        await self._listening.serve(sockets)
        self._spawn(self._watch.run())
        memory.settle()
        self.link.send(Ready(self._locked))

    async def _stop(self, drain_s: float) -> None:
        await self._listening.stop(drain_s)
        self._tell_counts()
        self.link.close()

    def _tell_counts(self) -> None:
        connections = self._listening.connections
        self.link.send(self._tally.take(connections, self._watch.take_worst_s()))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._see_end)

    def _see_end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("ingress_process_failed", error=repr(error), exc_info=error)
            self.link.close()  # the router starts another


async def _live(end: int, locked: list[str], unlocked: dict[str, str]) -> None:
    process = Process(locked, unlocked)
    await process.link.open(socket.socket(fileno=end))
    await process.ended.wait()


def main() -> None:
    """Until the router lets go of the other end."""
    end, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    # Whoever stops all processes of a service means the router to drain first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    plain.hide_from_peers()
    plain.die_with(parent_pid)
    time.tzset()  # its file is out of reach later
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    with contextlib.suppress(asyncio.CancelledError):
        run(_live(end, *lock_in(sys.argv[3:])))
    os._exit(0)


if __name__ == "__main__":
    main()
