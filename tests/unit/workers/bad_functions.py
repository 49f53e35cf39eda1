"""Bad functions as text, with what Lambda would report (`reliability.md` 5)."""

PRELUDE = """
import ctypes, json, os, signal, socket, sys, threading, time
def frames_fd():
    for fd in range(3, 1024):
        try:
            if socket.socket(fileno=os.dup(fd)).family == socket.AF_UNIX:
                return fd
        except OSError:
            pass
def handler(event, context):
    if event == "good":
        return "fine"
"""

EXIT = "Runtime.ExitError"
KILLED = "signal: killed"

TABLE = {
    "os_exit": ("os._exit(0)", EXIT, "exited without providing a reason"),
    "sys_exit": ("sys.exit()", EXIT, "exited without providing a reason"),
    "sys_exit_code": ("sys.exit(7)", EXIT, "exit status 7"),
    "sys_exit_text": ("sys.exit('bye')", EXIT, "exit status 1"),
    "base_exception": ("raise BaseException('b')", EXIT, "exit status 1"),
    "keyboard_interrupt": ("raise KeyboardInterrupt", EXIT, "signal: interrupt"),
    "segfault": ("ctypes.string_at(0)", EXIT, "signal: segmentation fault"),
    "abort": ("os.abort()", EXIT, "signal: aborted"),
    "infinite_loop": ("while True: pass", "Sandbox.Timedout", "timed out after 0.80 seconds"),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "Sandbox.Timedout", "timed out"),
    "kills_its_group": ("os.killpg(0, signal.SIGKILL)", EXIT, KILLED),
    "recursion": (
        "def f(): f()\n    f()",
        "RecursionError",
        "maximum recursion depth exceeded",
    ),
    "too_large": (
        "return 'x' * 7_000_000",
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    ),
    "a_set": (
        "return {1}",
        "Runtime.MarshalError",
        "Unable to marshal response: Object of type set is not JSON serializable",
    ),
    "recursive_dict": (
        "d = {}; d['d'] = d; return d",
        "Runtime.MarshalError",
        "Unable to marshal response: Circular reference detected",
    ),
    "lone_surrogate": ("return '\\ud800'", None, "\\ud800"),
    "garbage_frame": (
        "os.write(frames_fd(), b'garbage, not a frame'); time.sleep(45)",
        EXIT,
        KILLED,
    ),
    "huge_frame": ("os.write(frames_fd(), b'\\xff' * 64); time.sleep(45)", EXIT, KILLED),
    "half_a_frame": (
        "os.write(frames_fd(), b'\\0\\0\\0\\x20\\x05'); os._exit(3)",
        EXIT,
        "exit status 3",
    ),
    "two_answers": (
        "f = b'\\0\\0\\0\\x09\\x05\\0\\0\\0\\x02{}{}'; os.write(frames_fd(), f+f); time.sleep(45)",
        EXIT,
        KILLED,
    ),
    "closes_its_socket": (
        "socket.socket(fileno=frames_fd()).shutdown(2); time.sleep(45)",
        EXIT,
        KILLED,
    ),
    "closes_low_descriptors": ("os.closerange(0, 21); return 1", None, "1"),
    "closes_everything": ("os.closerange(0, 1024); time.sleep(45)", EXIT, KILLED),
    "not_a_number": ("return float('nan')", None, "NaN"),
    "bytes": ("return b'\\xff\\x00 not json'", None, None),
    "forks_on_return": (
        "pid = os.fork()\n    if pid == 0: time.sleep(30)\n    return 1",
        None,
        "1",
    ),
    "thread_outlives": (
        (
            "def late():\n        for _ in range(99): print('later'); time.sleep(0.01)\n"
            "    threading.Thread(target=late, daemon=False).start(); return 1"
        ),
        None,
        "1",
    ),
    "closes_stdout": ("sys.stdout.close(); sys.stderr = None; return 1", None, "1"),
    "replaces_environment": (
        "os.environ.clear(); os.chdir('/'); sys.path.clear(); return 1",
        None,
        "1",
    ),
}

