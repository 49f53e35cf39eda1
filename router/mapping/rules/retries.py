"""How long a record is tried, and what is counted of it."""

from collections.abc import Iterator
from typing import Final

from router.mapping.rules.refusal import Refusal, Settings, unsupported
from router.model.limits import RECORD_AGE_S_MAX
from router.model.source_kind import KAFKAS, SourceKind

RECORD_AGE_S_MIN: Final = 60
"""Smallest MaximumRecordAgeInSeconds but for -1."""


def check_record_age(settings: Settings) -> Iterator[Refusal]:
    """MaximumRecordAgeInSeconds."""
    age_s = settings.get("MaximumRecordAgeInSeconds", -1)
    if 0 <= age_s < RECORD_AGE_S_MIN:
        yield Refusal(
            f"MaximumRecordAgeInSeconds must be either -1 (forever) or between {RECORD_AGE_S_MIN} "
            f"and {RECORD_AGE_S_MAX} (inclusive)",
            "MaximumRecordAgeInSeconds",
        )


def check_metrics(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """Errors and lag are counted for Kafka alone."""
    names = (settings.get("MetricsConfig") or {}).get("Metrics") or []
    if kind not in KAFKAS and any(name != "EventCount" for name in names):
        yield unsupported("MetricsConfig", "MetricsConfig", "Metrics")
