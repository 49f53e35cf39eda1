"""`router logs`."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.client import data_option
from router.cli.meant import meant
from router.model.errors import NotFound

if TYPE_CHECKING:
    from router.workers.log_files import Follower, LogEntry

POLL_S = 0.2
"""How often files are looked at for new lines."""

AGO = re.compile(r"(\d+)(s|m|h|d|w)", re.ASCII)
AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

LINES = 100
"""Shown without `--since`."""

Shown = Callable[["LogEntry"], bool]


@click.command()
@click.argument("functions", nargs=-1)
@click.option(
    "--lines",
    type=click.IntRange(0, 1_000_000),
    help=f"The last so many.  [default: {LINES}; all with --since]",
)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--since", help="From then on: 90s, 5m, 2h, 1d, 1w ago, or 2026-07-01T10:00:00Z.")
@click.option("--filter", "pattern", default="", help="A filter pattern as CloudWatch has them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
@data_option
def logs(
    functions: tuple[str, ...],
    lines: int | None,
    follow: bool,
    since: str | None,
    pattern: str,
    as_json: bool,
    data: str,
) -> None:
    """What FUNCTIONS wrote, with START, END and REPORT; all functions without a name.

    Each is a name, or the logical id that one template has for it.
    Reads the files in the data folder: works whether a router runs or not. With --follow every
    line is shown once, also when files are rotated meanwhile.
    """
    is_shown = _filter(since, pattern)
    read = _Reading(data, functions)
    if not follow:
        read.check()
    with_name = len(functions) != 1
    count = lines if lines is not None else None if since else LINES
    for name, entry in read.first(count, is_shown, is_any=not (since or pattern)):
        _print(name, entry, with_name=with_name, as_json=as_json)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for name, entry in read.on():
                if is_shown(entry):
                    _print(name, entry, with_name=with_name, as_json=as_json)


def _filter(since: str | None, pattern: str) -> Shown:
    """Which entries `--since` and `--filter` ask for."""
    from router.patterns.log_filter import parse
    from router.patterns.problems import PatternError

    first = "" if since is None else _moment(since)
    try:
        matches = parse(pattern)
    except PatternError as error:
        raise click.BadParameter(str(error), param_hint="--filter") from None
    return lambda entry: entry.time >= first and matches(entry.text)


def _moment(text: str) -> str:
    """A moment as log files write it, which sorts as time does."""
    ago = AGO.fullmatch(text)
    try:
        if ago is not None:
            moment = datetime.now(UTC) - timedelta(**{AGO_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no time", param_hint="--since") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _known(data: str) -> tuple[str, ...]:
    from router.workers.log_files import functions_logged

    return tuple(functions_logged(data))


class _Reading:
    """The logs of some functions, or of all that there are and will be."""

    def __init__(self, data: str, functions: tuple[str, ...]) -> None:
        self._data = data
        self._functions = functions
        self._followers: dict[Path, tuple[str, Follower]] = {}

    def check(self) -> None:
        """Raise `NotFound` for a function that has written nothing."""
        from router.workers.log_files import function_paths

        known = _known(self._data)
        if not known and not self._functions:
            raise NotFound(f"no function has written anything under {self._data}/logs")
        for name in self._functions:
            if not function_paths(self._data, meant(name, known)):
                text = f"function {name} has written nothing under {self._data}"
                raise NotFound(f"{text}; there are: {', '.join(known) or 'none'}")

    def first(
        self, count: int | None, is_shown: Shown, *, is_any: bool
    ) -> list[tuple[str, "LogEntry"]]:
        """The last `count` entries of what there is, oldest first; None: all.

        `is_any`: whether every entry is shown, so that the newest files are enough.
        """
        from router.workers.log_files import Follower

        found: list[tuple[str, LogEntry]] = []
        for path, name in self._paths():
            follower = Follower(path, is_whole=count is None or not is_any)
            entries = follower.read()
            if count is not None and is_any and len(entries) < count:
                follower.close()
                follower = Follower(path)
                entries = follower.read()
            self._followers[path] = name, follower
            found += [(name, entry) for entry in entries if is_shown(entry)]
        found.sort(key=lambda item: item[1].time)
        return found if count is None else found[max(0, len(found) - count) :]

    def on(self) -> Iterator[tuple[str, "LogEntry"]]:
        """What is written from then on, for ever."""
        from router.workers.log_files import Follower

        while True:
            time.sleep(POLL_S)
            for path, name in self._paths():
                if path not in self._followers:
                    self._followers[path] = name, Follower(path)
            for name, follower in self._followers.values():
                for entry in follower.read():
                    yield name, entry

    def _paths(self) -> list[tuple[Path, str]]:
        from router.workers.log_files import function_paths

        known = _known(self._data)
        names = [meant(name, known) for name in self._functions] or known
        return [(path, name) for name in names for path in function_paths(self._data, name)]


def _print(name: str, entry: "LogEntry", *, with_name: bool, as_json: bool) -> None:
    if as_json:
        line = {"function": name, "time": entry.time, "stream": entry.stream, "text": entry.text}
        click.echo(json.dumps(line, ensure_ascii=False))
    elif with_name:
        click.echo(f"{entry.time} {name}: {entry.text}")
    else:
        click.echo(f"{entry.time} {entry.text}")
