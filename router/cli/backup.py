"""`router backup` and `router restore`."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from router.cli.client import data_option

STDOUT = "-"

MIB_PER_S = 64
"""How fast the store is copied: a disk has room for a router's commits beside it."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder for a copy of the store meanwhile.",
    show_default="FILE's folder; the data folder for `-`",
)
@click.option(
    "--rate",
    "mib_per_s",
    type=click.IntRange(1, 100_000),
    default=MIB_PER_S,
    show_default=True,
    help="Most MiB of the store to copy in a second.",
)
@data_option
def backup(file: Path, scratch: Path | None, mib_per_s: int, data: str) -> None:  # fmt: skip
    """Back the data folder up into FILE (`-`: standard output), whether a router runs on it or not.

    A running router goes on: FILE holds everything it had accepted when the back-up began.
    """
    from router.app.backup import back_up

    folder = Path(data).absolute()
    with _output(file) as (out, beside), _bar("copying the store") as told:
        manifest = back_up(folder, out, scratch or beside or folder, mib_per_s << 20, told.step)
    size = "" if str(file) == STDOUT else f", {file.stat().st_size / 2**20:.1f} MiB"
    click.echo(
        f"backed up {folder} into {file}{size}: schema version {manifest.schema_version}, "
        f"{len(manifest.files)} files",
        err=True,
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@data_option
def restore(file: Path, data: str) -> None:
    """Make the data folder out of FILE (`-`: standard input), which `router backup` wrote.

    The folder must be empty or not exist. Everything is checked before any of it is in its place.
    """
    from router.app.restore import restore as unpack

    with _input(file) as archive, _bar("unpacking") as told:
        manifest = unpack(archive, Path(data), told.add)
    click.echo(
        f"restored {Path(data).absolute()} from {file}: made by router {manifest.version} of "
        f"{manifest.data}, {_time(manifest.made_ms)}",
        err=True,
    )


@contextlib.contextmanager
def _output(file: Path) -> Iterator[tuple[IO[bytes], Path | None]]:
    """Where to write, and the folder beside it; a file is there only once it is whole."""
    from router.app.backup import BackupFailed

    if str(file) == STDOUT:
        if sys.stdout.isatty():
            raise click.UsageError("standard output is a terminal: name a file, or add > FILE")
        yield sys.stdout.buffer, None
        sys.stdout.buffer.flush()
        return
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, 0o600), "wb") as out:
            yield out, file.absolute().parent
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as error:
        raise BackupFailed(f"{file} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _input(file: Path) -> Iterator[IO[bytes]]:
    from router.app.backup import BackupFailed

    if str(file) == STDOUT:
        yield sys.stdin.buffer
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise BackupFailed(f"{file} cannot be read: {error.strerror}") from None
    with opened:
        yield opened


class _Told:
    """What a bar shows."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def step(self, done: int, total: int) -> None:
        """So much of so much."""
        self._bar.update(self._task, completed=done, total=total)

    def add(self, size_bytes: int) -> None:
        """So much more, of nobody knows how much."""
        self._bar.update(self._task, advance=size_bytes)


@contextlib.contextmanager
def _bar(what: str) -> Iterator[_Told]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield _Told(bar, bar.add_task(what, total=None))


def _time(wall_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
