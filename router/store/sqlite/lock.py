"""One router per data folder: an advisory lock that dies with its holder."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from router.model.errors import StoreUnusable

LOCK_NAME = "lock"
"""In the data folder; holds the pid of the router that locked it last."""


class FolderLock:
    """`flock` on a file in the data folder. Two stores of one process exclude each other too."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `StoreUnusable` when another router holds it."""
        self._path = folder / LOCK_NAME
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnusable(
                f"the data folder {folder} cannot be used: {error.strerror}"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            by = f"a router with pid {holder}" if holder else "another router"
            raise StoreUnusable(
                f"the data folder {folder} is in use by {by}; stop it or choose another --data"
            ) from error
        with contextlib.suppress(OSError):  # a full disk must not keep the router from draining
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two routers lock two files."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
