"""`router mappings`."""

import json
from typing import Any

import click

from router.cli.client import CallFailed, Client, client_options, print_json

PATH = "/2015-03-31/event-source-mappings"


@click.group()
def mappings() -> None:
    """List, describe, enable and disable event source mappings."""


@mappings.command("list")
@client_options
def list_(data: str, endpoint: str | None, as_json: bool) -> None:
    """All mappings with their state, trouble first."""
    rows = Client(data, endpoint).json("router", "ListMappings")["Mappings"]
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, pad_edge=False)
    for title in ("mapping", "state", "function", "source", "lag", "in flight", "last result"):
        table.add_column(title, justify="right" if title in {"lag", "in flight"} else "left")
    for row in rows:
        table.add_row(
            row["Name"],
            row["State"],
            row["FunctionName"],
            row["EventSourceArn"].rsplit(":", 1)[-1],
            str(row["Lag"]),
            str(row["InFlight"]),
            row["LastProcessingResult"],
        )
    screen().print(table if rows else "no event source mappings")


@mappings.command()
@click.argument("mapping")
@client_options
def describe(mapping: str, data: str, endpoint: str | None, as_json: bool) -> None:
    """All settings and the state of one mapping, by name or UUID, and its place in each shard."""
    client = Client(data, endpoint)
    row = find_mapping(client, mapping)
    full = client.rest("GET", f"{PATH}/{row['UUID']}")
    full |= {"Name": row["Name"], "Lag": row["Lag"], "InFlight": row["InFlight"]}
    shards = client.json("router", "DescribeShards", UUID=row["UUID"])["Shards"]
    if as_json:
        print_json(full | {"Shards": shards})
        return
    from rich.markup import escape
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, show_header=False, pad_edge=False)
    for name in ("Name", *sorted(key for key in full if key != "Name")):
        table.add_row(name, escape(_shown(full[name])))
    screen().print(table)
    places = Table(box=None, pad_edge=False)
    for title in ("shard", "state", "position", "lag", "waits for"):
        places.add_column(title, justify="right" if title in {"position", "lag"} else "left")
    for shard in shards:
        numbers = (str(shard["Position"]), str(shard["Lag"]))
        places.add_row(shard["ShardId"], shard["State"], *numbers, ", ".join(shard["WaitsFor"]))
    screen().print(places)


@mappings.command()
@click.argument("mapping")
@client_options
def enable(mapping: str, data: str, endpoint: str | None, as_json: bool) -> None:
    """Enable a mapping: it goes on after the last finished record."""
    _switch(Client(data, endpoint), mapping, as_json=as_json, is_enabled=True)


@mappings.command()
@click.argument("mapping")
@client_options
def disable(mapping: str, data: str, endpoint: str | None, as_json: bool) -> None:
    """Disable a mapping: running invocations end, its place is kept."""
    _switch(Client(data, endpoint), mapping, as_json=as_json, is_enabled=False)


def _shown(value: Any) -> str:
    """A setting as text; filters one a line, as they were given."""
    if isinstance(value, dict) and set(value) == {"Filters"}:
        return "\n".join(item["Pattern"] for item in value["Filters"])
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _switch(client: Client, mapping: str, *, as_json: bool, is_enabled: bool) -> None:
    row = find_mapping(client, mapping)
    answer = client.rest("PUT", f"{PATH}/{row['UUID']}", {"Enabled": is_enabled})
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{row['Name']}: {answer['State']}")


def find_mapping(client: Client, mapping: str) -> dict[str, Any]:
    """The row of a mapping, by name or UUID. Raises `CallFailed`."""
    rows: list[dict[str, Any]] = client.json("router", "ListMappings")["Mappings"]
    found = [row for row in rows if mapping in {row["Name"], row["UUID"]}]
    if not found:
        names = ", ".join(row["Name"] for row in rows) or "none"
        raise CallFailed(f"no mapping {mapping!r}; there are: {names}")
    if len(found) > 1:
        raise CallFailed(
            f"{len(found)} mappings are called {mapping!r}; use the UUID: "
            + ", ".join(row["UUID"] for row in found)
        )
    return found[0]
