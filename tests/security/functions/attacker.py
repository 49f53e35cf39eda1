"""A hostile function: `handler({"attack": name, ...targets})` tries one thing and says how it went.

An attack returns (any text) when it got what it wanted and raises `OSError` when it was refused.
"""

import contextlib
import ctypes
import errno
import os
import pathlib
import platform
import resource
import signal
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
NEW_USER, NEW_MOUNTS = 0x1000_0000, 0x0002_0000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
IPC_CREATE = 0o1000


class Refused(OSError):
    """What was wanted did not come, without an error of the kernel."""


def handler(event, context):
    attack = ATTACKS[event["attack"]]
    try:
        text = attack(event)
    except OSError as error:
        return {"done": False, "text": f"{type(error).__name__}: {error}"}
    return {"done": True, "text": str(text)}


def call(number_x86, number_arm, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number_arm if ARM else number_x86), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def in_child(act):
    """Do in a fork what would change this process for good."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(write, b"0")
        except OSError as error:
            os.write(write, str(error.errno).encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 16)
    os.close(read)
    os.waitpid(pid, 0)
    number = int(answer or b"-1")
    if number:
        raise OSError(number, os.strerror(number) if number > 0 else "killed")
    return "worked"


def read_file(path):
    return len(pathlib.Path(path).read_bytes())


def read_environ(pid):
    data = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    if not data:
        raise Refused("empty")
    return data[:20]


def read_memory(pid):
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    start = next(int(line.split("-")[0], 16) for line in maps if " rw-p " in line)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        return len(memory.read(64))


def trace(pid):
    def attach():
        if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(pid, 0)
        LIBC.ptrace(PTRACE_DETACH, pid, None, None)

    return in_child(attach)


def copy_zygote_memory(_event):
    try:
        return copy_memory(os.getppid(), "self")  # a fork has the same layout
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
        return copy_memory(os.getppid(), os.getppid())


def copy_memory(pid, like):
    buffer = ctypes.create_string_buffer(8)
    maps = pathlib.Path(f"/proc/{like}/maps").read_text().splitlines()
    start = next(int(line.split("-")[0], 16) for line in maps if " rw-p " in line)
    here = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_ulong * 2)(start, 8)
    pointers = [ctypes.c_void_p(ctypes.addressof(vector)) for vector in (here, there)]
    return call(310, 270, pid, pointers[0], 1, pointers[1], 1, 0)


def steal_descriptor(pid):
    return in_child(lambda: call(438, 438, os.pidfd_open(pid), 1, 0))


def limit_process(pid):
    kind = resource.RLIMIT_NOFILE
    return resource.prlimit(pid, kind, resource.prlimit(pid, kind))


def raise_kill_score(pid):
    path = pathlib.Path(f"/proc/{pid}/oom_score_adj")
    return path.write_text(path.read_text())


def mount(_event):
    def act():
        flags = NEW_MOUNTS if os.getuid() == 0 else NEW_MOUNTS | NEW_USER
        for failed in (
            LIBC.unshare(flags),
            LIBC.mount(b"none", b"/", None, ctypes.c_ulong(1 << 14 | 1 << 18), None),
            LIBC.mount(b"t", os.fsencode("/proc"), b"tmpfs", ctypes.c_ulong(0), None),
        ):
            if failed:
                raise OSError(ctypes.get_errno(), "mount")

    return in_child(act)


def new_user_namespace(_event):
    def act():
        if LIBC.unshare(NEW_USER):
            raise OSError(ctypes.get_errno(), "unshare")

    return in_child(act)


def clone_namespace(_event):
    def act():
        pid = call(56, 220, NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    return in_child(act)


def make_bpf_map(_event):
    attributes = struct.pack("=IIII", 2, 4, 8, 1) + bytes(56)  # an array of one
    os.close(call(321, 280, 0, attributes, len(attributes)))


def keep_key(_event):
    return in_child(lambda: call(248, 217, b"user", b"router-attack", b"x", 1, -2))


def start_io_uring(_event):
    os.close(call(425, 425, 4, ctypes.create_string_buffer(120)))


def handle_page_faults(_event):
    os.close(call(323, 282, 1))


def gain_capability(_event):
    """Any one of root's powers, as listed by the kernel."""
    status = pathlib.Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff"))
    if int(line.split()[1], 16) == 0:
        raise Refused("no capability")
    return line


