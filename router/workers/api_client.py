"""A Python handler served over the Runtime API instead of frames; what it does is `bootstrap`'s.

For environments that others speak to as well: extensions, which need the listener anyway. Runs in
the function's process: standard library only, on a socket of its own, so that whatever a handler
does to HTTP clients does not matter here.
"""

import os
import socket
import time
from typing import Any

from . import bootstrap, child_output, results, wire

API = "/2018-06-01/runtime/"

READ_BYTES = 256 * 1024

HEADERS = {
    "lambda-runtime-aws-request-id": "id",
    "lambda-runtime-invoked-function-arn": "arn",
    "lambda-runtime-trace-id": "trace",
    "lambda-runtime-client-context": "client",
    "lambda-runtime-aws-tenant-id": "tenant",
}
"""Header of an event → member of an INVOKE frame's header."""

make_socket = socket.socket
"""Kept: a handler may replace it in its module."""


class Api:
    """One connection to the router."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        self._socket = make_socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.connect((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: str = ""
    ) -> "tuple[dict[str, str], bytes]":
        """Headers (names in lower case) and body of the answer. Raises `OSError`."""
        head = (
            f"{method} {API}{path} HTTP/1.1\r\nHost: {self._address}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        return self._answer()

    def _answer(self) -> "tuple[dict[str, str], bytes]":
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        lines = data[:end].decode("utf-8", "replace").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.lower(): value.strip() for name, _, value in fields}
        wanted = end + 4 + int(headers.get("content-length", "0"))
        while len(data) < wanted:
            data += self._receive()
        if not 200 <= status < 300 and status != 413:
            raise OSError(f"the Runtime API answered {status}")
        return headers, bytes(data[end + 4 : wanted])

    def _receive(self) -> bytes:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the Runtime API is gone")
        return data


def run(start: "dict[str, Any]") -> None:
    """Load the handler, then answer one event after another until the router is gone."""
    facts = start["facts"]
    encode = results.encoder(facts["runtime"])
    api = Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = bootstrap.load_handler(facts["handler"])
    except bootstrap.Fault as fault:
        _fail(api, bootstrap.error_document(fault.text, fault.error_type, fault.trace, ""), encode)
        return
    except Exception as error:  # noqa: BLE001  # whatever the module raises
        _fail(api, bootstrap.exception_document(error, ""), encode)
        return
    while True:
        child_output.flush_streams()
        try:
            headers, payload = api.call("GET", "invocation/next")
        except OSError:
            return
        header = _frame_header(headers)
        request_id = header["id"]
        child_output.REQUEST_IDS.request_id = request_id
        child_output.REQUEST_IDS.tenant_id = header.get("tenant")
        kind, _, reply = bootstrap.answer(handler, encode, facts, header, payload)
        child_output.flush_streams()
        word = "response" if kind == wire.RESULT else "error"
        try:
            api.call("POST", f"invocation/{request_id}/{word}", reply)
        except OSError:
            return


def _frame_header(headers: "dict[str, str]") -> "dict[str, Any]":
    header: dict[str, Any] = {
        member: headers[name] for name, member in HEADERS.items() if name in headers
    }
    left_ms = int(headers["lambda-runtime-deadline-ms"]) - time.time() * 1000
    header["deadline_ms"] = time.monotonic() * 1000 + left_ms
    return header


def _fail(api: Api, document: "dict[str, Any]", encode: Any) -> None:
    child_output.write_error(document)
    child_output.flush_streams()
    named = bootstrap.NAMED.search(document["errorType"])
    error_type = named[0] if named else "Runtime.Unknown"
    line = f"Lambda-Runtime-Function-Error-Type: {error_type}\r\n"
    api.call("POST", "init/error", encode(document).encode(), line)
