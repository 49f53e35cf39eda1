"""What `router doctor` tells of the sources of mappings."""

from collections import defaultdict
from typing import Final

from router.mapping.manager import MappingManager
from router.model.source_kind import KAFKAS
from router.store.catalog import Catalog

GROUPS_SHOWN: Final = 5
"""Consumer groups of one cluster that are named; of more only the number is told."""


def mapping_problems(catalog: Catalog, mappings: MappingManager) -> dict[str, str]:
    """Name → why a mapping cannot read its source, or has nobody to give its records to."""
    found = {}
    for mapping in sorted(catalog.mappings.values(), key=lambda it: it.name):
        if text := mappings.trouble(mapping.uuid):
            found[mapping.name] = text
        elif mapping.is_enabled and mapping.function not in catalog.functions:
            found[mapping.name] = f"function {mapping.function} does not exist: its records wait"
    return found


def kafka_clusters(catalog: Catalog, mappings: MappingManager) -> dict[str, str]:
    """Cluster → what is read there, in which groups. Only of mappings that are in touch with it."""
    groups: dict[str, list[str]] = defaultdict(list)
    for mapping in sorted(catalog.mappings.values(), key=lambda it: it.name):
        if mapping.kind not in KAFKAS or not mapping.is_enabled or mappings.trouble(mapping.uuid):
            continue
        cluster = mapping.event_source_arn or ",".join(mapping.bootstrap_servers)
        topic = ",".join(mapping.topics)
        group = mapping.consumer_group or mapping.uuid
        count = len(mappings.places(mapping.uuid))
        groups[cluster].append(f"topic {topic} in group {group} (partitions here: {count})")
    return {cluster: _shown(rows) for cluster, rows in groups.items()}


def _shown(rows: list[str]) -> str:
    rest = len(rows) - GROUPS_SHOWN
    more = [f"and {rest} more"] if rest > 0 else []
    return "; ".join(["answers", *rows[:GROUPS_SHOWN], *more])
