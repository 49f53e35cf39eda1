"""`router trace`."""

from pathlib import Path

import click

from router.cli.client import Client, client_options, print_json
from router.cli.mappings import find_mapping


@click.command()
@click.option("--mapping", help="Record this mapping, by name or UUID.")
@click.option("--seconds", default=10, show_default=True, type=click.IntRange(1, 300))
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask this version what it would do; status 1 when it is something else.",
)
@client_options
@click.pass_context
def trace(
    context: click.Context,
    mapping: str | None,
    seconds: int,
    replay: Path | None,
    data: str,
    endpoint: str | None,
    as_json: bool,
) -> None:
    """Record every event and decision of a mapping's engine as JSON lines, or replay them.

    The mapping starts anew for it, as after an update. Payloads, keys, states, filters, ARNs and
    what queues call their messages are not in the record.
    """
    if (mapping is None) == (replay is None):
        raise click.UsageError("name a --mapping to record, or a file to --replay")
    if replay is not None:
        _replay(context, replay)
        return
    client = Client(data, endpoint)
    row = find_mapping(client, mapping or "")
    answer = client.json("router", "TraceMapping", UUID=row["UUID"], Seconds=seconds)
    if as_json:
        print_json(answer)
        return
    for line in answer["Lines"]:
        click.echo(line)
    if answer["IsCut"]:
        text = "the trace ends before its time: it was full, or ParallelizationFactor was changed"
        click.echo(text, err=True)


def _replay(context: click.Context, path: Path) -> None:
    from router.mapping.trace import replay

    lines, difference = replay(path.read_bytes().splitlines())
    if difference is None:
        click.echo(f"{path}: {len(lines) - 1} events, the same decisions")
        return
    click.echo(f"{path}: {difference}")
    context.exit(1)
