"""`router doctor`."""

import sys
from pathlib import Path
from typing import Any

import click

from router.cli.client import client_options, print_json


@click.command()
@click.option("--probe", is_flag=True, help="Try isolation again even when a router runs.")
@client_options
def doctor(probe: bool, data: str, endpoint: str | None, as_json: bool) -> None:
    """Check this machine, the data folder, a running router and its functions.

    Status 1 when something needs attention.
    """
    from router.cli.checks import run_checks

    checks = run_checks(Path(data), data, endpoint, is_probing=probe)
    if as_json:
        print_json([{"check": c.name, "ok": c.is_ok, "text": c.text} for c in checks])
    else:
        _show(checks)
    sys.exit(0 if all(check.is_ok for check in checks) else 1)


def _show(checks: list[Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        mark = "[green]ok[/]" if check.is_ok else "[bold red]attention[/]"
        table.add_row(mark, check.name, escape(check.text))
    screen().print(table)
