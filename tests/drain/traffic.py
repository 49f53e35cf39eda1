"""Who talks to the pod while it is replaced: senders of webhooks, callers of a function's URL."""

import contextlib
import http.client
import json
import select
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.drain.kubelet import Service
from tests.integration.bed import Bed, signed

AGAIN_S = 0.05
"""Before somebody who was refused comes again. `Retry-After` says 1 s; this is harder."""


class Broken(Exception):
    """A request was sent and there is no answer."""


@dataclass
class Said:
    """An answer."""

    at: float
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """One client of the Service, one request at a time."""

    bed: Bed
    service: Service
    keeps_connection: bool
    line: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Said:
        """Raises `ConnectionRefusedError` where nobody listens, `Broken`."""
        line = self._line()
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            if isinstance(error, ConnectionRefusedError):
                raise
            raise Broken(repr(error)) from None
        named = {name.lower(): text for name, text in answer.getheaders()}
        if not self.keeps_connection or named.get("connection") == "close":
            self._hang_up()
        return Said(time.monotonic(), answer.status, named, content)

    def _line(self) -> http.client.HTTPConnection:
        if self.line is not None and _is_over(self.line):
            self._hang_up()
        if self.line is None:
            if not self.service.has_endpoint.is_set():
                raise ConnectionRefusedError
            where = urlsplit(self.bed.addresses["ingress"]).netloc
            self.line = http.client.HTTPConnection(where, timeout=60)
        return self.line

    def _hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
        self.line = None


def _is_over(line: http.client.HTTPConnection) -> bool:
    """Whether the other end has hung up, which clients that keep connections look at first."""
    return line.sock is None or bool(select.select([line.sock], [], [], 0)[0])


@dataclass
class Told:
    """What all of them were told."""

    accepted: list[tuple[str, int]] = field(default_factory=list)
    refusals: list[Said] = field(default_factory=list)
    """503 and whatever else is not a success."""
    called: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    """By who had no answer."""
    turned_away: int = 0
    """Nobody listened."""


class Traffic:
    """Threads of all of them, for as long as the block lasts."""

    def __init__(
        self, bed: Bed, service: Service, url_host: str, keys: int, per_second: int
    ) -> None:
        self.told = Told()
        self._bed, self._service, self._url_host = bed, service, url_host
        self._pause_s = keys / per_second
        self._is_over = threading.Event()
        names = {self._send: [f"k{number:02d}" for number in range(keys)]}
        names[self._call] = [f"caller{number}" for number in range(4)]
        self._threads = [
            threading.Thread(target=work, args=(name, number % 2 == 0))
            for work, all_names in names.items()
            for number, name in enumerate(all_names)
        ]

    def __enter__(self) -> Told:
        for thread in self._threads:
            thread.start()
        return self.told

    def __exit__(self, *_failure: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, key: str, keeps_connection: bool) -> None:
        """Records of one key, each once the one before was accepted."""
        client = Client(self._bed, self._service, keeps_connection)
        n = 0
        while not self._is_over.is_set():
            began = time.monotonic()
            body = json.dumps({"key": key, "n": n}).encode()
            headers = signed(body) | {"X-GitHub-Delivery": f"{key}-{n}"}
            said = self._ask(client, "POST", "/in", body, headers, "sender")
            if said is not None and said.status == 202:
                self.told.accepted.append((key, n))
                n += 1
                self._is_over.wait(max(0.0, began + self._pause_s - time.monotonic()))

    def _call(self, name: str, keeps_connection: bool) -> None:
        """Calls of the function's URL, which take their time; each has an answer of its own."""
        client = Client(self._bed, self._service, keeps_connection)
        n = 0
        while not self._is_over.is_set():
            call = f"/{name}-{n}"
            said = self._ask(client, "GET", call, None, {"Host": self._url_host}, "caller")
            if said is not None and said.status == 200:
                assert json.loads(said.body) == {"path": call}, said
                self.told.called += 1
                n += 1

    def _ask(self, client: Client, method, path, body, headers, who: str) -> Said | None:
        with contextlib.suppress(ConnectionRefusedError):
            try:
                said = client.ask(method, path, body, headers)
            except Broken:
                kind = "kept" if client.keeps_connection else "new"
                self.told.broken[f"{who}, {kind} connection"] += 1
                self._is_over.wait(AGAIN_S)
                return None
            if said.status not in {200, 202}:
                self.told.refusals.append(said)
                self._is_over.wait(AGAIN_S)
            return said
        self.told.turned_away += 1
        self._is_over.wait(AGAIN_S)
        return None
