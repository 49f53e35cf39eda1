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
            row["Source"].rsplit(":", 1)[-1] if row["EventSourceArn"] else row["Source"],
            _number(row["Lag"]),
            str(row["InFlight"]),
            row["LastProcessingResult"],
        )
    screen().print(table if rows else "no event source mappings")


@mappings.command()
@click.argument("mapping")
@click.option("--lanes", is_flag=True, help="Also every lane that has something unfinished.")
@client_options
def describe(mapping: str, lanes: bool, data: str, endpoint: str | None, as_json: bool) -> None:
    """All settings and the state of one mapping, by name or UUID, and how it gets on.

    Its lag, running invocations, oldest record and last error; its place in each shard.
    """
    client = Client(data, endpoint)
    row = find_mapping(client, mapping)
    full = client.rest("GET", f"{PATH}/{row['UUID']}")
    work = client.json("router", "DescribeMapping", UUID=row["UUID"])
    busy = work.pop("Lanes")
    full |= {"Name": row["Name"], **work}
    shards = client.json("router", "DescribeShards", UUID=row["UUID"])["Shards"]
    if as_json:
        print_json(full | {"Shards": shards} | ({"Lanes": busy} if lanes else {}))
        return
    from rich.markup import escape
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, show_header=False, pad_edge=False)
    for name in ("Name", *sorted(key for key in full if key != "Name")):
        table.add_row(name, escape(_shown(full[name])))
    screen().print(table)
    if shards:
        _print_shards(shards)
    if lanes:
        _print_lanes(busy, work["BusyLanes"])


def _print_shards(shards: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from router.cli.screen import screen

    table = Table(box=None, pad_edge=False)
    for title in ("shard", "state", "position", "lag", "waits for"):
        table.add_column(title, justify="right" if title in {"position", "lag"} else "left")
    for shard in shards:
        numbers = (str(shard["Position"]), _number(shard["Lag"]))
        table.add_row(shard["ShardId"], shard["State"], *numbers, ", ".join(shard["WaitsFor"]))
    screen().print(table)


def _print_lanes(lanes: list[dict[str, Any]], count: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    from router.cli.screen import screen

    if not lanes:
        screen().print("no lane has anything unfinished")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("shard", "lane", "state", "records", "failed", "next try", "oldest", "position"):
        table.add_column(title, justify="left" if title in {"shard", "lane", "state"} else "right")
    for lane in lanes:
        rest_s = lane["RestSeconds"]
        table.add_row(
            escape(lane["Shard"]),
            escape(lane["Lane"]),
            lane["State"],
            str(lane["Records"]),
            str(lane["FailedAttempts"]),
            f"in {rest_s:.1f} s" if rest_s else "",
            _seconds(lane["OldestRecordAgeSeconds"]),
            "" if lane["Position"] is None else str(lane["Position"]),
        )
    screen().print(table)
    if count > len(lanes):
        screen().print(f"… and {count - len(lanes)} more")


def _number(count: int | None) -> str:
    """A count, or that nobody knows it."""
    return "-" if count is None else str(count)


def _seconds(age_s: float | None) -> str:
    return "" if age_s is None else f"{age_s:.1f} s"


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
    if value is None:
        return "-"
    if isinstance(value, dict) and set(value) == {"Text", "AgoSeconds"}:
        return f"{value['Text']} ({_seconds(value['AgoSeconds'])} ago)"
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
