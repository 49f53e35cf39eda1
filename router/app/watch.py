"""Follows a template and the code it names: after each save, once, something is done.

The kernel tells of saves; stamps decide whether one changed anything, so that what a router or
an editor writes beside the code brings about nothing.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from router.functions.tree import FolderUnusable
from router.template.code import folder_stamp

log = structlog.get_logger()

DEBOUNCE_MS = 100
"""Saves this close together are one."""

STEP_MS = 50
"""How long a save may be followed by another before it is told of."""

LOOK_S = 1.0
"""How often folders are looked for that came or went, and that is polled when the kernel does
not tell."""

Places = tuple[tuple[Path, ...], tuple[Path, ...]]
"""Folders to follow: themselves alone, and with all below them."""


class Watch:
    """Calls `apply` after each save of what `files` names, for ever."""

    def __init__(
        self, files: Callable[[], set[Path]], apply: Callable[[], Awaitable[None]]
    ) -> None:
        """`files` may block; `apply` must not raise."""
        self._files = files
        self._apply = apply
        self._seen = b""

    async def look(self) -> bool:
        """Whether anything is different from what was seen before; it is what is seen now."""
        before, self._seen = self._seen, await asyncio.to_thread(_stamp, self._files)
        return self._seen != before

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            places = await asyncio.to_thread(_places, self._files)
            saved = asyncio.Event()
            followers = [
                asyncio.create_task(_follow(folders, saved, is_deep=is_deep))
                for folders, is_deep in zip(places, (False, True), strict=True)
                if folders
            ]
            try:
                await self._until_moved(places, saved, followers)
            finally:
                for follower in followers:
                    follower.cancel()
                await asyncio.gather(*followers, return_exceptions=True)

    async def _until_moved(
        self, places: Places, saved: asyncio.Event, followers: Sequence[asyncio.Task[None]]
    ) -> None:
        """Apply saves until there are other folders to follow."""
        is_first = True
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await saved.wait()
            except TimeoutError:
                pass
            # The first look finds what was saved before anybody followed.
            is_told = saved.is_set() or is_first or any(task.done() for task in followers)
            is_first = False
            saved.clear()
            if is_told and await self.look():
                await self._apply()
            if await asyncio.to_thread(_places, self._files) != places:
                return


async def _follow(folders: Sequence[Path], saved: asyncio.Event, *, is_deep: bool) -> None:
    """Set the event when something under the folders was written."""
    from watchfiles import awatch

    try:
        async for _changes in awatch(
            *folders, debounce=DEBOUNCE_MS, step=STEP_MS, recursive=is_deep
        ):
            saved.set()
    except (OSError, RuntimeError) as error:
        log.warning("watch_polls", why=str(error), every_s=LOOK_S)


def _places(files: Callable[[], set[Path]]) -> Places:
    named = files()
    deep = {path for path in named if path.is_dir()}
    flat = {path.parent for path in named - deep if path.parent.is_dir()}
    return tuple(sorted(flat - deep)), tuple(sorted(deep))


def _stamp(files: Callable[[], set[Path]]) -> bytes:
    digest = hashlib.sha256()
    for path in sorted(files()):
        digest.update(f"{path}\0".encode("utf-8", "surrogateescape"))
        try:
            if path.is_dir():
                digest.update(folder_stamp(path))
            else:
                facts = path.stat()
                digest.update(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}\0".encode())
        except (OSError, FolderUnusable):
            digest.update(b"gone\0")
    return digest.digest()
