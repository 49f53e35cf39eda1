"""Rung 2, system calls: a deny list as a hand-assembled BPF program, built once in the zygote.

A deny list, because functions bring libraries of every kind: what is refused (EPERM) is what no
handler needs and what kernel exploits and escapes are made of. `clone3` answers ENOSYS, so that
libc falls back to `clone`, whose flags can be seen. A call made through another architecture's
numbers (32-bit, x32) would slip past the list and is never allowed.
"""

import ctypes
import errno
import struct

from . import libc

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32_BIT = 0x4000_0000

_KILL_PROCESS = 0x8000_0000
_ALLOW = 0x7FFF_0000
_ERRNO = 0x0005_0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_NAMESPACES = 0x7E02_0000  # every CLONE_NEW* flag of clone(2)
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type into somebody's terminal
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _AF_ALG, _AF_VSOCK = 1, 2, 10, 16, 38, 40
_SOCK_STREAM, _SOCK_TYPE_MASK, _IPPROTO_TCP = 1, 0xF, 6
_MSG_FASTOPEN = 0x2000_0000

# Numbers on x86-64 and arm64; from 424 on they are the same everywhere.
_CLONE3 = 435
_WITH_ARGUMENTS = {
    "clone": (56, 220),
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "ioctl": (16, 29),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
}
DENIED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # file systems and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # parts of the kernel with a long history of holes
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}


class _Assembler:
    """Classic BPF with jumps by label. A label is placed once, after every jump to it."""

    def __init__(self) -> None:
        self._code: list[tuple[int, str, str, int]] = []
        self._labels: dict[str, int] = {}

    def load(self, offset: int) -> None:
        self._code.append((_LOAD, "", "", offset))

    def mask(self, bits: int) -> None:
        self._code.append((_AND, "", "", bits))

    def jump(self, test: int, value: int, yes: str = "", no: str = "") -> None:
        """Go to a label when the test holds or does not; an empty label is the next line."""
        self._code.append((test, yes, no, value))

    def leave(self, verdict: int) -> None:
        self._code.append((_RETURN, "", "", verdict))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def bytes(self) -> bytes:
        """The program as an array of `struct sock_filter`."""
        lines = []
        for here, (code, yes, no, value) in enumerate(self._code):
            jumps = [self._labels[name] - here - 1 if name else 0 for name in (yes, no)]
            lines.append(struct.pack("=HBBI", code, *jumps, value))
        return b"".join(lines)


def program(machine: str, *, network_open: bool) -> bytes:
    """Assemble the filter for `machine` (`x86_64` or `aarch64`)."""
    column = {"x86_64": 0, "aarch64": 1}[machine]
    numbers = {name: pair[column] for name, pair in _WITH_ARGUMENTS.items()}
    if network_open:
        for name in ("sendto", "sendmsg", "sendmmsg"):
            del numbers[name]
    code = _Assembler()
    code.load(_ARCHITECTURE)
    code.jump(_EQUAL, _AUDIT_ARCHITECTURE[machine], no="kill")
    code.load(_NUMBER)
    if machine == "x86_64":
        code.jump(_AT_LEAST, _X32_BIT, yes="kill")
    for name, number in numbers.items():
        code.jump(_EQUAL, number, yes=name)
    code.jump(_EQUAL, _CLONE3, yes="missing")
    for pair in DENIED.values():
        denied = pair[column]
        if denied is not None:
            code.jump(_EQUAL, denied, yes="deny")
    code.leave(_ALLOW)
    _argument_checks(code, network_open=network_open)
    code.label("missing")
    code.leave(_ERRNO | errno.ENOSYS)
    code.label("allow")
    code.leave(_ALLOW)
    code.label("deny")
    code.leave(_ERRNO | errno.EPERM)
    code.label("kill")
    code.leave(_KILL_PROCESS)
    return code.bytes()


class Filter:
    """An assembled program in memory that stays put, ready for `install`."""

    def __init__(self, *, network_open: bool) -> None:
        code = program(libc.MACHINE, network_open=network_open)
        self._code = ctypes.create_string_buffer(code, len(code))
        count = len(code) // 8
        header = struct.pack("@HxxxxxxQ", count, ctypes.addressof(self._code))  # sock_fprog
        self._header = ctypes.create_string_buffer(header, len(header))

    def install(self) -> None:
        """Filter this process and its descendants for good. Needs no_new_privs."""
        libc.prctl("seccomp", libc.PR_SET_SECCOMP, 2, self._header)


def _argument(index: int) -> int:
    """Offset of the low word of an argument; both architectures are little-endian."""
    return _ARGUMENTS + 8 * index


def _argument_checks(code: _Assembler, *, network_open: bool) -> None:
    code.label("clone")  # no new namespaces, which would bring capabilities
    code.load(_argument(0))
    code.jump(_ANY_BIT, _NAMESPACES, yes="deny", no="allow")
    code.label("ioctl")
    code.load(_argument(1))
    code.jump(_EQUAL, _TERMINAL_INPUT[0], yes="deny")
    code.jump(_EQUAL, _TERMINAL_INPUT[1], yes="deny", no="allow")
    code.label("prlimit64")  # one's own limits only: a CPU limit would kill a peer of this user
    code.load(_argument(0))
    code.jump(_EQUAL, 0, yes="allow", no="deny")
    code.label("setpriority")
    code.load(_argument(0))
    code.jump(_EQUAL, 0, no="deny")
    code.load(_argument(1))
    code.jump(_EQUAL, 0, yes="allow", no="deny")
    code.label("ioprio_set")
    code.load(_argument(0))
    code.jump(_EQUAL, 1, no="deny")
    code.load(_argument(1))
    code.jump(_EQUAL, 0, yes="allow", no="deny")
    code.label("socket")
    code.load(_argument(0))
    if network_open:
        code.jump(_EQUAL, _AF_ALG, yes="deny")
        code.jump(_EQUAL, _AF_VSOCK, yes="deny", no="allow")
    else:
        _tcp_only(code)


def _tcp_only(code: _Assembler) -> None:
    """Leave only what Landlock's port rules see: plain TCP, connected the ordinary way."""
    code.jump(_EQUAL, _AF_UNIX, yes="allow")
    code.jump(_EQUAL, _AF_NETLINK, yes="allow")  # getaddrinfo asks which families are in use
    code.jump(_EQUAL, _AF_INET, yes="type")
    code.jump(_EQUAL, _AF_INET6, no="deny")
    code.label("type")
    code.load(_argument(1))
    code.mask(_SOCK_TYPE_MASK)
    code.jump(_EQUAL, _SOCK_STREAM, no="deny")
    code.load(_argument(2))
    code.jump(_EQUAL, 0, yes="allow")
    code.jump(_EQUAL, _IPPROTO_TCP, yes="allow", no="deny")
    for name, index in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        code.label(name)  # data in the first packet connects without connect()
        code.load(_argument(index))
        code.jump(_ANY_BIT, _MSG_FASTOPEN, yes="deny", no="allow")
