"""One run of the ingress process, as the router sees it: started, spoken to, ended."""

import asyncio
import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from router.ingress.link import UNREAD_BYTES_MAX, Link, make_pair

MODULE: Final = "router.ingress.process"

KEPT: Final = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPYCACHEPREFIX",
    "TZ",
)
"""Variables the process gets; all others, secrets among them, stay with the router."""

END_S: Final = 2.0
"""How long it may take to end once the link to it has."""


class Child:
    """A process and the link to it. `ended` is done when both are gone."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        on_message: Callable[["Child", int, Any], None],
    ) -> None:
        self._process = process
        self.link = Link(functools.partial(on_message, self), self._on_end, UNREAD_BYTES_MAX)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaping: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        listeners: Sequence[int],
        locks: Sequence[str],
        on_message: Callable[["Child", int, Any], None],
    ) -> "Child":
        """Start one; it inherits the sockets that listen. Raises `OSError`.

        `locks` are the mechanisms by which it gives up what it does not need.
        """
        ours, theirs = make_pair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220, S603  returns once exec has happened
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        MODULE,
                        str(theirs.fileno()),
                        str(os.getpid()),
                        *locks,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    cwd="/",
                    pass_fds=(theirs.fileno(), *listeners),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        child = cls(process, on_message)
        try:
            await child.link.open(ours)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return child

    @property
    def status(self) -> int | None:
        """How it ended: minus a signal's number, or its exit status; None while it runs."""
        return self._process.returncode

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self.link.abort()

    def _on_end(self) -> None:
        """The link has ended: the process has, or is to."""
        self._reaping = asyncio.get_running_loop().create_task(self._reap())

    async def _reap(self) -> None:
        try:
            await asyncio.to_thread(self._process.wait, END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if not self.ended.done():
            self.ended.set_result(None)


def _environment() -> dict[str, str]:
    """Where the code is, and what the interpreter itself needs."""
    package = str(Path(__file__).parents[2])
    paths = [package, *(path for path in sys.path if Path(path).is_absolute() and path != package)]
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}
