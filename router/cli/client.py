"""How a command finds and calls a running router."""

import http.client
import json
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from router.model.errors import RouterError

ADDRESS_FILE = "address.json"
"""In the data folder while a router runs on it: `{"api", "ingress", "ops", "pid", "token"}`."""

TIMEOUT_S = 930
"""The longest function timeout, and a little."""

JSON_TARGETS = {"sqs": "AmazonSQS", "router": "Router"}


class NoRouter(RouterError):
    """No router answers."""

    code = "no_router"


class CallFailed(RouterError):
    """The router refused a call; the text is its own."""

    code = "call_failed"


class Address(msgspec.Struct, frozen=True):
    """Where a running router listens; `token` lets this user call its API."""

    api: str
    ingress: str
    ops: str
    pid: int
    token: str


def read_address(data: str) -> Address | None:
    """The address file of a data folder, None when no router runs on it."""
    try:
        text = (Path(data) / ADDRESS_FILE).read_bytes()
        address = msgspec.json.decode(text, type=Address)
        os.kill(address.pid, 0)
    except (OSError, msgspec.MsgspecError):
        return None
    return address


class Client:
    """Calls one running router."""

    def __init__(self, data: str, endpoint: str | None = None) -> None:
        self._token = ""
        if endpoint is None:
            address = read_address(data)
            if address is None:
                raise NoRouter(
                    f"no router runs on {data}: start one with `router run --data {data}`, "
                    "or name its API with --endpoint"
                )
            endpoint, self._token = address.api, address.token
        try:
            self._url = urllib.parse.urlsplit(endpoint)
            is_address = self._url.scheme == "http" and self._url.hostname and self._url.port != 0
        except ValueError:  # half an IPv6 address, a port that is no number
            is_address = False
        if not is_address:
            raise NoRouter(f"{endpoint!r} is no address of an API, such as http://127.0.0.1:9470")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request. Raises `NoRouter`."""
        connection = http.client.HTTPConnection(self._url.netloc, timeout=TIMEOUT_S)
        sent = dict(headers or {})
        if self._token:
            sent["X-Router-Token"] = self._token
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            content = reply.read()
        except OSError as error:
            raise NoRouter(f"no router answers at {self._url.geturl()}: {error}") from None
        finally:
            connection.close()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, content

    def json(self, service: str, operation: str, **members: Any) -> Any:
        """One operation of a JSON service. Raises `CallFailed`."""
        headers = {
            "X-Amz-Target": f"{JSON_TARGETS[service]}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
        }
        status, _, content = self.request("POST", "/", json.dumps(members).encode(), headers)
        return _answer(status, content)

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        """One Lambda operation. Raises `CallFailed`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        status, _, content = self.request(method, path, data, headers)
        return _answer(status, content)


def _answer(status: int, content: bytes) -> Any:
    if status >= 400:
        raise CallFailed(refusal_text(content))
    return json.loads(content or b"{}")


def refusal_text(content: bytes) -> str:
    """What a refusal says, in whichever member it says it."""
    text = content.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    if not isinstance(answer, dict):
        return text
    return str(answer.get("message") or answer.get("Message") or answer.get("Reason") or text)


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, as every command takes it."""
    return click.option(
        "--data",
        default=lambda: os.environ.get("ROUTER_DATA", ".router"),
        show_default=".router",
        help="Data folder of the router.",
    )(command)


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, `--endpoint` and `--json`, as every command that calls a router takes them."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option(
        "--endpoint", envvar="ROUTER_ENDPOINT", help="API address, when not found by --data."
    )(command)
    return data_option(command)


def print_json(value: Any) -> None:
    """JSON for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
