"""`router plan` and `router apply`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from router.cli.client import Client, client_options, print_json, read_address

_TEMPLATE = click.argument("template", type=click.Path(path_type=Path, dir_okay=False, exists=True))


def _template_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--stack-name", help="Stack name; default: the template's folder.")(
        command
    )
    command = click.option(
        "--allow-data-loss", is_flag=True, help="Remove queues and streams that hold records."
    )(command)
    command = click.option(
        "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="May be repeated."
    )(command)
    return _TEMPLATE(client_options(command))


@click.command()
@_template_options
def plan(**options: Any) -> None:
    """Show what applying TEMPLATE would change; changes nothing.

    Status 0: nothing to change; 2: there are changes; 1: refused.
    """
    document = _carry_out("Plan", **options)
    if document["refused"]:
        sys.exit(1)
    sys.exit(0 if document["empty"] else 2)


@click.command()
@_template_options
def apply(**options: Any) -> None:
    """Apply TEMPLATE to the router on the data folder, running or not, in one transaction."""
    _carry_out("Apply", **options)


def _carry_out(
    operation: str,
    *,
    template: Path,
    parameters: tuple[str, ...],
    stack_name: str | None,
    allow_data_loss: bool,
    data: str,
    endpoint: str | None,
    as_json: bool,
) -> dict[str, Any]:
    import msgspec

    from router.cli.run import parse_parameters
    from router.template.load import load_template

    given = parse_parameters(parameters)
    address = read_address(data)
    if endpoint is not None or address is not None:
        client = Client(data, endpoint)
        about = client.json("router", "Describe")
        desired = load_template(
            template,
            given,
            stack_name=stack_name,
            region=about["region"],
            account=about["account"],
            api_url=about["addresses"]["api"],
            ingress_url=about["addresses"]["ingress"],
            url_base=about["url_base"],
            has_queues=about["has_queues"],
        )
        document = client.json(
            "router",
            operation,
            Desired=msgspec.to_builtins(desired),
            AllowDataLoss=allow_data_loss,
        )
    else:
        document = asyncio.run(
            _on_folder(operation, template, given, stack_name, data, may_lose=allow_data_loss)
        )
    if as_json:
        print_json(document)
    else:
        _show(document, is_applied=operation == "Apply")
    return dict(document)


async def _on_folder(
    operation: str,
    template: Path,
    parameters: dict[str, str],
    stack_name: str | None,
    data: str,
    *,
    may_lose: bool,
) -> dict[str, Any]:
    """Without a running router: on the store itself, or for a plan on nothing yet."""
    import os
    import tempfile

    from router import config
    from router.app import Options
    from router.app.identity import claim, read
    from router.app.stacks import Stacks
    from router.app.template_file import TemplateFile
    from router.app.workers import hosting_of
    from router.cli.run import settings_path
    from router.mapping.driver import SystemClock
    from router.store.catalog import Catalog
    from router.store.sqlite import SqliteStore

    settings = config.load(os.environ, {"data": data}, settings_path(None))
    desired = await TemplateFile(template, parameters, settings, stack_name).read(
        f"http://{settings.api}", f"http://{settings.ingress}"
    )
    folder = claim(settings) if operation == "Apply" else read(settings)
    with tempfile.TemporaryDirectory() as nothing:
        if operation == "Plan" and not (folder / "router.db").exists():
            folder = Path(nothing)
        store = SqliteStore(folder, settings.store)
        await store.open()
        try:
            catalog = Catalog(store.metadata)
            await catalog.load()
            options = Options()
            hosting = hosting_of(settings, options)
            stacks = Stacks(catalog, store, options, folder, SystemClock().wall_ms, hosting=hosting)
            operate: Callable[..., Awaitable[dict[str, Any]]] = getattr(stacks, operation.lower())
            return await operate(desired, may_lose=may_lose)
        finally:
            await store.close()


def _show(document: dict[str, Any], *, is_applied: bool) -> None:
    from router.cli.screen import screen
    from router.template.plan_document import plan_of
    from router.template.render import print_plan

    print_plan(plan_of(document), screen(), is_applied=is_applied)
