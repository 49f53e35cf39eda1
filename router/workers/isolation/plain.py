"""Rung 1: what every Unix offers. Stops accidents, not attacks."""

import contextlib
import os
import resource
import signal
from collections.abc import Iterable

from . import libc

OPEN_FILES_MAX = 1024
"""File descriptors of one environment (Lambda quota)."""

PROCESSES_MAX = 1024
"""Processes and threads of one environment (Lambda quota)."""

FD_MAX = 1 << 20
"""No file descriptor is above this: the kernel's own ceiling (`fs.nr_open`) by default."""


def close_files(keep: Iterable[int]) -> None:
    """Close every file descriptor but `keep`."""
    first = 0
    for fd in sorted({fd for fd in keep if fd >= 0}):
        if first < fd:  # closerange() of an empty range from 0 closes everything
            os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, FD_MAX)


def own_session() -> None:
    """Become leader of a session and process group, so that one `killpg` reaches the children."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.umask(0o022)


def give_way() -> None:
    """Be scheduled as batch work (ADR 8): waking up takes no processor from whoever runs.

    The share of a processor is the same; only who has just been woken waits until the one that
    woke it is done or has had its time. A host that does not know the wish is no worse.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def limit(file_bytes_max: int, *, processes: bool) -> None:
    """Set the limits that break nobody.

    No RLIMIT_AS (fails threads and other runtimes long before the memory is used) and no RLIMIT_CPU
    (adds up over reuse). RLIMIT_NPROC counts per user, so `processes` needs an own user.
    `file_bytes_max` below 0 limits no file.
    """
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
        (resource.RLIMIT_MEMLOCK, 64 * 1024),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if file_bytes_max >= 0:
        limits.append((resource.RLIMIT_FSIZE, file_bytes_max))
    if processes:
        limits.append((resource.RLIMIT_NPROC, PROCESSES_MAX))
    for kind, wanted in limits:
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def forgo_privileges() -> None:
    """Drop every capability and the right to gain one by exec (set-uid programs, file caps)."""
    libc.drop_capabilities()
    libc.prctl("no_new_privs", libc.PR_SET_NO_NEW_PRIVS, 1)


def be_inspectable() -> None:
    """Undo what changing the user did to `/proc/self`: root would own its files.

    Without it a handler could not open `/dev/stdout`. Other functions are kept out by Landlock and
    by their user, not by this.
    """
    libc.prctl("dumpable", libc.PR_SET_DUMPABLE, 1)


def hide_from_peers() -> None:
    """Keep processes of the same user from `/proc/<pid>` and memory of the calling one.

    For the router itself, whatever the rung: `environ`, `mem` and ptrace are refused to everybody
    without CAP_SYS_PTRACE, and there is no core dump. Forked children inherit it, exec clears it.
    """
    libc.prctl("dumpable", libc.PR_SET_DUMPABLE, 0)


def die_with(parent_pid: int) -> None:
    """Be killed when the parent ends. Raises if it has ended already.

    Last of all steps: changing the user clears the wish.
    """
    libc.prctl("pdeathsig", libc.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent_pid:
        raise OSError("the parent process has ended")
