"""Appliers on a folder of their own, for tests that care about one of their parts."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from router.config import StoreSettings
from router.functions.packages import CodeStore
from router.model.hosting import BARE, Hosting
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore
from router.template.apply import Applier
from router.template.code import InPlace
from router.template.holdings import holdings_of


def applier_of(catalog: Catalog, holdings: Any, folder: Path, hosting: Hosting = BARE) -> Applier:
    """Code is used where it is; each look at the clock is a second later."""
    clock = itertools.count(1_000, 1_000)
    return Applier(
        catalog,
        InPlace(),
        holdings,
        folder / "inline",
        lambda: next(clock),
        hosting,
        codes=CodeStore(folder / "copies"),
    )


@contextlib.asynccontextmanager
async def hosted(folder: Path) -> AsyncIterator[tuple[Catalog, Callable[[Hosting], Applier]]]:
    """A catalog of its own, and an applier for any host."""
    store = SqliteStore(folder / "data", StoreSettings())
    await store.open()
    catalog = Catalog(store.metadata)
    await catalog.load()
    holdings = holdings_of(store, catalog, lambda: 0)
    try:
        yield catalog, lambda hosting: applier_of(catalog, holdings, folder, hosting)
    finally:
        await store.close()