ON_FRAMES = {
    *("garbage_frame", "huge_frame", "half_a_frame", "two_answers", "closes_its_socket"),
    "closes_everything",
}
"""What is done to the socket that only the fast path has."""

STOPPED_OR_LATE = (EXIT, "Sandbox.Timedout")

BOMB = """os.nice(19)
    end, depth = time.monotonic() + 3, 0
    while time.monotonic() < end:
        if depth == 11:
            time.sleep(0.05)
            continue
        depth += 1
        try:
            if os.fork() == 0: {then}
        except OSError: time.sleep(0.01)
    os._exit(1)"""
"""2,048 processes at most, all gone by themselves after three seconds at the lowest priority: a
test of what stops a bomb must not need it."""

WORSE = {
    "fork bomb": (BOMB.format(then="pass"), STOPPED_OR_LATE),
    "fork bomb in new sessions": (BOMB.format(then="os.setsid()"), STOPPED_OR_LATE),
    "too many threads": (
        (
            "threading.stack_size(65536)\n    for _ in range(2_000):\n"
            "        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n"
            "    time.sleep(3)"
        ),
        (*STOPPED_OR_LATE, "RuntimeError"),
    ),
    "descriptor leak": (
        "kept = [os.open('/dev/null', 0) for _ in range(2_000)]",
        (None, "OSError"),
    ),
    "2 GiB of memory": ("x = bytearray(b'x') * (2 << 30)", ("Runtime.OutOfMemory",)),
    "2 GiB in a child": (
        "if os.fork() == 0: x = bytearray(b'x') * (2 << 30)\n    time.sleep(45)",
        ("Runtime.OutOfMemory",),
    ),
    "2 GiB of memory it could share": (
        (
            "import mmap\n    m = mmap.mmap(-1, 2 << 30)\n"
            "    for _ in range(128): m.write(b'x' * (16 << 20))\n    time.sleep(45)"
        ),
        ("Runtime.OutOfMemory",),
    ),
    "/tmp until full": (
        (
            "import tempfile\n    for n in range(2_000):\n"
            "        with open(f'{tempfile.gettempdir()}/{n}', 'wb') as f: f.write(b'x' * 99_999)\n"
            "    time.sleep(45)"
        ),
        (EXIT,),
    ),
    "/tmp with very many files": (
        (
            "import tempfile\n    for n in range(30_000):\n"
            "        open(f'{tempfile.gettempdir()}/{n}', 'wb').close()\n    time.sleep(45)"
        ),
        (EXIT,),
    ),
    "one large file": (
        (
            "import tempfile\n    f = open(tempfile.gettempdir() + '/x', 'wb', buffering=0)\n"
            "    for _ in range(100): f.write(b'x' * 1_000_000)\n    time.sleep(45)"
        ),
        (EXIT, "OSError"),
    ),
    "kills its parent": (
        "os.kill(os.getppid(), signal.SIGKILL); time.sleep(45)",
        (EXIT, "PermissionError", "ProcessLookupError"),
    ),
    "ignores SIGTERM": (
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGTERM)\n"
            "    while True: pass"
        ),
        ("Sandbox.Timedout",),
    ),
    "leaves a process in a new session": (
        (
            "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: time.sleep(60)\n"
            "        os._exit(0)\n    time.sleep(0.1); os._exit(1)"
        ),
        (EXIT,),
    ),
    "runs away from pid to pid": (
        (
            "if os.fork() == 0:\n        os.setsid()\n        end = time.monotonic() + 30\n"
            "        while time.monotonic() < end:\n"
            "            if os.fork(): os._exit(0)\n            os.setsid()\n"
            "        os._exit(0)\n    time.sleep(0.1); os._exit(1)"
        ),
        (EXIT,),
    ),
    "100 MB of output": (
        "for _ in range(100_000): sys.stdout.write('x' * 999 + '\\n')\n    return 1",
        (None,),
    ),
}
"""Body → error types that are right, on one rung or another. Every body is bounded by itself."""
