"""The spare: a process forked before it is asked for, which becomes the next environment.

What a fork costs, and the pages a process copies before it does anything of its own, are paid while
nobody waits. It holds nothing of any function: it learns what it is to be, and is given its
descriptors, in one message. The zygote keeps one; the next in a burst is forked as it comes.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

MESSAGE_BYTES_MAX = 192 * 1024
"""As a zygote's own messages."""

Message = dict[str, Any]


class Spare:
    """State: the process in reserve, if there is one. For the zygote; standard library only."""

    def __init__(
        self, get_ready: Callable[[], None], become: Callable[[Message, list[int]], NoReturn]
    ) -> None:
        """In the process itself: `get_ready` as soon as it exists, `become` what is asked for."""
        self._get_ready = get_ready
        self._become = become
        self._socket: socket.socket | None = None
        self.pid = 0

    def breed(self) -> None:
        """Have one in reserve again; without one if the host does not let us fork."""
        if self.pid:
            return
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                return
            if pid == 0:
                ours.close()
                self._wait(theirs)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES_MAX)
        self.pid, self._socket = pid, ours

    def give(self, data: bytes, fds: list[int]) -> int:
        """Hand over the message and the descriptors: its process id; 0 when there is none."""
        pid, control = self.pid, self._socket
        if control is None:
            return 0
        self.pid, self._socket = 0, None
        with control:
            try:
                socket.send_fds(control, [data], fds, socket.MSG_DONTWAIT)
            except OSError:  # it has ended, which nobody noticed yet
                return 0
        return pid

    def forget(self, pid: int) -> None:
        """A process was reaped; perhaps it was this one."""
        if pid == self.pid:
            self.dismiss()

    def dismiss(self) -> None:
        """Let it end."""
        if self._socket is not None:
            self._socket.close()
        self.pid, self._socket = 0, None

    def _wait(self, control: socket.socket) -> NoReturn:
        with contextlib.suppress(BaseException):
            self._get_ready()
            data, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, 4)
            if data:
                control.close()
                self._become(json.loads(data), fds)
        os._exit(1)
