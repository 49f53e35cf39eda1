"""Keeps what the ops page shows up to date, and makes it into pages.

A snapshot is taken when somebody asks and the last one is a second old, and once in `TICK_S` for
the past (`history.py`): nobody who does not look costs anything else. However many look, it is
taken once for all of them. Work on many mappings is cut into slices, between which others run.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from router.ops.facts import FunctionDetail, MappingDetail, Snapshot
from router.ops.history import TICK_S, History
from router.ops.html import Child, tag
from router.ops.pages import front, function, mapping
from router.ops.pages.common import Frame, document, ready, stamp
from router.ops.pages.parts import Parts
from router.ops.paths import View
from router.ops.rows import COLUMNS, Board, board, tick

log = structlog.get_logger(__name__)

FRESH_S: Final = 1.0
"""A snapshot that is younger is shown again."""

LOAD_SHARE: Final = 20
"""A snapshot of so many mappings that it takes long is followed by a rest of so many times that."""

AGE_S_MAX: Final = 10.0
"""But never a longer one than this."""


class Sight(Protocol):
    """Who looks at the router: `app.sight`."""

    async def snapshot(self, *, is_shown: bool) -> Snapshot:
        """Everything now; for the past alone without what costs reads of the store."""

    async def mapping(self, id_: str) -> MappingDetail | None:
        """More of one mapping; None when there is none."""

    async def function(self, name: str) -> FunctionDetail | None:
        """More of one function; None when there is none."""

    def close(self) -> None:
        """Nobody looks any more."""


class Assets(Protocol):
    """Where the page's own files are."""

    def frame(self, title: str, address: str) -> Frame:
        """What stands around a page."""


class Rendered:
    """One view at one moment."""

    def __init__(self, parts: Parts, main: Sequence[Child], at: Snapshot, title: str) -> None:
        self.parts = parts
        self.main = main
        self.at = at
        self.title = title


class Desk:
    """All of the page but HTTP."""

    def __init__(self, sight: Sight, assets: Assets, now_ms: Callable[[], int]) -> None:
        """`now_ms` is monotonic."""
        self._sight = sight
        self._assets = assets
        self._now_ms = now_ms
        self._lock = asyncio.Lock()
        self._board: Board | None = None
        self._cost_s = 0.0
        """How long the last snapshot took."""
        self.past = History(COLUMNS, now_ms())

    async def keep(self) -> None:
        """Sample the past, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                async with self._lock:
                    snapshot = await self._sight.snapshot(is_shown=False)
                    for _ in tick(snapshot, self.past):
                        await asyncio.sleep(0)
            except Exception as error:  # noqa: BLE001  # the past is worth less than the router
                log.warning("ops_page_not_sampled", error=repr(error))

    def close(self) -> None:
        """Look no more."""
        self._sight.close()

    async def board(self) -> Board:
        """All rows, of this second."""
        async with self._lock:
            known = self._board
            if known is not None:
                rest_s = min(max(FRESH_S * 0.9, LOAD_SHARE * self._cost_s), AGE_S_MAX)
                if self._now_ms() - known.snapshot.now_ms < rest_s * 1_000:
                    return known
            began_ms = self._now_ms()
            made = await self._made()
            self._cost_s = (self._now_ms() - began_ms) / 1_000
            self._board = made
            return made

    async def _made(self) -> Board:
        snapshot = await self._sight.snapshot(is_shown=True)
        for made in board(snapshot, self.past):
            if made is not None:
                return made
            await asyncio.sleep(0)
        raise AssertionError("a board is always made")

    async def render(self, view: View) -> Rendered | None:
        """A view now; None when what it shows does not exist."""
        made = await self.board()
        parts, at = Parts(), made.snapshot
        main: Sequence[Child] | None
        stamp(parts, at)
        ready(parts, at)
        if view.kind == "mapping":
            main = await self._mapping(made, view, parts)
            names = (it.facts.name for it in made.mappings if it.facts.id == view.id)
            title = f"{next(names, view.id)} · mapping · Event Router"
        elif view.kind == "function":
            main = await self._function(made, view, parts)
            title = f"{view.id} · function · Event Router"
        else:
            found: list[Child] = []
            for section in front.sections(made, self.past, view, parts):
                found.append(section)
                await asyncio.sleep(0)
            main = found
            title = "Event Router"
        return None if main is None else Rendered(parts, main, at, title)

    async def _mapping(self, made: Board, view: View, parts: Parts) -> Sequence[Child] | None:
        row = next((it for it in made.mappings if it.facts.id == view.id), None)
        detail = await self._sight.mapping(view.id) if row is not None else None
        if row is None or detail is None:
            return None
        return mapping.sections(row, detail, self.past, made.snapshot.wall_ms, parts)

    async def _function(self, made: Board, view: View, parts: Parts) -> Sequence[Child] | None:
        row = next((it for it in made.functions if it.facts.name == view.id), None)
        detail = await self._sight.function(view.id) if row is not None else None
        if row is None or detail is None:
            return None
        return function.sections(row, detail, self.past, made.snapshot.wall_ms, parts)

    def whole(self, view: View, rendered: Rendered) -> bytes:
        """A whole page."""
        frame = self._assets.frame(rendered.title, view.address)
        return document(frame, Parts(), rendered.at, rendered.main).encode()

    async def missing(self, view: View) -> bytes:
        """The page of something that does not exist."""
        at = (await self.board()).snapshot
        main = tag(
            "section",
            tag("p", tag("a", "← the router at a glance", href="/"), class_="back"),
            tag("h1", f"There is no such {view.kind}"),
            tag("p", tag("code", view.id), " does not exist, or not any more."),
            class_="thing",
        )
        frame = self._assets.frame("Not found · Event Router", view.address)
        return document(frame, Parts(), at, main).encode()
