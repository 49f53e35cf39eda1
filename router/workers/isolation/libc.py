"""libc and raw system calls by ctypes; every failure is an `OSError` that names the call."""

import ctypes
import os
import platform

MACHINE = platform.machine()
"""`x86_64` or `aarch64`: nothing else is supported."""

LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


# Made once, in the zygote: each fork would have to make the array's type anew.
_OWN = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
_NOTHING = (ctypes.c_uint32 * 6)()


def syscall(name: str, number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """Make system call `number`; `name` is for the error text. Integers travel as machine words."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result: int = LIBC.syscall(ctypes.c_long(number), *words)
    return _checked(name, result)


def prctl(name: str, option: int, argument: int, pointer: object = None) -> None:
    """`prctl(option, argument, pointer)`."""
    zero = ctypes.c_ulong(0)
    result = LIBC.prctl(option, ctypes.c_ulong(argument), pointer, zero, zero)
    _checked(name, result)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`."""
    _checked("unshare", LIBC.unshare(flags))


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes) -> None:
    """`mount(2)`."""
    result = LIBC.mount(source, target, kind, ctypes.c_ulong(flags), data)
    _checked(f"mount {os.fsdecode(target)}", result)


def unmount(target: bytes, flags: int) -> None:
    """`umount2(2)`."""
    _checked("umount2", LIBC.umount2(target, flags))


def drop_capabilities() -> None:
    """Give up every capability, also those of a user namespace; no_new_privs keeps them away."""
    _checked("capset", LIBC.capset(ctypes.byref(_OWN), _NOTHING))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
