r"""The files that function logs are kept in: where they are, what a line is, reading and following.

    2026-07-01T10:00:00.123Z ⟶ log stream ⟶ text            (⟶ is a tab)

One line is one log event. An event of several lines (a traceback) keeps them in one, joined by
`\r`, which reading turns into newlines. Lines are only ever appended; a file that is full is
renamed (`name.log.1` is the newest of those) and a new one begun. A function that writes into a
log group of its own choice has a file of its own for it, in a folder that says the group's name.
"""

import contextlib
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from router.model.log_settings import default_group

FILES_KEPT: Final = 3
"""Rotated files kept per function: `name.log.1` is the newest."""

READ_BYTES: Final = 1 << 20
"""Read of a followed file at a time."""

PATHS_REMEMBERED: Final = 1_024
"""Where logs of so many functions are is not looked for again."""

UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")

GROUP_FILE: Final = "group"
"""In the folder of a log group: its name."""

Line = tuple[int, str]
"""Epoch milliseconds and text without a newline."""


class LogStream(msgspec.Struct, frozen=True, eq=False):
    """What one environment's lines are written as. No two are equal."""

    function: str
    name: str
    group: str = ""
    """Empty: the function's default one."""

    @property
    def instance(self) -> str:
        """The end of its name: 32 hexadecimal digits that no other environment has."""
        return self.name[-32:]


class LogEntry(msgspec.Struct, frozen=True):
    """One log event as read back."""

    time: str
    """UTC, `2026-07-01T10:00:00.123Z`."""
    stream: str
    """Log stream: one per environment."""
    text: str


def logs_folder(data_dir: str | Path) -> Path:
    """Where all logs are."""
    return Path(data_dir) / "logs"


@functools.lru_cache(maxsize=PATHS_REMEMBERED)
def log_path(data_dir: str | Path, function: str, group: str = "") -> Path:
    """The file that a function's lines are appended to."""
    folder = logs_folder(data_dir)
    if group:
        folder /= f"groups/{hashlib.sha256(group.encode()).hexdigest()[:32]}"
    return folder / f"{UNSAFE.sub('_', function)}.log"


def make_folder(path: Path, group: str) -> None:
    """Make the folder of a log file that has none yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if group:
        (path.parent / GROUP_FILE).write_text(group, "utf-8")


def group_paths(data_dir: str | Path) -> dict[str, list[Path]]:
    """Every log group that was written into, and the files of its functions."""
    folder = logs_folder(data_dir)
    found: dict[str, list[Path]] = {}
    for path in sorted(_logs_in(folder)):
        found.setdefault(default_group(path.name.removesuffix(".log")), []).append(path)
    for marker in sorted(folder.glob(f"groups/*/{GROUP_FILE}")):
        if paths := sorted(_logs_in(marker.parent)):
            found.setdefault(marker.read_text("utf-8"), []).extend(paths)
    return found


def function_paths(data_dir: str | Path, function: str) -> list[Path]:
    """Every log file of a function, its default group's first."""
    name = log_path(data_dir, function).name
    folder = logs_folder(data_dir)
    paths = [folder / name, *sorted(folder.glob(f"groups/*/{name}"))]
    return [path for path in paths if generations(path)]


def functions_logged(data_dir: str | Path) -> list[str]:
    """Names of the functions that have written anything."""
    folder = logs_folder(data_dir)
    paths = {*_logs_in(folder)}.union(*(_logs_in(inner) for inner in folder.glob("groups/*")))
    return sorted({path.name.removesuffix(".log") for path in paths})


def _logs_in(folder: Path) -> set[Path]:
    """Log files, by the name they are appended to: one just renamed still counts."""
    found = {path for path in folder.glob("*.log") if path.is_file()}
    return found | {path.with_suffix("") for path in folder.glob("*.log.1")}


def generations(path: Path) -> list[Path]:
    """The files of one log that there are, oldest first."""
    names = [path.with_name(f"{path.name}.{index}") for index in range(FILES_KEPT, 0, -1)]
    return [name for name in (*names, path) if name.exists()]


def read_log(data_dir: str | Path, function: str, lines: int) -> list[LogEntry]:
    """The last `lines` log events of a function, oldest first; none when it never wrote."""
    found: list[LogEntry] = []
    for path in function_paths(data_dir, function):
        with Follower(path) as follower:
            found += follower.read()
    found.sort(key=lambda entry: entry.time)
    return found[-lines:] if lines > 0 else []


def parse_line(row: str) -> LogEntry | None:
    """One line of a log file; None when it is not one."""
    parts = row.split("\t", 2)
    if len(parts) != 3:
        return None
    return LogEntry(parts[0], parts[1], parts[2].replace("\r", "\n"))


class Follower:
    """Reads what is appended to one log, each event once, whatever is renamed meanwhile."""

    def __init__(self, path: Path, *, is_whole: bool = True) -> None:
        """Begin with the oldest event kept, or else with the newest file."""
        self._path = path
        self._file: BinaryIO | None = None
        self._partial = b""
        there = generations(path)
        if there:
            self._open(there[0 if is_whole else -1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def read(self) -> list[LogEntry]:
        """What was appended since the last time."""
        found = self._rest()
        while self._is_renamed():
            found += self._rest()  # nothing is appended to it any more
            self._open(self._next())
            found += self._rest()
        return found

    def close(self) -> None:
        """Follow no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: Path) -> None:
        self.close()
        self._partial = b""
        with contextlib.suppress(FileNotFoundError):  # renamed this moment: looked for again
            self._file = path.open("rb")

    def _is_renamed(self) -> bool:
        """Whether there is a newer file than the one that is read."""
        inode = _inode(self._path)
        return inode is not None and inode != self._own_inode()

    def _next(self) -> Path:
        """The file after the one that is read; the oldest one when that is gone."""
        there = generations(self._path)
        inodes = [_inode(path) for path in there]
        own = self._own_inode()
        if own is not None and own in inodes[:-1]:
            return there[inodes.index(own) + 1]
        return there[0] if there else self._path

    def _own_inode(self) -> int | None:
        return None if self._file is None else os.fstat(self._file.fileno()).st_ino

    def _rest(self) -> list[LogEntry]:
        found: list[LogEntry] = []
        while self._file is not None and (chunk := self._file.read(READ_BYTES)):
            *rows, self._partial = (self._partial + chunk).split(b"\n")
            parsed = (parse_line(row.decode("utf-8", "replace")) for row in rows)
            found += [entry for entry in parsed if entry is not None]
        return found


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
