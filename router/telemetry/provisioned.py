"""What is counted of functions with provisioned environments, children bound once."""

from router.telemetry import metrics
from router.telemetry.cells import Count


class ProvisionedMetrics:
    """Of one function."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._invocations: dict[str, Count] = {}
        self._spillovers: dict[str, Count] = {}

    def count(self, version: str, *, is_ready: bool) -> None:
        """An invocation begins, in a provisioned environment or without one."""
        children = self._invocations if is_ready else self._spillovers
        child = children.get(version)
        if child is None:
            metric = metrics.PROVISIONED_INVOCATIONS if is_ready else metrics.PROVISIONED_SPILLOVERS
            child = children[version] = metric.labels(self._function, version)
        child.inc()
