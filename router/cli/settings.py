"""`router settings`."""

import click

from router.cli.client import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def settings(as_json: bool) -> None:
    """Every setting: its environment variable, its place in router.toml, its default."""
    from router.config import describe

    rows = describe()
    if as_json:
        print_json([{"variable": v, "setting": s, "default": d} for v, s, d in rows])
        return
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, pad_edge=False)
    for title in ("variable", "router.toml", "default"):
        table.add_column(title)
    for row in rows:
        table.add_row(*row)
    screen().print(table)
