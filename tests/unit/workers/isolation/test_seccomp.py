"""The filter is run by a small interpreter for both architectures, and for real in a child."""

import errno
import struct

import pytest

from router.workers.isolation import seccomp
from tests.unit.workers.isolation.inside import plan_for, run

KILL, ALLOW = 0x8000_0000, 0x7FFF_0000
EPERM, ENOSYS = 0x5_0000 | errno.EPERM, 0x5_0000 | errno.ENOSYS
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMN = {"x86_64": 0, "aarch64": 1}


def verdict(machine, number, *arguments, network_open=True, architecture=None):
    data = struct.pack(
        "<IIQ6Q",
        number,
        ARCHITECTURE[machine] if architecture is None else architecture,
        0,
        *arguments,
        *[0] * (6 - len(arguments)),
    )
    program = seccomp.program(machine, network_open=network_open)
    lines = list(struct.iter_unpack("=HBBI", program))
    here = accumulator = 0
    while True:
        code, yes, no, value = lines[here]
        here += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x06:
                return value
            case _:
                holds = {
                    0x15: accumulator == value,
                    0x35: accumulator >= value,
                    0x45: accumulator & value != 0,
                }[code]
                here += yes if holds else no


def number(machine, name):
    return seccomp._WITH_ARGUMENTS[name][COLUMN[machine]]


both = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


@both
def test_every_denied_call_is_refused_and_ordinary_ones_pass(machine):
    for pair in seccomp.DENIED.values():
        denied = pair[COLUMN[machine]]
        if denied is not None:
            assert verdict(machine, denied) == EPERM
    ordinary = {"x86_64": (0, 1, 2, 9, 59, 62, 202, 257), "aarch64": (56, 63, 64, 98, 129, 221)}
    for call in ordinary[machine]:
        assert verdict(machine, call) == ALLOW


@both
def test_another_architecture_ends_the_process(machine):
    i386 = 0x4000_0003
    assert verdict(machine, 1, architecture=i386) == KILL


def test_x32_numbers_end_the_process():
    assert verdict("x86_64", 0x4000_0000 | 101) == KILL


@both
def test_clone_may_not_make_namespaces_and_clone3_does_not_exist(machine):
    clone = number(machine, "clone")
    thread = 0x3D0F00  # what libc passes for a thread
    assert verdict(machine, clone, thread) == ALLOW
    assert verdict(machine, clone, 17) == ALLOW
    for namespace in (1 << 17, *(1 << bit for bit in range(25, 31))):
        assert verdict(machine, clone, namespace | 17) == EPERM
    assert verdict(machine, 435) == ENOSYS


@both
def test_only_own_limits_and_priorities_and_no_typing_into_terminals(machine):
    assert verdict(machine, number(machine, "prlimit64"), 0) == ALLOW
    assert verdict(machine, number(machine, "prlimit64"), 4711) == EPERM
    assert verdict(machine, number(machine, "setpriority"), 0, 0) == ALLOW
    assert verdict(machine, number(machine, "setpriority"), 0, 4711) == EPERM
    assert verdict(machine, number(machine, "setpriority"), 2, 0) == EPERM
    assert verdict(machine, number(machine, "ioprio_set"), 1, 0) == ALLOW
    assert verdict(machine, number(machine, "ioprio_set"), 1, 4711) == EPERM
    assert verdict(machine, number(machine, "ioprio_set"), 3, 0) == EPERM
    assert verdict(machine, number(machine, "ioctl"), 1, 0x5401) == ALLOW
    assert verdict(machine, number(machine, "ioctl"), 1, 0x5412) == EPERM


@both
def test_sockets(machine):
    socket = number(machine, "socket")
    cases = {  # (family, type, protocol): (network open, network closed)
        (1, 1, 0): (ALLOW, ALLOW),  # unix
        (16, 3, 0): (ALLOW, ALLOW),  # netlink
        (2, 1, 0): (ALLOW, ALLOW),  # TCP: Landlock's business
        (2, 1 | 0o2000000, 6): (ALLOW, ALLOW),
        (10, 1, 0): (ALLOW, ALLOW),
        (2, 1, 262): (ALLOW, EPERM),  # multipath TCP, unseen by Landlock
        (2, 2, 0): (ALLOW, EPERM),  # UDP
        (10, 2, 17): (ALLOW, EPERM),
        (17, 3, 0): (ALLOW, EPERM),
        (38, 5, 0): (EPERM, EPERM),
        (40, 1, 0): (EPERM, EPERM),
    }
    for arguments, (when_open, when_closed) in cases.items():
        assert verdict(machine, socket, *arguments) == when_open
        assert verdict(machine, socket, *arguments, network_open=False) == when_closed


@both
def test_a_closed_network_has_no_connecting_send(machine):
    fast_open = 0x2000_0000
    for name, before in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        call = number(machine, name)
        assert verdict(machine, call, *[0] * before, fast_open) == ALLOW
        assert verdict(machine, call, *[0] * before, fast_open, network_open=False) == EPERM
        assert verdict(machine, call, *[0] * before, 0, network_open=False) == ALLOW


def test_the_kernel_takes_the_filter_and_threads_still_start(tmp_path):
    code = """
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
def error_of(*words):
    return ctypes.get_errno() if libc.syscall(*map(ctypes.c_long, words)) < 0 else 0
result["clone3"] = error_of(435, 0, 0)
result["bpf"] = error_of({"x86_64": 321, "aarch64": 280}[os.uname().machine], 0, 0, 0)
thread = threading.Thread(target=result.update, args=({"thread": True},))
thread.start(); thread.join()
result["fork"] = os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "/bin/true", ["true"]))
"""
    result = run(code, plan_for(tmp_path, "plain", "seccomp"))
    assert result == {"clone3": errno.ENOSYS, "bpf": errno.EPERM, "thread": True, "fork": 0}
