"""Where tables for people go."""

from rich.console import Console

PLAIN_WIDTH = 200
"""Columns when the output is no terminal: a table in a file or a pipe is not squeezed."""


def printable(text: str) -> str:
    """Text of strangers as a terminal may have it: what would steer it is written out."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def screen() -> Console:
    """Standard output, as wide as the terminal. An ARN's `:secret:` is no picture."""
    console = Console(highlight=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(width=PLAIN_WIDTH, highlight=False, emoji=False)
