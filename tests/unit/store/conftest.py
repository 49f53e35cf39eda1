"""Each implementation of the store goes through the same contract."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from router.store.base import Store
from tests.unit.store.support import SqliteBackend


@pytest.fixture(params=[SqliteBackend], ids=["sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteBackend:
    return request.param(tmp_path)


@pytest.fixture
async def store(backend: SqliteBackend) -> AsyncIterator[Store]:
    store = backend.make()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def reopen(
    backend: SqliteBackend, store: Store
) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Closes the store and opens it again."""
    opened = [store]

    async def again() -> Store:
        await opened[-1].close()
        opened.append(backend.make())
        await opened[-1].open()
        return opened[-1]

    yield again
    await opened[-1].close()
