"""`router events`: sample events, as services send them."""

import json
from typing import Any

import click

HINT = "`router events list` shows them all"


@click.group()
def events() -> None:
    """Make the events that services send to functions, to invoke functions with them."""


@events.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_events(*, as_json: bool) -> None:
    """Every event there is, with its options."""
    from router.cli.samples import SAMPLES, options_of

    rows = [
        (service, name, options_of(sample), str(sample.__doc__).partition("\n")[0])
        for service, samples in SAMPLES.items()
        for name, sample in samples.items()
    ]
    if as_json:
        shown = [
            {"service": service, "event": name, "text": text, "options": _named(options)}
            for service, name, options, text in rows
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    for service, name, options, text in rows:
        click.echo(f"{service} {name}: {text}")
        click.echo(f"    {' '.join(f'--{option}' for option in _named(options))}")


@events.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    options_metavar="[--OPTION VALUE ...] [--set PATH=VALUE ...]",
)
@click.argument("service")
@click.argument("event", required=False)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a member: Records.0.body=hello. The value is JSON, or else text.",
)
@click.pass_context
def generate(
    context: click.Context, service: str, event: str | None, changes: tuple[str, ...]
) -> None:
    """Write a sample EVENT of SERVICE, such as: s3 put --bucket photos --key cat.jpg.

    Give it to a function with `router invoke FUNCTION --payload -`.
    """
    from router.cli.samples import SAMPLES, options_of

    samples = SAMPLES.get(service)
    if samples is None:
        raise click.UsageError(f"there is no service {service!r}; {HINT}")
    words = context.args
    if event is not None and event.startswith("--"):  # the event is left out
        words, event = [event, *words], None
    if event is None and len(samples) == 1:
        event = next(iter(samples))
    sample = samples.get(event or "")
    if sample is None:
        known = ", ".join(samples)
        raise click.UsageError(f"{service} has no event {event or ''!r}; it has: {known}")
    document = sample(**_options(words, options_of(sample)))
    for change in changes:
        _change(document, change)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _named(options: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): default for name, default in options.items()}


def _options(words: list[str], known: dict[str, Any]) -> dict[str, Any]:
    """Options as given, with the types of their defaults. Raises `UsageError`."""
    given: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or key not in known:
            choices = ", ".join(f"--{option}" for option in (*_named(known), "set"))
            raise click.UsageError(f"unknown option {name!r}; there are: {choices}")
        if not has_value:
            if not rest:
                raise click.UsageError(f"{name} needs a value")
            value = rest.pop(0)
        try:
            given[key] = type(known[key])(value)
        except ValueError:
            raise click.UsageError(f"{name} is a number, not {value!r}") from None
    return given


def _change(document: Any, change: str) -> None:
    """Set one member. Raises `UsageError` for a path that leads nowhere."""
    path, has_value, text = change.partition("=")
    if not has_value or not path:
        raise click.UsageError(f"--set takes PATH=VALUE, not {change!r}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *steps, last = path.split(".")
    try:
        for step in steps:
            document = document[int(step)] if isinstance(document, list) else document[step]
        place = int(last) if isinstance(document, list) else last
        document[place] = value
    except (KeyError, IndexError, ValueError, TypeError):
        raise click.UsageError(f"--set {path}: there is no such place in the event") from None
