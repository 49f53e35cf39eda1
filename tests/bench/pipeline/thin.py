"""The thinnest loop that does the router's durable work: what G0 is measured against.

    Protocol + httptools ─► HMAC ─► group commit (one thread, FULL) ─► 202
                                        └─► batches of 100 ─► forked worker ─► progress, next group

uvloop, one process, one ordered lane. Left out is all that is not the work itself: partition keys
and shards, lanes, deadlines and limits, retries, isolation, logs, metrics. The records of a group
are one row, as in the router; progress of a batch is stored with the next group, and the next
batch does not wait for it. The function runs in one worker forked before the loop starts: a good
engineer would not let it run in the loop, where it would stop the intake.
"""

import argparse
import asyncio
import hmac
import json
import os
import queue
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
from collections import deque
from pathlib import Path

import httptools
import msgspec
import orjson
import uvloop

LENGTH = struct.Struct(">I")
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}"
LOG_PAGES = 10_000
IDLE_S = 1.0

pack = msgspec.msgpack.Encoder().encode


class Store:
    """Group commit: while one group is synced the next gathers."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        self._db.execute("CREATE TABLE segments (last INTEGER PRIMARY KEY, body BLOB)")
        self._db.execute("CREATE TABLE progress (id INTEGER PRIMARY KEY, position INTEGER)")
        self._db.execute("INSERT INTO progress VALUES (1, 0)")
        self._inbox: queue.SimpleQueue[tuple[list, int, int]] = queue.SimpleQueue()
        self._records: list[tuple[Connection, bytes]] = []
        self._last = self._progress = self._stored = 0
        self._is_busy = self._is_woken = False
        self.worker: Worker
        threading.Thread(target=self._run, daemon=True).start()

    def append(self, connection: "Connection", data: bytes) -> None:
        self._records.append((connection, data))
        self._wake()

    def settle(self, position: int) -> None:
        self._progress = position
        self._wake()

    def _wake(self) -> None:
        if not self._is_busy and not self._is_woken:
            self._is_woken = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_woken = False
        if self._is_busy or not (self._records or self._progress > self._stored):
            return
        group, self._records = self._records, []
        self._last += len(group)
        self._stored = self._progress
        self._is_busy = True
        self._inbox.put((group, self._last, self._progress))

    def _run(self) -> None:
        timeout_s = None
        while True:
            try:
                group, last, progress = self._inbox.get(timeout=timeout_s)
            except queue.Empty:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                timeout_s = None
                continue
            self._db.execute("BEGIN IMMEDIATE")
            if group:
                body = pack([data for _, data in group])
                self._db.execute("INSERT INTO segments VALUES (?, ?)", (last, body))
            self._db.execute("UPDATE progress SET position = ? WHERE id = 1", (progress,))
            self._db.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._done, group)
            timeout_s = IDLE_S

    def _done(self, group: list[tuple["Connection", bytes]]) -> None:
        self._is_busy = False
        self._hand_over()
        for connection, _ in group:
            connection.answer(ACCEPTED)
        self.worker.add([data for _, data in group])


class Connection(asyncio.Protocol):
    """One client: parse, check the signature, append."""

    def __init__(self, store: Store, secret: bytes) -> None:
        self._store = store
        self._secret = secret
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        headers, body = self._headers, self._body
        wanted = "sha256=" + hmac.digest(self._secret, body, "sha256").hex()
        if not hmac.compare_digest(wanted, headers.get("x-hub-signature-256", "")):
            self.answer(REFUSED)
            return
        members = {"body": body.decode(), "headers": headers, "arrived": time.time()}
        self._store.append(self, orjson.dumps(members))

    def answer(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)


class Worker(asyncio.Protocol):
    """Batches of what is durable, one at a time, to the forked process."""

    def __init__(self, store: Store, batch_size: int) -> None:
        self._store = store
        self._batch_size = batch_size
        self._records: deque[bytes] = deque()
        self._running = self._position = 0
        self._reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def add(self, records: list[bytes]) -> None:
        self._records.extend(records)
        self._next()

    def _next(self) -> None:
        if self._running or not self._records:
            return
        self._running = min(self._batch_size, len(self._records))
        batch = [self._records.popleft() for _ in range(self._running)]
        event = b'{"Records":[%b]}' % b",".join(batch)
        self._transport.write(LENGTH.pack(len(event)) + event)

    def data_received(self, data: bytes) -> None:
        self._reply += data
        if len(self._reply) < 4 or len(self._reply) < 4 + LENGTH.unpack_from(self._reply)[0]:
            return
        if self._reply[4:] != b"null":
            sys.exit(f"the function answered {self._reply!r}")
        self._reply = b""
        self._position += self._running
        self._running = 0
        self._store.settle(self._position)
        self._next()


def work(theirs: socket.socket) -> None:
    """The forked worker: decode, handle, encode."""
    from tests.bench.pipeline import app

    reader = theirs.makefile("rb", 262_144)
    while head := reader.read(4):
        event = json.loads(reader.read(LENGTH.unpack(head)[0]))
        reply = json.dumps(app.handler(event, None)).encode()
        theirs.sendall(LENGTH.pack(len(reply)) + reply)


async def serve(arguments: argparse.Namespace, ours: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    store = Store(arguments.data / "thin.db", loop)
    store.worker = Worker(store, arguments.batch_size)
    await loop.create_unix_connection(lambda: store.worker, sock=ours)
    secret = arguments.secret.encode()
    server = await loop.create_server(lambda: Connection(store, secret), "127.0.0.1", 0)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ready = arguments.ready_file
    ready.with_suffix(".new").write_text(json.dumps({"ingress": address}))
    ready.with_suffix(".new").replace(ready)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--batch-size", type=int, default=100)
    arguments = parser.parse_args()
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    if os.fork() == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    ours.setblocking(False)
    uvloop.run(serve(arguments, ours))


if __name__ == "__main__":
    main()
