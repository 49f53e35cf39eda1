"""The part of CloudWatch Logs that clients need to read what functions wrote."""

from collections.abc import Callable
from pathlib import Path

from router.control.logs_service.events import Events, Settles
from router.control.logs_service.groups import Groups
from router.control.logs_service.lookup import Lookup
from router.store.catalog import Catalog
from router.workers.log_reader import LogReader


def logs_parts(
    data: Path, catalog: Catalog, writer: Settles, wall_ms: Callable[[], int]
) -> tuple[object, ...]:
    """One object for each area of the service."""
    reader = LogReader(data)
    lookup = Lookup(catalog, reader, wall_ms)
    return Events(lookup, reader, writer), Groups(catalog, lookup, reader, writer)
