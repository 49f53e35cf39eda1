"""An API that takes any key is for programs of this machine, not for pages in its browser."""

import pytest

from router.control.auth import Authenticator
from router.control.context import Principal
from router.control.errors import ApiError
from router.control.protocol.wire import Request


def request(**headers: str) -> Request:
    named = {name.replace("_", "-").lower(): text for name, text in headers.items()}
    return Request("POST", "/", [], named, b"")


def test_programs_may_call_an_open_api():
    assert Authenticator(None).check(None, request(Host="127.0.0.1"), "") is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8000"])
def test_pages_may_not(origin):
    with pytest.raises(ApiError) as refusal:
        Authenticator(None).check(None, request(Origin=origin), "")
    assert refusal.value.status == 403


def test_the_token_of_this_machine_opens_a_closed_api():
    keys = {"AK": Principal("AK", "secret")}.get
    closed = Authenticator(keys, token="open-sesame")
    assert closed.check(None, request(X_Router_Token="open-sesame"), "") is not None
    for wrong in ("", "open-sesam", "open-sesame ", "\udcff"):
        with pytest.raises(ApiError) as refusal:
            closed.check(None, request(X_Router_Token=wrong), "")
        assert refusal.value.status == 403


def test_no_token_means_that_none_fits():
    closed = Authenticator({}.get, token="")
    with pytest.raises(ApiError):
        closed.check(None, request(X_Router_Token=""), "")
