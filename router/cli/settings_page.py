"""The settings reference, `docs/settings.md`: made of the tree and of the commands' options."""

from collections.abc import Sequence

import click

from router.config.describe import Setting, sections, settings
from router.config.tree import SECTION_PREFIX

HEAD = """\
# Settings

Made by `router settings --markdown` from `router/config/tree.py`. What is set where you are, and
where: `router settings`.

A setting is read from the file `router.toml` in the working folder, or the one that `--settings`
names, then from its variable, then from its option; later wins. They are read at start, and
changed by a restart; templates, code and secrets can change while the router runs
([operate.md](operate.md#reload)). An unknown name, a value that its setting cannot have and a
file that cannot be read end the start with status 2.

Lists are separated by commas in variables (`landlock,uid`), tables written as
`NAME=VALUE,NAME=VALUE`. In the file a section is a table: `[store]`. A variable that is empty
counts as not set. Variables that Kubernetes adds for Services whose names begin with `router`
(`ROUTER_API_SERVICE_HOST`, `ROUTER_API_PORT=tcp://…`) are told from settings by their form, and
left alone.
"""

NO_SETTINGS = """
## Variables that are no settings

| variable | what |
| --- | --- |
| `ROUTER_SECRET_<NAME>` | the secret `NAME`, in capitals, all but letters and digits as `_` |
| `ROUTER_ENDPOINT` | API address for commands that ask a running router, as `--endpoint` |
| `ROUTER_CHAOS` | `POINT:NUMBER`: the router kills itself there, for tests |
| `AWS_REGION` | the region, where `ROUTER_REGION` is not set |
| `AWS_…` | credentials and endpoints of AWS's own SDK, for what is read from and delivered to AWS |
"""


def page() -> str:
    """The whole document."""
    every = settings()
    parts = [HEAD, "\n## The router itself\n", _table([it for it in every if "." not in it.name])]
    for name, text in sections().items():
        about = " ".join(text.split())
        parts.append(
            f"\n## [{name}]\n\n{about} Variables begin with `ROUTER_{SECTION_PREFIX[name]}_`.\n"
        )
        parts.append(_table([it for it in every if it.name.startswith(f"{name}.")]))
    parts += [NO_SETTINGS, _options()]
    return "".join(parts)


def _table(rows: Sequence[Setting]) -> str:
    lines = ["\n| setting | variable | is | default | what |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        names = [f"`{name}`" for name in (row.variable, row.option) if name]
        sort = row.must_be + (f" ({row.unit})" if row.unit else "")
        cells = (
            f"`{row.name}`",
            ", ".join(names) or "only in the file",
            sort,
            f"`{row.default}`" + _people(row),
            row.meaning,
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _people(row: Setting) -> str:
    """A large number of bytes as people say it."""
    size_bytes = int(row.default) if row.unit == "bytes" else 0
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes and size_bytes % unit == 0:
            return f" ({size_bytes // unit} {name})"
    return ""


def _options() -> str:
    from router.cli.run import run, serve

    texts: dict[str, list[str]] = {}
    for command in (run, serve):
        context = click.Context(command)
        for option in command.params:
            if isinstance(option, click.Option):
                value = "" if option.is_flag else f" {option.make_metavar(context)}"
                about = texts.setdefault(option.opts[0] + value, [])
                if option.help and option.help not in about:
                    about.append(option.help)
    lines = [
        "\n## Options of `router run` and `router serve`\n",
        "| option | what |",
        "| --- | --- |",
        *(
            f"| `{_cell(name)}` | {_cell(' '.join(about) or 'As its setting.')} |"
            for name, about in texts.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text of a table, in which a bar would end the cell."""
    return text.replace("|", "\\|")
