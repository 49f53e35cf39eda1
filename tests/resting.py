"""Mappings for an API without a router behind it."""

import msgspec


class Status(msgspec.Struct):
    """What an API shows of a mapping's state."""

    state: str
    transition_reason: str = ""
    last_processing_result: str = "No records processed"


class RestingMappings:
    """Mappings that come to rest at once."""

    def __init__(self, catalog):
        self.catalog = catalog
        self.busy = {}
        """Those that are not at rest, by UUID."""

    def status(self, uuid):
        if uuid in self.busy:
            return Status(self.busy[uuid])
        mapping = self.catalog.mappings.get(uuid)
        if mapping is None:
            return Status("Deleting")
        return Status("Enabled" if mapping.is_enabled else "Disabled")

    def is_draining(self, uuid):
        return False
