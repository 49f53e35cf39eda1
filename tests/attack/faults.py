"""The test's end of a fault: a disk that fills, syncs that are slow or fail, a clock that jumps."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import threading
import time
from pathlib import Path

from tests.patience import PATIENCE_S

NOTIF_RECV = 0xC0502100
NOTIF_SEND = 0xC0182101
NOTIF_BYTES = 80
FLAG_CONTINUE = 1


class Disk:
    """A tmpfs of the router's own, filled and freed from inside its namespace."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._read, self._write = os.pipe()
        os.set_inheritable(self._read, True)
        self.fds = (self._read,)
        self.condition = {
            "disk": {"folder": str(folder), "bytes": size_bytes, "commands": self._read}
        }

    def fill(self) -> None:
        os.write(self._write, b"fill\n")

    def free(self) -> None:
        os.write(self._write, b"free\n")

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Syncs:
    """Answers every fsync and fdatasync of a router: at once, late, or with an error."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.set_inheritable(True)
        self.fds = (self._theirs.fileno(),)
        self.condition = {"syncs": self._theirs.fileno()}
        self.delay_s = 0.0
        self.error = 0
        self.seen = 0
        """Syncs that were slowed down or refused."""
        self._thread = threading.Thread(target=self._answer_all, daemon=True)
        self._thread.start()

    def _answer_all(self) -> None:
        try:
            _, fds, _, _ = socket.recv_fds(self._ours, 16, 1)
        except OSError:
            return
        if not fds:
            return
        listener = fds[0]
        libc = ctypes.CDLL(None, use_errno=True)
        calls = select.poll()
        calls.register(listener, select.POLLIN)
        # Once nobody is left to ask, asking for the next call fails at once, again and again.
        while not calls.poll()[0][1] & select.POLLHUP:
            asked = ctypes.create_string_buffer(NOTIF_BYTES)
            if libc.ioctl(listener, ctypes.c_ulong(NOTIF_RECV), asked) < 0:
                if ctypes.get_errno() in {errno.EINTR, errno.ENOENT}:
                    continue
                break
            (number,) = struct.unpack_from("Q", asked)
            if self.delay_s or self.error:
                self.seen += 1
                time.sleep(self.delay_s)
            answer = struct.pack("QqiI", number, 0, -self.error, 0 if self.error else FLAG_CONTINUE)
            with contextlib.suppress(OSError):  # the caller was killed meanwhile
                fcntl.ioctl(listener, NOTIF_SEND, answer)
        os.close(listener)

    def started(self) -> None:
        """The router holds the other end by now; without it here, its end can be seen."""
        self._theirs.close()

    def close(self) -> None:
        self._theirs.close()
        self._ours.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "it would take a processor from all that follows"


class Clock:
    """What a router takes for the wall clock."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._shift = mmap.mmap(file.fileno(), 8)
        self.fds = ()
        self.condition = {"clock": str(path)}
        # The bent clock is one process's own; a real one is set for all.
        self.environment = {"ROUTER_INGRESS_PROCESSES": "0"}

    def set(self, hours: float) -> None:
        self._shift[:8] = struct.pack("q", int(hours * 3_600_000))

    def close(self) -> None:
        self._shift.close()


class Limits:
    """Limits of the process."""

    def __init__(self, **limits: int) -> None:
        self.fds = ()
        self.condition = limits

    def close(self) -> None:
        pass
