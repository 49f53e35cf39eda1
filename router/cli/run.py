"""`router run` and `router serve`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

SETTINGS_FILE = "router.toml"

_PATH = click.Path(path_type=Path, dir_okay=False)


def _listener_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in (
        ("ops", "Metrics and health: HOST:PORT, port 0 for a free one."),
        ("ingress", "Webhooks: HOST:PORT."),
        ("api", "AWS-compatible API: HOST:PORT."),
    ):
        command = click.option(f"--{name}", metavar="HOST:PORT", help=text)(command)
    options = (
        click.option(
            "--watch", "is_watching", is_flag=True,
            help="Apply template, code and secrets again when they change.",
        ),
        click.option("--data", help="Data folder.", show_default=".router"),
        click.option(
            "--parameter", "parameters", multiple=True, metavar="KEY=VALUE",
            help="Template parameter; may be repeated.",
        ),
        click.option("--stack-name", help="Stack name.", show_default="the template's folder"),
        click.option(
            "--ready-file", type=_PATH, help="Written once ready: JSON with addresses and pid."
        ),
        click.option("--settings", "settings_file", type=_PATH, help="router.toml to read."),
        click.option("--insecure", is_flag=True, default=None,
                     help="Serve the API without keys on an address others can reach."),
        click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"])),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("template", required=False, type=click.Path(path_type=Path, dir_okay=False))
@_listener_options
def run(template: Path | None, **options: Any) -> None:
    """Apply TEMPLATE and serve it in the foreground, code folders in place.

    Everything it needs is embedded; state is kept in the data folder. Ctrl-C stops it cleanly.
    """
    _start("run", template, **options)


@click.command()
@click.argument("template", required=False, type=click.Path(path_type=Path, dir_okay=False))
@_listener_options
def serve(template: Path | None, **options: Any) -> None:
    """Serve for production: settings from environment and file, code in snapshots.

    Runtimes must be mapped to interpreters in the settings; nothing is guessed.
    """
    _start("serve", template, **options)


def parse_parameters(given: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` options as a dict. Raises `click.BadParameter`, also for a key given twice."""
    if not given:
        return {}
    from router.model.errors import TemplateError
    from router.template.parameters import parse_assignments

    try:
        return parse_assignments(given)
    except TemplateError as error:
        raise click.BadParameter(str(error)) from None


def settings_path(given: Path | None) -> Path | None:
    """The settings file: the one named, or router.toml in the working folder."""
    if given is not None:
        return given
    return Path(SETTINGS_FILE) if Path(SETTINGS_FILE).is_file() else None


class CannotStart(click.ClickException):
    """What keeps a router from starting, in a line: exit status 2, and nothing is left behind."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """As every other error of ours."""
        click.echo(f"router: {self.message}", file=file, err=file is None)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Errors in here are reasons not to start."""
    from router.model.errors import RouterError

    try:
        yield
    except RouterError as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(f"cannot start: {error}") from None


def _start(
    mode: str,
    template: Path | None,
    *,
    is_watching: bool,
    parameters: tuple[str, ...],
    stack_name: str | None,
    ready_file: Path | None,
    settings_file: Path | None,
    **overrides: Any,
) -> None:
    if sys.platform != "linux":
        raise CannotStart("Event Router runs on Linux (x86-64, arm64); this is not Linux")
    with _starting():
        # Before anything large is loaded: what is wrong with settings is said at once.
        from router import config

        settings = config.load(os.environ, overrides, settings_path(settings_file))
        given = parse_parameters(parameters)
        from router.telemetry import memory

        memory.load_structlog()
        from router.app import Options
        from router.telemetry import logs

        logs.configure(settings.log_level, settings.log_format)

    # Functions run as other users and must read what is made for them; what only this user may
    # read is in folders and files that say so themselves.
    os.umask(0o022)
    options = Options(
        mode=mode,
        template=template,
        parameters=given,
        stack_name=stack_name,
        is_watching=is_watching,
        ready_file=ready_file,
    )
    sys.exit(_loop_runner()(_serve(settings, options)))


def _loop_runner() -> Callable[[Any], int]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    runner: Callable[[Any], int] = uvloop.run
    return runner


async def _serve(settings: Any, options: Any) -> int:
    """Until told to stop; 0 when the drain came to its end in time."""
    from router.app import Router
    from router.telemetry import memory

    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with contextlib.AsyncExitStack() as life:
        with _starting():
            router = await life.enter_async_context(Router(settings, options).running())
        memory.settle()
        await stop.wait()
        drain = asyncio.create_task(router.drain())
        impatient = asyncio.create_task(hurry.wait())
        await asyncio.wait({drain, impatient}, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not drain.done():
            drain.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drain
    return 0
