"""Whether a connection comes from a process of one environment.

The kernel says which socket is at the other end; a process of the environment must hold it. At
isolation rung 3 the socket's user must be the function's as well. Where the router may not look at
descriptors of other users (root without CAP_SYS_PTRACE), the user alone has to do: it keeps
functions apart, not two environments of one function.
"""

import contextlib
import os
from typing import Final

from router.auth.peer import Connected, listener_owner, peer_owner
from router.workers.usage import children_of

OWN_DESCRIPTORS_MAX: Final = 256
"""Looked at in the environment's first process at once: there it nearly always is."""

PROCESSES_MAX: Final = 64
"""Looked at below it, in a thread."""


class Stranger(Exception):
    """The peer is not of this environment."""


def is_own(connection: Connected, pid: int, uid: int | None) -> bool | None:
    """Whether process `pid` holds the other end; None: a process below it may (`is_below`).

    Raises `Stranger`.
    """
    try:
        owner = peer_owner(connection)
    except OSError:
        owner = None
    if owner is None or not owner.inode or (uid is not None and owner.uid != uid):
        raise Stranger
    try:
        if _holds(pid, owner.inode, OWN_DESCRIPTORS_MAX):
            return True
    except PermissionError:
        if uid is not None:
            return True
        raise Stranger from None
    except OSError:
        raise Stranger from None
    return None


def is_below(connection: Connected, pid: int) -> bool:
    """Whether a process that `pid` started holds the other end. Blocks for some ms at most."""
    try:
        owner = peer_owner(connection)
    except OSError:
        owner = None
    return owner is not None and _is_held_below(pid, owner.inode)


def listens(port: int, pid: int, uid: int | None) -> bool:
    """Whether `pid` or a process below it listens on this port of loopback. Blocks as `is_below`.

    Where descriptors of other users cannot be looked at, their user has to do, as for connections.
    """
    owner = listener_owner(port)
    if owner is None or (uid is not None and owner.uid != uid):
        return False
    try:
        os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  # only whether it may be read
    except PermissionError:
        return uid is not None
    except OSError:
        return False
    return _is_held_below(pid, owner.inode)


def _is_held_below(pid: int, inode: int) -> bool:
    if not inode:
        return False
    waiting = [pid]
    for _ in range(PROCESSES_MAX):
        if not waiting:
            return False
        one = waiting.pop(0)
        waiting += children_of(one)
        with contextlib.suppress(OSError):
            if _holds(one, inode, OWN_DESCRIPTORS_MAX):
                return True
    return False


def _holds(pid: int, inode: int, descriptors_max: int) -> bool:
    wanted = f"socket:[{inode}]"
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder)[:descriptors_max]:  # noqa: PTH208
        try:
            if os.readlink(f"{folder}/{fd}") == wanted:  # noqa: PTH115
                return True
        except FileNotFoundError:
            continue
    return False
