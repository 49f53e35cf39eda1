"""`router queues`."""

import click

from router.cli.client import Client, client_options, print_json


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
        click.echo(
            f"{message['MessageId']}  sent {message['SentTimestamp']}"
            f"  received {message['ReceiveCount']} times"
        )
        click.echo(f"  {message['Body']}")
    if not messages["Messages"]:
        click.echo("empty")
