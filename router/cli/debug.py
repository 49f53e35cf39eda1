"""`router invoke --debug`: this process becomes the function's, under a debugger."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import NoReturn

import click

from router.cli.client import Client

MODES = re.compile(r"pdb|debugpy:(\d{1,5})", re.ASCII)
PORT_MAX = 65_535

TERMINAL = ("TERM", "COLUMNS", "LINES")
"""Variables a debugger's prompt needs; the function does not see them."""


def run(client: Client, function: str, qualifier: str | None, event: bytes, mode: str) -> NoReturn:
    """Run one invocation here. Raises `CallFailed`."""
    found = MODES.fullmatch(mode)
    if found is None or int(found[1] or 1) not in range(1, PORT_MAX + 1):
        raise click.UsageError(
            f"--debug takes pdb or debugpy:PORT, not {mode!r}; name the function before it"
        )
    try:
        text = event.decode("utf-8")
        json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"the event is no JSON: {error}") from None
    tmp = tempfile.mkdtemp(prefix="router-debug-")
    try:
        told = client.json(
            "router", "DescribeEnvironment", FunctionName=function, Qualifier=qualifier, Tmp=tmp
        )
    except BaseException:
        Path(tmp).rmdir()
        raise
    click.secho(
        f"{function} runs here, WITHOUT ISOLATION: as this user, with its secrets and credentials, "
        "and without limits of time and memory",
        fg="yellow",
        err=True,
    )
    _become(told, text, mode)


def _become(told: dict[str, object], event: str, mode: str) -> NoReturn:
    job = {"start": told["Start"], "header": told["Header"], "event": event}
    descriptor = os.memfd_create("job", 0)  # neither a file nor a command line holds secrets
    os.write(descriptor, json.dumps(job).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    interpreter = str(told["Interpreter"])
    script = Path(__file__).parents[1] / "workers/debug.py"
    variables = {name: os.environ[name] for name in TERMINAL if name in os.environ}
    arguments = [
        interpreter,
        "-s",
        "-S",
        "-X",
        "frozen_modules=off",
        str(script),
        str(descriptor),
        mode,
    ]
    os.execve(interpreter, arguments, variables)  # noqa: S606  # our own list of words
