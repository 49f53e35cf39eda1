"""The zygotes of a router: one for each interpreter, and one that has boto3 loaded already.

The second kind is large, so it is started when a function is known that suits it (`expect`), else
by the first environment that is to come from it.
"""

import asyncio
import collections
from collections.abc import Callable
from typing import Any

import structlog

from router.model.function import FunctionVersion
from router.workers.runtime_folder import RuntimeFolder
from router.workers.zygote_client import Zygote, ZygoteDied

log = structlog.get_logger()

REMEMBERED_MAX = 10_000
"""Code hashes for which it is remembered which zygote suits them."""

EXPECTED_MAX = 200
"""Functions that may wait to be looked at. One beyond has to wait for its zygote when it is invoked
for the first time."""

Key = tuple[str, bool]
"""The interpreter, and whether it preloads."""


class Zygotes:
    """Starts them as they are needed, again when one has died, and ends them all."""

    def __init__(self, runtime: RuntimeFolder, isolation: Callable[[], dict[str, Any]]) -> None:
        """`isolation` is what a zygote is told of this host."""
        self._runtime = runtime
        self._isolation = isolation
        self.known: dict[Key, Zygote] = {}
        """Those that were started; one that died stays until another takes its place."""
        self._locks: dict[Key, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._ending: set[asyncio.Task[None]] = set()
        self._suits: dict[tuple[str, str, str], bool] = {}
        self._expected: collections.deque[tuple[str, FunctionVersion]] = collections.deque()
        self._expecting: asyncio.Task[None] | None = None

    async def get(self, interpreter: str, *, preloads: bool) -> Zygote:
        """One that can fork; started if need be. Raises `ZygoteDied` or `OSError`."""
        key = (interpreter, preloads)
        zygote = self.known.get(key)
        if zygote is not None and zygote.is_alive:
            return zygote
        async with self._locks[key]:
            zygote = self.known.get(key)
            if zygote is not None and zygote.is_alive:
                return zygote
            if zygote is not None:
                log.warning("zygote_restarted", interpreter=interpreter, preloaded=preloads)
                # It ends what it forked, which can take its time; nobody has to wait for that.
                ending = asyncio.create_task(zygote.stop())
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            zygote = Zygote(
                interpreter,
                runtime=self._runtime.path,
                preload=self._runtime.preload if preloads else (),
            )
            await zygote.start(self._isolation())
            self.known[key] = zygote
            return zygote

    async def suits(self, function: FunctionVersion) -> bool:
        """Whether its environments are best forked from a zygote that preloads."""
        key = (function.code_path, function.code_hash, function.layers_path)
        if key not in self._suits:
            while len(self._suits) >= REMEMBERED_MAX:
                del self._suits[next(iter(self._suits))]
            self._suits[key] = await asyncio.to_thread(
                self._runtime.suits, function.code_path, function.layers_path
            )
        return self._suits[key]

    def expect(self, interpreter: str, function: FunctionVersion) -> None:
        """Have the one that preloads ready for a function's first environment, if it suits it."""
        if not self._runtime.packages or len(self._expected) >= EXPECTED_MAX:
            return
        if (interpreter, True) in self.known:
            return
        self._expected.append((interpreter, function))
        if self._expecting is None or self._expecting.done():
            self._expecting = asyncio.create_task(self._look(), name="zygotes-expected")

    async def stop(self) -> None:
        """End them and everything below them."""
        self._expected.clear()
        if self._expecting is not None:
            self._expecting.cancel()
            await asyncio.gather(self._expecting, return_exceptions=True)
        zygotes, self.known = list(self.known.values()), {}
        await asyncio.gather(*(zygote.stop() for zygote in zygotes), *self._ending)

    async def _look(self) -> None:
        while self._expected:
            interpreter, function = self._expected.popleft()
            if (interpreter, True) in self.known or not await self.suits(function):
                continue
            try:
                await self.get(interpreter, preloads=True)
            except (ZygoteDied, OSError) as error:  # the function's first environment tries again
                log.warning("zygote_not_started", interpreter=interpreter, error=str(error))
