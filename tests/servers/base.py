"""What every server of the tests has in common: a process, a port, a log, a folder.

A server is started when a test first asks for it and shared by the whole session: tests keep apart
by names of their own (queues, topics). A test that kills one starts it again.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.ports import lasting_port
from tests.servers.jars import Missing

READY_S_MAX = 120.0
"""Longest time to become ready, on a machine busy with other tests."""

START_TRIES_MAX = 3
"""A server of others that ends while it starts, of whatever, is none of what is tested."""

POLL_S = 0.05
STOP_S_MAX = 5.0
LOG_TAIL_BYTES = 2_000

REQUIRED = "TESTS_REQUIRE_SERVERS"
"""Set where a server that cannot start is a failure, as in CI; elsewhere its tests are skipped."""

JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Starts fast on two cores."""

S = TypeVar("S", bound="Server")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, nor will; all different."""
    return [lasting_port() for _ in range(count)]


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class NotReady(Exception):
    """A server ended, or did not answer in time; the text ends with what it logged."""


class Server:
    """One process of a real server. Start it from the main thread: it dies with that thread."""

    name = "server"

    def __init__(self, folder: Path) -> None:
        """`folder` is empty and the server's own: configuration, data, log."""
        self.folder = folder
        self.log_path = folder / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self) -> None:
        """Choose ports and write the configuration. Not called again by a later `start`."""

    def command(self) -> Sequence[str]:
        """How to start it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Ask it; False while it does not answer."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def start(self) -> None:
        """Start with the same ports and data as before, and wait. Raises `NotReady`."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start, without waiting."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command()),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A killed test run leaves nothing behind.
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - one system call
            )

    def wait_ready(self) -> None:
        """Wait after `begin`. Raises `NotReady`."""
        assert self.process is not None, f"{self.name} was never started"
        until = time.monotonic() + READY_S_MAX
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                tail = self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
                raise NotReady(f"{self.name} did not become ready; its log ends:\n{tail}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it in good order, or else at once."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)


def launch(server: Server) -> None:
    """Configure and start; on new ports when it ended. Raises `NotReady`."""
    for attempt in range(1, START_TRIES_MAX + 1):
        server.configure()
        try:
            server.start()
        except NotReady:
            if attempt == START_TRIES_MAX:
                raise
        else:
            return


@contextmanager
def running(make: Callable[[Path], S], folder: Path) -> Iterator[S]:
    """A started server for a fixture; skips, or fails where servers are required."""
    server = make(folder)
    try:
        launch(server)
    except Missing as error:
        unavailable(str(error))
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.resume()  # a paused one would not hear of its end
        server.stop()


def unavailable(reason: str) -> None:
    """Skip the test that needs what is not here; fail it where it must be here."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
