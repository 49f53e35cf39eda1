"""`router queues`."""

from datetime import UTC, datetime

import click

from router.cli.client import Client, client_options, print_json
from router.cli.screen import printable


@click.group()
def queues() -> None:
    """Look into embedded queues without receiving."""


@queues.command()
@click.argument("queue", required=False)
@click.option("--max", "messages_max", default=10, show_default=True, type=click.IntRange(1, 1000))
@client_options
def peek(
    queue: str | None, messages_max: int, data: str, endpoint: str | None, as_json: bool
) -> None:
    """The oldest messages of a queue, or all queues with their counts. Receives nothing."""
    client = Client(data, endpoint)
    if queue is None:
        rows = client.json("router", "ListQueues")["Queues"]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            click.echo(
                f"{row['Name']}  {row['Visible']} waiting, {row['InFlight']} in flight,"
                f" {row['Delayed']} delayed"
            )
        if not rows:
            click.echo("no queues")
        return
    messages = client.json("router", "PeekQueue", QueueName=queue, MaxMessages=messages_max)
    if as_json:
        print_json(messages["Messages"])
        return
    for message in messages["Messages"]:
        group = message.get("MessageGroupId")
        click.echo(
            f"{message['MessageId']}  sent {_time(message['SentTimestamp'])}"
            f"  received {message['ReceiveCount']} times"
            + ("" if group is None else f"  group {group}")
        )
        click.echo(f"  {printable(message['Body'])}")
    if not messages["Messages"]:
        click.echo("empty")
    elif len(messages["Messages"]) == messages_max:
        click.echo(f"these are the oldest {messages_max}; --max shows more", err=True)


def _time(wall_ms: int) -> str:
    text = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
