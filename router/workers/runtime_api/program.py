"""What an environment runs when it is not the Python of the fast path."""

from collections.abc import Mapping

import msgspec


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that speaks the Runtime API, and what it needs.

    Words of `commands` and texts of `variables` may hold `{task}`, `{opt}`, `{tmp}` and
    `{runtime}`: the folders as the function sees them, which depends on the isolation there is.
    Those of an image are taken as they are.
    """

    commands: tuple[tuple[str, ...], ...]
    """Program and arguments; the first whose program is a file is run. Paths are absolute, or in
    an image also names to be found on its PATH."""
    variables: dict[str, str] = {}
    """Besides those every environment has; a user's own of the same name win."""
    read_only: tuple[str, ...] = ()
    """Files and folders of the host it needs, seen where they are."""
    runtime: str | None = None
    """Folder of the host that it sees as its runtime folder; empty: none, None: that of Python."""

    root: str = ""
    """Folder of the host that is all it sees: an unpacked image. Empty for other functions."""
    folder: str = "{task}"
    """Where it starts."""

    def commands_in(self, paths: Mapping[str, str]) -> list[list[str]]:
        """The commands for an environment that sees its folders at `paths`."""
        if self.root:
            return [list(command) for command in self.commands]
        return [[_filled(word, paths) for word in command] for command in self.commands]

    def folder_in(self, paths: Mapping[str, str]) -> str:
        """Where it starts in such an environment."""
        return self.folder if self.root else _filled(self.folder, paths)

    def variables_in(self, paths: Mapping[str, str]) -> dict[str, str]:
        """The variables for such an environment."""
        if self.root:
            return self.variables
        return {name: _filled(text, paths) for name, text in self.variables.items()}


def _filled(text: str, paths: Mapping[str, str]) -> str:
    if "{" not in text:
        return text
    inside = {"task": "/var/task", "opt": "/opt", "tmp": "/tmp", "runtime": "/var/runtime"}  # noqa: S108
    for name, usual in inside.items():
        text = text.replace(f"{{{name}}}", paths.get(name) or usual)
    return text
