"""What functions are given of the router's concurrency, as the catalog has it."""

from router.model.concurrency import Allotment
from router.store.catalog import Catalog


def allotments(catalog: Catalog) -> dict[str, Allotment]:
    """By function; those with neither a reservation nor provisioned concurrency are left out."""
    return {
        name: Allotment(function.reserved_concurrency)
        for name, function in catalog.functions.items()
        if function.reserved_concurrency is not None
    }
