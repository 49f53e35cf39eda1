"""What functions are given of the router's concurrency, as the catalog has it."""

from router.functions.resolve import look_up
from router.model.concurrency import Allotment, Provisioned
from router.model.version import LATEST
from router.store.catalog import Catalog


def allotments(catalog: Catalog) -> dict[str, Allotment]:
    """By function; those with neither a reservation nor provisioned concurrency are left out."""
    provisioned: dict[str, dict[str, int]] = {}
    for config in catalog.provisioned.values():
        if (version := provisioned_version(catalog, config)) is not None:
            counts = provisioned.setdefault(config.function, {})
            counts[version] = counts.get(version, 0) + config.requested
    return {
        name: Allotment(function.reserved_concurrency, provisioned.get(name, {}))
        for name, function in catalog.functions.items()
        if function.reserved_concurrency is not None or name in provisioned
    }


def provisioned_version(catalog: Catalog, config: Provisioned) -> str | None:
    """The version whose environments are started ahead; None where none is published.

    Of a weighted alias it is the one that gets what the weights leave.
    """
    found = look_up(catalog, config.function, config.qualifier)
    return None if found is None or found.version == LATEST else found.version
