"""`router settings`."""

import os
from pathlib import Path
from typing import Any

import click

from router.cli.client import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with meanings and bounds.")
@click.option("--markdown", is_flag=True, help="Print the reference, without what is set here.")
@click.option(
    "--settings",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="router.toml to read.",
    show_default="router.toml in this folder, if there is one",
)
def settings(as_json: bool, markdown: bool, file: Path | None) -> None:  # fmt: skip
    """Every setting as `router run` would have it here, and where it was set.

    Read from router.toml, the environment and defaults. Secrets are not shown.
    """
    if markdown:
        from router.cli.settings_page import page

        click.echo(page(), nl=False)
        return
    rows = _rows(file)
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, pad_edge=False)
    for title in ("setting", "value", "from", "variable"):
        table.add_column(title, overflow="fold")
    for row in rows:
        is_set = row["from"] != "default"
        style = "bold" if is_set else ""
        table.add_row(row["setting"], row["value"], row["from"], row["variable"], style=style)
    screen().print(table, markup=False)


def _rows(file: Path | None) -> list[dict[str, Any]]:
    """Raises `ConfigError`."""
    from router import config
    from router.cli.run import settings_path
    from router.config.describe import settings as described
    from router.config.describe import value_of

    loaded = config.read(os.environ, file=settings_path(file))
    return [
        {
            "setting": one.name,
            "value": value_of(one, loaded.settings),
            "from": loaded.origins.get(one.name, "default"),
            "variable": one.variable,
            "option": one.option,
            "default": one.default,
            "unit": one.unit,
            "must_be": one.must_be,
            "meaning": one.meaning,
        }
        for one in described()
    ]
