"""What `router doctor` says of concurrency and of the ingress process."""

import pytest

from router.cli.checks import _concurrency, _ingress


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


@pytest.mark.parametrize(
    ("changed", "is_ok", "text"),
    [
        ({}, True, "process 7, locked in by landlock, started again 2 times"),
        ({"process": None}, False, "its process is being started again (2 times)"),
        ({"process": None, "is_wanted": False}, True, "starts with the first webhook"),
        ({"process": None, "is_apart": False}, True, "in the router's own process"),
    ],
)
def test_where_requests_are_read_is_told(changed, is_ok, text):
    facts = {"is_apart": True, "is_wanted": True, "process": 7, "restarts": 2}
    check = _ingress(facts | {"locks": ["landlock"]} | changed)
    assert check.is_ok == is_ok
    assert text in check.text
