"""Follows a template and the code it names: after each save, once, something is done.

The kernel tells of saves; stamps decide whether one changed anything, so that what a router or
an editor writes beside the code brings about nothing. Where the kernel does not tell (a folder of
another host, no inotify watches left) stamps are taken all the time, as far as they are cheap.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from router.functions.tree import FolderUnusable
from router.template.code import folder_stamp

log = structlog.get_logger()

DEBOUNCE_MS = 100
"""Saves this close together are one."""

STEP_MS = 50
"""How long a save may be followed by another before it is told of."""

LOOK_S = 1.0
"""How often folders are looked for that came or went, and at most that stamps are taken untold."""

LOOK_SHARE: Final = 0.02
"""Share of one processor's time that taking stamps untold may cost."""

QUIET_S_MAX: Final = 30.0
"""What never comes to rest is applied after this time all the same."""

AGAIN_S: Final = 10.0
"""After what was refused for no fault of the template, it is tried again."""

Places = tuple[tuple[Path, ...], tuple[Path, ...]]
"""Folders to follow: themselves alone, and with all below them."""


class Watch:
    """Calls `apply` after each save of what `files` names, for ever."""

    def __init__(
        self,
        files: Callable[[], set[Path]],
        apply: Callable[[], Awaitable[bool]],
        quiet_s: float = 0.0,
    ) -> None:
        """`files` may block; `apply` must not raise.

        It says False when it should be called again in a while. `quiet_s`: how long nothing more
        may have been written before a save is applied.
        """
        self._files = files
        self._apply = apply
        self._quiet_s = quiet_s
        self._seen = b""
        self._look_at_s = 0.0
        self._again_at_s: float | None = None

    async def look(self) -> bool:
        """Whether anything is different from what was seen before; it is what is seen now."""
        began_s = time.monotonic()
        before, self._seen = self._seen, await asyncio.to_thread(_stamp, self._files)
        ended_s = time.monotonic()
        self._look_at_s = ended_s + max(LOOK_S, (ended_s - began_s) / LOOK_SHARE)
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
            now_s = time.monotonic()
            if (is_told or now_s >= self._look_at_s) and await self.look():
                await self._rest()
                await self._bring_about()
            elif self._again_at_s is not None and now_s >= self._again_at_s:
                await self._bring_about()
            if await asyncio.to_thread(_places, self._files) != places:
                return

    async def _rest(self) -> None:
        """Until nothing more is written."""
        rounds = round(QUIET_S_MAX / self._quiet_s) if self._quiet_s else 0
        for _ in range(rounds):
            await asyncio.sleep(self._quiet_s)
            if not await self.look():
                return

    async def _bring_about(self) -> None:
        is_settled = await self._apply()
        self._again_at_s = None if is_settled else time.monotonic() + AGAIN_S


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
    """Where what is named is, and where the links are that lead there."""
    named = files()
    deep = {path.resolve() for path in named if path.is_dir()}
    flat = {path.parent.resolve() for path in named if not path.is_dir() or path.is_symlink()}
    flat |= {path.resolve().parent for path in named if path.is_symlink()}
    return tuple(sorted(it for it in flat - deep if it.is_dir())), tuple(sorted(deep))


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
