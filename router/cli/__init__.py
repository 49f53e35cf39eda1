"""The `router` command: one file per command, imported only when it is asked for."""

import importlib
import sys

import click

COMMANDS = {
    "run": ("router.cli.run", "Apply a template and serve it, in the foreground."),
    "serve": ("router.cli.run", "Serve for production: settings from environment and file."),
    "plan": ("router.cli.plan", "Show what applying a template would change."),
    "apply": ("router.cli.plan", "Apply a template to a running router or to its data folder."),
    "invoke": ("router.cli.invoke", "Invoke a function of a running router."),
    "events": ("router.cli.events", "Make the sample events that services send to functions."),
    "mappings": (
        "router.cli.mappings",
        "List, describe, enable and disable event source mappings.",
    ),
    "trace": ("router.cli.trace", "Record what a mapping decides, or replay such a record."),
    "queues": ("router.cli.queues", "Look into embedded queues without receiving."),
    "logs": ("router.cli.logs", "Show what functions wrote."),
    "health": ("router.cli.health", "Ask a running router whether it is ready."),
    "backup": ("router.cli.backup", "Back the data folder up while a router runs on it."),
    "restore": ("router.cli.backup", "Make a data folder out of a back-up."),
    "doctor": ("router.cli.doctor", "Check this machine, the data folder and the functions."),
    "settings": ("router.cli.settings", "List every setting, its variable and its default."),
}


class _Lazy(click.Group):
    """Loads a command's module when the command is used, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="event-router", prog_name="router")
def cli() -> None:
    """Event Router: a self-hosted event router that speaks AWS Lambda."""


def main() -> None:
    """Run the command; errors raised on purpose become one line and status 1."""
    from router.model.errors import RouterError

    try:
        cli(standalone_mode=True)
    except RouterError as error:
        click.echo(f"router: {error}", err=True)
        sys.exit(1)
