"""What an environment and the processes it started use: memory, processes and threads.

Read from `/proc`, from outside. Anonymous memory is what counts, and memory that processes share
without a file: address space would break threads, resident memory would count what all
environments share (`reliability.md` 9).
"""

import contextlib
import os
import re

import msgspec

from router.workers.isolation.plain import PROCESSES_MAX

_MEMORY = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+)", re.MULTILINE)
_THREADS = re.compile(rb"^Threads:\s+(\d+)", re.MULTILINE)
_OWN_SHARE = re.compile(rb"^Pss_(?:Anon|Shmem):\s+(\d+)", re.MULTILINE)


_READ_BYTES = 16 * 1024
"""One read: more than such a file usually has."""

THREADS_UNKNOWN = 0
"""All threads are looked up."""

_BLOCK_BYTES = 512
"""Unit of `st_blocks`, whatever the file system's own is."""

_NAMES_MAX = 20_000
"""Files looked at in one folder; one with more counts as full."""


class Usage(msgspec.Struct, frozen=True):
    """One environment at one moment."""

    memory_kb: int
    """KiB. Processes that forked share pages: counted once, if the kernel says, when it matters."""
    tasks: int
    """Processes and threads; looking ends above `PROCESSES_MAX`."""


def usage_of(pid: int, memory_kb_max: int) -> Usage:
    """Of `pid` and everything below it; zero when it is gone.

    The cheap sum counts what forks share several times over. Only when that is above
    `memory_kb_max` the kernel is asked for each process's own share, which walks all its pages.
    """
    tree: list[int] = []
    waiting = [pid]
    memory_kb = tasks = 0
    while waiting and tasks <= PROCESSES_MAX:
        one = waiting.pop()
        try:
            status = _read(f"/proc/{one}/status")
        except OSError:
            continue
        threads = _number(_THREADS, status)
        tree.append(one)
        tasks += threads
        memory_kb += _sum(_MEMORY, status)
        waiting += _children(one, threads)
    if memory_kb > memory_kb_max and len(tree) > 1:
        shares = [_own_share_kb(one) for one in tree]
        known = [share for share in shares if share is not None]
        if len(known) == len(shares):
            memory_kb = sum(known)
    return Usage(memory_kb, tasks)


def is_folder_over(path: str, bytes_max: int) -> bool:
    """Whether the files below a folder take up more disk, or are more than can be looked at.

    Links are not followed, whatever the folder's owner puts in their place meanwhile. Files that
    are open and have no name any more are not seen.
    """
    used = names = 0
    with contextlib.suppress(OSError):
        for _, folders, files, folder_fd in os.fwalk(path):
            names += len(folders) + len(files)
            for name in files:
                with contextlib.suppress(OSError):
                    facts = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
                    used += facts.st_blocks * _BLOCK_BYTES
            if used > bytes_max or names > _NAMES_MAX:
                return True
    return False


def children_of(pid: int) -> list[int]:
    """The processes it started that still run; none when it is gone."""
    return _children(pid, THREADS_UNKNOWN)


def _read(path: str) -> bytes:
    """A file of `/proc`, whole.

    It is done several times a second for each environment: no more calls than it takes.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _READ_BYTES)
        while more := os.read(fd, _READ_BYTES):
            text += more
        return text
    finally:
        os.close(fd)


def _sum(pattern: re.Pattern[bytes], text: bytes) -> int:
    return sum(map(int, pattern.findall(text)))


def _number(pattern: re.Pattern[bytes], text: bytes) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else 0


def _children(pid: int, threads: int) -> list[int]:
    """Children by the thread that forked them; a kernel that does not say has none."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        tids = [str(pid)] if threads == 1 else os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        for tid in tids:
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{tid}/children").split())
    return found


def _own_share_kb(pid: int) -> int | None:
    """KiB with shared pages divided among those who share; None when not told."""
    try:
        text = _read(f"/proc/{pid}/smaps_rollup")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except OSError:
        return None
    return _sum(_OWN_SHARE, text) if _OWN_SHARE.search(text) else None
