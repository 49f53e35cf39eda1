"""`router health`."""

import http.client
import json
import sys
import urllib.parse

import click

from router.cli.client import data_option, read_address

TIMEOUT_S = 4.0
"""Below the five seconds after which container engines and systemd stop waiting by default."""


@click.command()
@click.option("--live", is_flag=True, help="Ask whether it lives, not whether it is ready.")
@click.option("--ops", metavar="URL", help="Its ops listener, when not found by --data.")
@data_option
def health(live: bool, ops: str | None, data: str) -> None:
    """Ask a running router whether it is ready, for health checks of containers.

    Status 0 when it is; 1 when it is not, with what stands in the way, or when none answers.
    """
    if ops is None:
        address = read_address(data)
        if address is None:
            click.echo(f"no router is ready on {data}", err=True)
            sys.exit(1)
        ops = address.ops
    is_well, text = _ask(ops, "/live" if live else "/ready")
    click.echo(text, err=not is_well)
    sys.exit(0 if is_well else 1)


def _ask(ops: str, path: str) -> tuple[bool, str]:
    """Whether the answer was 200, and what it says in words. Raises `click.BadParameter`."""
    host, port = _place(ops)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status == http.HTTPStatus.OK, _words(reply.read())
    except (OSError, http.client.HTTPException) as error:
        return False, f"no router answers at {ops}: {error}"
    finally:
        connection.close()


def _place(ops: str) -> tuple[str, int]:
    try:
        url = urllib.parse.urlsplit(ops)
        if url.scheme == "http" and url.hostname and url.port:
            return url.hostname, url.port
    except ValueError:  # half an IPv6 address, a port that is no number
        pass
    raise click.BadParameter(f"{ops!r} is no address, such as http://127.0.0.1:9464")


def _words(body: bytes) -> str:
    """The probe's answer for people."""
    try:
        answer = json.loads(body)
        reasons = answer.get("reasons", {})
        return "; ".join(reasons.values()) or next(name for name, yes in answer.items() if yes)
    except (ValueError, AttributeError, TypeError, StopIteration):
        return body.decode("utf-8", "replace")
