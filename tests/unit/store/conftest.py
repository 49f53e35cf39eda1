"""Each implementation of the store goes through the same contract."""

from collections.abc import AsyncIterator
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
