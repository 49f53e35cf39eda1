"""What the router may export, as rules and dashboards may ask for it."""

from router.telemetry import metrics


def labels_by_sample() -> dict[str, set[str]]:
    """Every name `/metrics` may have, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in metrics.FAMILIES:
        labels = set(metric.facts.labels)
        if metric.kind == "histogram":
            found |= {metric.facts.name + suffix: labels for suffix in ("_sum", "_count")}
            found[metric.facts.name + "_bucket"] = labels | {"le"}
        else:
            found[metric.facts.name] = labels
    for family in metrics.LIBRARY.collect():
        suffix = "_total" if family.type == "counter" else ""
        found[family.name + suffix] = set()
    return found
