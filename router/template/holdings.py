"""How much a stream or a queue holds: what removing it would lose."""

from collections.abc import Callable

from router.store.base import Store
from router.store.catalog import Catalog
from router.template.planning import Holds


def holdings_of(store: Store, catalog: Catalog, wall_ms: Callable[[], int]) -> Holds:
    """Asks the store; something that does not exist holds nothing."""

    async def holds(kind: str, name: str) -> int:
        if kind == "webhook" and name in catalog.webhooks:
            shards = await store.streams.stats(catalog.webhooks[name].spec.arn)
            return sum(max(0, shard.last_position - shard.oldest_position + 1) for shard in shards)
        if kind == "queue" and name in catalog.queues:
            counts = await store.queues.counts(name, wall_ms())
            return counts.visible + counts.in_flight + counts.delayed
        return 0

    return holds
