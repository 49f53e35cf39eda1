"""What a function claims, and what must stay for the others."""

import pytest

from router.model.concurrency import Allotment, account_limit


@pytest.mark.parametrize(
    ("allotment", "claimed"),
    [
        (Allotment(), 0),
        (Allotment(0), 0),
        (Allotment(5), 5),
        (Allotment(5, {"1": 2, "2": 3}), 5),
        (Allotment(None, {"1": 2, "2": 3}), 5),
    ],
)
def test_provisioned_is_part_of_what_is_reserved(allotment: Allotment, claimed: int) -> None:
    assert allotment.claimed == claimed


@pytest.mark.parametrize(
    ("concurrency", "setting", "kept"),
    [(1000, -1, 100), (5000, -1, 100), (153, -1, 15), (16, -1, 1), (16, 0, 0), (16, 99, 16)],
)
def test_the_unreserved_minimum(concurrency: int, setting: int, kept: int) -> None:
    """AWS's 100, a tenth of a small limit, or what is said, never more than there is."""
    assert account_limit(concurrency, setting).unreserved_min == kept
