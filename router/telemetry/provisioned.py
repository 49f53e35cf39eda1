"""What is counted of functions with provisioned environments, children bound once."""

from prometheus_client import Counter

from router.telemetry import metrics


class ProvisionedMetrics:
    """Of one function."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._invocations: dict[str, Counter] = {}
        self._spillovers: dict[str, Counter] = {}

    def count(self, version: str, *, is_ready: bool) -> None:
        """An invocation begins, in a provisioned environment or without one."""
        children = self._invocations if is_ready else self._spillovers
        child = children.get(version)
        if child is None:
            metric = metrics.PROVISIONED_INVOCATIONS if is_ready else metrics.PROVISIONED_SPILLOVERS
            child = children[version] = metric.labels(self._function, version)
        child.inc()
