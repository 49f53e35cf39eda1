"""What `router doctor` says of concurrency."""

import pytest

from router.cli.checks import _concurrency


@pytest.mark.parametrize(
    ("reserved", "is_ok", "text"),
    [
        (20, True, "20 of 100 reserved or provisioned"),
        (90, True, "90 of 100 reserved or provisioned"),
        (91, False, "Raise ROUTER_CONCURRENCY_MAX or reserve less"),
    ],
)
def test_more_reserved_than_there_is_is_told(reserved, is_ok, text):
    facts = {"limit": 100, "running": 0, "reserved": reserved, "unreserved_min": 10}
    (check,) = _concurrency({"concurrency": facts})
    assert check.is_ok == is_ok
    assert text in check.text


def test_nothing_reserved_is_nothing_to_tell():
    facts = {"limit": 100, "running": 0, "reserved": 0, "unreserved_min": 10}
    assert _concurrency({"concurrency": facts}) == []
