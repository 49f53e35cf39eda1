"""`router logs`."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.client import data_option
from router.model.errors import NotFound

if TYPE_CHECKING:
    from router.workers.logs import LogEntry

POLL_S = 0.2


@click.command()
@click.argument("function", required=False)
@click.option("--lines", default=100, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
@data_option
def logs(function: str | None, lines: int, follow: bool, as_json: bool, data: str) -> None:
    """What FUNCTION wrote, with START, END and REPORT; all functions without a name.

    Reads the files in the data folder: works whether a router runs or not.
    """
    functions = [function] if function else _known(data)
    if not functions:
        raise NotFound(f"no function has written anything under {data}/logs")
    shown = _merged(data, functions, lines)
    for name, entry in shown:
        _print(name, entry, with_name=len(functions) > 1, as_json=as_json)
    if follow:
        try:
            for name, entry in _follow(data, function):
                _print(name, entry, with_name=function is None, as_json=as_json)
        except KeyboardInterrupt:
            return


def _known(data: str) -> list[str]:
    return sorted(path.name.removesuffix(".log") for path in (Path(data) / "logs").glob("*.log"))


def _merged(data: str, functions: list[str], lines: int) -> list[tuple[str, "LogEntry"]]:
    from router.workers.logs import log_path, read_log

    found = []
    for name in functions:
        if not log_path(data, name).exists():
            known = ", ".join(_known(data)) or "none"
            raise NotFound(f"function {name} has written nothing under {data}; there are: {known}")
        found += [(name, entry) for entry in read_log(data, name, lines)]
    found.sort(key=lambda item: item[1].time)
    return found[-lines:] if lines else []


def _follow(data: str, function: str | None) -> Iterator[tuple[str, "LogEntry"]]:
    """New lines for ever; a file that became smaller was rotated and is read from its start."""
    from router.workers.logs import log_path, parse_line

    names = [function] if function else _known(data)
    sizes = {name: _size(log_path(data, name)) for name in names}
    while True:
        time.sleep(POLL_S)
        for name in [function] if function else _known(data):
            path, start = log_path(data, name), sizes.get(name, 0)
            size = _size(path)
            if size < start:
                start = 0
            if size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    text = file.read(size - start)
                whole = text[: text.rfind(b"\n") + 1]
                sizes[name] = start + len(whole)
                for row in whole.decode("utf-8", "replace").split("\n")[:-1]:
                    if (entry := parse_line(row)) is not None:
                        yield name, entry


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _print(name: str, entry: "LogEntry", *, with_name: bool, as_json: bool) -> None:
    if as_json:
        line = {"function": name, "time": entry.time, "stream": entry.stream, "text": entry.text}
        click.echo(json.dumps(line, ensure_ascii=False))
    elif with_name:
        click.echo(f"{entry.time} {name}: {entry.text}")
    else:
        click.echo(f"{entry.time} {entry.text}")
