"""What a test needs that makes alerts fire: Prometheus with the project's own rules, and pressure.

The rules are those of `deploy/prometheus/`, a hundred times as fast and otherwise as they are
(`tests/deploy/faster.py`): half an hour is 18 seconds, five minutes six scrapes.
"""

import contextlib
import functools
import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.deploy.faster import write_faster
from tests.integration.bed import until
from tests.patience import PATIENCE_S
from tests.servers.base import running
from tests.servers.prometheus import Prometheus

RULES = sorted((Path(__file__).parents[2] / "deploy/prometheus/rules").glob("*.yml"))
FACTOR = 100
INTERVAL = "500ms"
THREADS_MAX = 32
WAIT_S_MAX = 3 * PATIENCE_S
"""Most alerts take ten seconds or twenty on a machine that is idle."""


class Watcher:
    """The alerts of one Prometheus."""

    def __init__(self, server: Prometheus) -> None:
        self.server = server
        self.annotations: dict[str, dict[str, str]] = {}
        """Of every alert that was seen firing."""

    def watch(self, address: str) -> None:
        """Scrape a router from now on; wait for the first time, from which all is counted."""
        self.server.scrape(address)
        _wait(lambda: bool(self.server.query("router_ready")), lambda: "it was not scraped")

    def firing(self) -> list[dict[str, str]]:
        """The labels of what fires now."""
        found = [alert for alert in self.server.alerts() if alert["state"] == "firing"]
        for alert in found:
            self.annotations[alert["labels"]["alertname"]] = alert["annotations"]
        return [alert["labels"] for alert in found]

    def fired(self) -> list[dict[str, str]]:
        """The labels of what fires or has fired."""
        series = self.server.query('count_over_time(ALERTS{alertstate="firing"}[1h])')
        return [one["metric"] for one in series]

    def missing(self, wanted: dict[str, dict[str, str]]) -> list[str]:
        """Alerts that have not fired yet with labels that match these patterns."""
        self.firing()
        fired = self.fired()
        return [
            name
            for name, labels in wanted.items()
            if not any(_matches({"alertname": name, **labels}, one) for one in fired)
        ]

    def fires(self, wanted: dict[str, dict[str, str]]) -> None:
        """Wait until each has."""
        missing: list[str] = []

        def has_fired() -> bool:
            missing[:] = self.missing(wanted)
            return not missing

        _wait(has_fired, lambda: f"these did not fire: {missing}")

    def clears(self) -> None:
        """Wait until none fires any more."""
        left: list[dict[str, str]] = []

        def is_clear() -> bool:
            left[:] = self.firing()
            return not left

        _wait(is_clear, lambda: f"these still fire: {left}")


def _matches(wanted: dict[str, str], labels: dict[str, str]) -> bool:
    return all(re.fullmatch(text, labels.get(name, "")) for name, text in wanted.items())


def _wait(is_true: Callable[[], bool], explain: Callable[[], str]) -> None:
    try:
        until(is_true, WAIT_S_MAX, look_s=0.1)
    except AssertionError:
        raise AssertionError(explain()) from None


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Watcher]:
    """A Prometheus with faster rules and no target yet."""
    copies, data = folder / "rules", folder / "prometheus"
    copies.mkdir()
    data.mkdir()
    rules = write_faster(RULES, copies, FACTOR)
    make = functools.partial(Prometheus, interval=INTERVAL, timeout=INTERVAL, rules=rules)
    with running(make, data) as server:
        yield Watcher(server)


class Pressure:
    """Does things again and again, each in a thread of its own, until it is over."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS_MAX)
        self._done: list[Future[None]] = []

    def press(self, act: Callable[[int], Any], pause_s: float) -> None:
        """`act` gets how often it was called before."""
        self._done.append(self._pool.submit(self._run, act, pause_s))

    def _run(self, act: Callable[[int], Any], pause_s: float) -> None:
        number = 0
        while not self._over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                act(number)
            number += 1
            self._over.wait(pause_s)

    def end(self) -> None:
        """Stop; raises what a thread raised."""
        self._over.set()
        self._pool.shutdown()
        for done in self._done:
            done.result()


@contextlib.contextmanager
def pressing() -> Iterator[Pressure]:
    """Over at the end of the block at the latest."""
    pressure = Pressure()
    try:
        yield pressure
    finally:
        pressure.end()


class Crowd:
    """Connections that are held open and say nothing."""

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        host, _, port = address.rpartition("/")[2].partition(":")
        self._to, self._source = (host, int(port)), source
        self._held: list[socket.socket] = []

    def keep(self, count: int) -> None:
        """So many, others instead of those that were closed: nobody may be silent for ever."""
        self._held = [one for one in self._held if not _is_closed(one)]
        while len(self._held) < count:
            self._held.append(socket.create_connection(self._to, PATIENCE_S, (self._source, 0)))

    def leave(self) -> None:
        """All of them."""
        for one in self._held:
            one.close()
        self._held.clear()


def _is_closed(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        is_over = not line.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        is_over = True
    if is_over:
        line.close()
    return is_over


PUBLISHED = b"""<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
<PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult>
<ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata>
</PublishResponse>"""


@contextlib.contextmanager
def topics(port: int) -> Iterator[None]:
    """What takes whatever is published to a topic."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(PUBLISHED)))
            self.end_headers()
            self.wfile.write(PUBLISHED)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