def greeted(address, family=socket.AF_INET):
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(address)
        if connection.recv(7) != b"welcome":
            raise Refused("closed without a word")
    return "welcome"


def speak_for(event):
    """Ask for the other environment's event, at its own listener."""
    host, port = event["victim_api"].split(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(100)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Refused("closed without a word")
    return answer


def use_shared_memory(event):
    segment = LIBC.shmget(event["segment"], 64, 0)
    if segment < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    LIBC.shmat.restype = ctypes.c_ssize_t
    address = LIBC.shmat(segment, None, 0)
    if address == -1:
        raise OSError(ctypes.get_errno(), "shmat")
    LIBC.shmdt(ctypes.c_void_p(address))
    return segment


def leave_shared_memory(event):
    """Who looks for it when this function is gone says whether it worked."""
    if LIBC.shmget(event["left_segment"], 64, IPC_CREATE | 0o666) < 0:
        raise OSError(ctypes.get_errno(), "shmget")


def find_descriptors(event):
    """Anything open but the standard three, the frames and what this look itself opens."""
    unknown = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            where = os.readlink(f"/proc/self/fd/{number}")
            if int(number) > 2 and not where.startswith(("/proc/", "anon_inode:")):
                unknown.append((number, where))
    if len(unknown) <= event["descriptors_expected"]:
        raise Refused(f"only {unknown}")
    return unknown


ATTACKS = {
    "read another function's code": lambda e: read_file(e["victim_code"]),
    "read another function's /tmp": lambda e: read_file(e["victim_tmp"]),
    "reach it through /proc/<pid>/root": lambda e: read_file(
        f"/proc/{e['victim']}/root{e['victim_tmp_inside']}"
    ),
    "change own code": lambda e: pathlib.Path(e["own_code"] + "/added.py").write_text("x"),
    "write to a host folder": lambda e: pathlib.Path(e["host_folder"] + "/added").write_text("x"),
    "read the store": lambda e: read_file(e["store"]),
    "read the secrets folder": lambda e: read_file(e["secret"]),
    "read a file all may read": lambda e: read_file(e["host_file"]),
    "read another's environment": lambda e: read_environ(e["victim"]),
    "read the router's environment": lambda e: read_environ(e["router"]),
    "read another's memory": lambda e: read_memory(e["victim"]),
    "read the zygote's memory": lambda e: read_memory(os.getppid()),
    "copy the zygote's memory": copy_zygote_memory,
    "trace another function": lambda e: trace(e["victim"]),
    "take another's socket": lambda e: steal_descriptor(e["victim"]),
    "see another's command line": lambda e: read_file(f"/proc/{e['victim']}/cmdline"),
    "signal another function": lambda e: os.kill(e["victim"], signal.SIGCONT),
    "signal the router": lambda e: os.kill(e["router"], signal.SIGCONT),
    "signal the zygote": lambda e: os.kill(os.getppid(), signal.SIGCONT),
    "limit the router's files": lambda e: limit_process(e["router"]),
    "offer the router to the OOM killer": lambda e: raise_kill_score(e["router"]),
    "choose the router's cores": lambda e: os.sched_setaffinity(
        e["router"], os.sched_getaffinity(e["router"])
    ),
    "hold a capability": gain_capability,
    "mount a file system": mount,
    "make a user namespace": new_user_namespace,
    "clone into a namespace": clone_namespace,
    "load a BPF map": make_bpf_map,
    "use kernel keyrings": keep_key,
    "use io_uring": start_io_uring,
    "use userfaultfd": handle_page_faults,
    "call the api listener": lambda e: greeted(tuple(e["api"])),
    "call an abstract socket": lambda e: greeted("\0" + e["abstract"], socket.AF_UNIX),
    "call a socket in the file system": lambda e: greeted(e["unix"], socket.AF_UNIX),
    "use System V shared memory": use_shared_memory,
    "leave System V shared memory behind": leave_shared_memory,
    "find inherited descriptors": find_descriptors,
    "speak at another's Runtime API": speak_for,
}
