"""Rung 2, files, TCP ports and signals: the kernel's Landlock, by its three system calls.

What is not granted is refused with EACCES (files, ports) or EPERM (signals), to the process and all
its descendants, for good. Another process of the same user cannot be traced nor its `/proc/<pid>`
secrets read. What the kernel's ABI does not know yet is left out of the ruleset.
"""

import os
import struct
from collections.abc import Iterable, Sequence

from . import libc

# linux/landlock.h; numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH, _RULE_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_CHANGE_TREE = 0x3F << 4 | 1 << 12  # remove and make files, folders, sockets, fifos, symlinks
_MAKE_DEVICE = 1 << 6 | 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

ABI_NETWORK = 4
ABI_SCOPE = 6

READ = EXECUTE | READ_FILE | READ_DIR
CHANGE = READ | WRITE_FILE | _CHANGE_TREE & ~_MAKE_DEVICE | _REFER | _TRUNCATE
DEVICE = READ_FILE | WRITE_FILE | _IOCTL_DEVICE
_ONLY_FOLDERS = READ_DIR | _CHANGE_TREE | _MAKE_DEVICE | _REFER

_ALL_FILES = (
    0,
    (1 << 13) - 1,
    (1 << 14) - 1,
    (1 << 15) - 1,
    (1 << 15) - 1,
    (1 << 16) - 1,
)
"""Every file right known to ABI 0, 1, 2 …; later ABIs added none that matters here."""


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return libc.syscall("landlock", _CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError:
        return 0


def ruleset(grants: Iterable[tuple[str, int]], ports: Sequence[int] | None, version: int) -> int:
    """Make a ruleset and return its file descriptor.

    `grants` are paths that exist, with the rights beneath them. `ports` are the TCP ports that may
    be connected to; None leaves the network open. A grant that cannot be opened raises.
    """
    files = _ALL_FILES[min(version, len(_ALL_FILES) - 1)]
    network = 0 if ports is None else _BIND_TCP | _CONNECT_TCP
    if network and version < ABI_NETWORK:
        raise OSError(f"closing the network needs Landlock ABI {ABI_NETWORK}, here is {version}")
    scope = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS
    size = 8 if version < ABI_NETWORK else 16 if version < ABI_SCOPE else 24
    wanted = struct.pack("=QQQ", files, network, scope)[:size]
    fd = libc.syscall("landlock_create_ruleset", _CREATE_RULESET, wanted, size, 0)
    try:
        for path, rights in grants:
            _grant_path(fd, path, rights & files)
        for port in ports or ():
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            libc.syscall("landlock_add_rule", _ADD_RULE, fd, _RULE_PORT, rule, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def restrict(ruleset_fd: int) -> None:
    """Put the ruleset on this process for good, and close it. Needs no_new_privs."""
    libc.syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset_fd, 0)
    os.close(ruleset_fd)


def file_rights(rights: int) -> int:
    """`rights` without those that the kernel refuses in a rule on a single file."""
    return rights & ~_ONLY_FOLDERS


def _grant_path(ruleset_fd: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, fd)
        libc.syscall(f"landlock_add_rule {path}", _ADD_RULE, ruleset_fd, _RULE_PATH, rule, 0)
    finally:
        os.close(fd)
