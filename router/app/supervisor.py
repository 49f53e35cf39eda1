"""What systemd is told of a router: ready, stopping, alive (`Type=notify`, `WatchdogSec=`).

Its protocol (sd_notify(3)): datagrams of `NAME=VALUE` lines to the socket `NOTIFY_SOCKET`;
`WATCHDOG_USEC` microseconds without a sign of life and the service counts as hung. Nothing is
said where nobody set these, and it hurts nobody when the other side is gone.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.get_logger()

SIGNS_PER_TIMEOUT: Final = 3
"""A sign of life may come late twice."""


class Supervisor:
    """Tells who started this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is this process's; variables meant for another process are not heard."""
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._watchdog_s = 0.0
        if name and environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}:
            with contextlib.suppress(ValueError):
                self._watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1_000_000

    def ready(self) -> None:
        """It serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """It drains."""
        self._tell("STOPPING=1")

    async def run(self) -> None:
        """Signs of life, as long as the loop runs; ends at once where nobody waits for them."""
        while self._watchdog_s > 0:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / SIGNS_PER_TIMEOUT)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as mouth:
            mouth.setblocking(False)
            try:
                mouth.sendto(text.encode(), self._address)
            except OSError as error:
                log.warning("supervisor_not_told", text=text, error=str(error))
