"""`router invoke`."""

import base64
import sys
import urllib.parse
from pathlib import Path

import click

from router.cli.client import CallFailed, Client, client_options, print_json, refusal_text
from router.cli.meant import function_names, meant

NOT_FOUND = 404


@click.command()
@click.argument("function")
@click.option("--payload", help="The event: JSON text, @FILE, or - for standard input.")
@click.option("--event", "file", help="The event, from a file.")
@click.option("--qualifier", help="Version or alias.")
@click.option(
    "--debug",
    is_flag=False,
    flag_value="pdb",
    metavar="[pdb|debugpy:PORT]",
    help="Run the handler here, in the foreground, under a debugger and without isolation.",
)
@client_options
def invoke(
    function: str,
    payload: str | None,
    file: str | None,
    qualifier: str | None,
    debug: str | None,
    data: str,
    endpoint: str | None,
    as_json: bool,
) -> None:
    """Invoke FUNCTION and print its result; status 1 when the function failed.

    FUNCTION is a name, an ARN, or the logical id that one template has for it.
    The end of its log goes to standard error. With --debug the handler runs in this terminal, with
    the event, context, variables, credentials and layers it has on the router, and stops at its
    first line; neither its timeout nor any other limit holds. --debug=debugpy:PORT waits for an
    editor instead.
    """
    if payload is not None and file is not None:
        raise click.UsageError("give --payload or --event, not both")
    event = _read(f"@{file}" if file is not None else payload)
    client = Client(data, endpoint)
    if debug is not None:
        from router.cli.debug import run

        name = meant(function, list(function_names(client)))
        run(client, name, qualifier, event, debug)
    status, headers, content = _call(client, function, qualifier, event)
    if status == NOT_FOUND:
        name = meant(function, list(function_names(client)))
        if name != function:
            status, headers, content = _call(client, name, qualifier, event)
    if status >= 400:
        raise CallFailed(refusal_text(content))
    error = headers.get("x-amz-function-error")
    log = base64.b64decode(headers.get("x-amz-log-result", "")).decode("utf-8", "replace")
    if as_json:
        print_json(
            {
                "StatusCode": status,
                "FunctionError": error,
                "RequestId": headers.get("x-amzn-requestid"),
                "Payload": content.decode("utf-8", "replace"),
                "Log": log,
            }
        )
    else:
        click.echo(log, err=True, nl=False)
        click.echo(content.decode("utf-8", "replace"))
    if error:
        sys.exit(1)


def _call(
    client: Client, function: str, qualifier: str | None, event: bytes
) -> tuple[int, dict[str, str], bytes]:
    path = f"/2015-03-31/functions/{urllib.parse.quote(function, safe='')}/invocations"
    if qualifier:
        path += "?Qualifier=" + urllib.parse.quote(qualifier, safe="")
    return client.request("POST", path, event, {"X-Amz-Log-Type": "Tail"})


def _read(payload: str | None) -> bytes:
    if payload is None:
        return b"{}"
    if payload == "-":
        return sys.stdin.buffer.read()
    if payload.startswith("@"):
        try:
            return Path(payload[1:]).read_bytes()
        except OSError as error:
            raise click.ClickException(f"{payload[1:]}: {error.strerror}") from None
    return payload.encode()
