"""Bearer tokens, in the header or in `access_token`."""

import pytest

from router.auth.webhooks import scheme_for
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

TOKENS = ("first token/+=", "second")


def refusal(authorization=None, query="", tokens=TOKENS):
    scheme = scheme_for(Signature(scheme="bearer", secrets=tokens), tokens)
    headers = {} if authorization is None else {"authorization": authorization}
    return scheme.refusal(Head(headers, query=query), b"anything", 0)


def test_header_and_parameter():
    assert refusal("Bearer first token/+=") is None
    assert refusal("bearer  second") is None
    assert refusal(query="a=1&access_token=first%20token%2F%2B%3D") is None
    assert refusal(query="access_token=second") is None


@pytest.mark.parametrize(
    ("authorization", "query", "reason"),
    [
        (None, "", "token_missing"),
        (None, "token=second", "token_missing"),
        (None, "access_token=", "token_invalid"),
        (None, "access_token=third", "token_invalid"),
        (None, "access_token=second&access_token=second", "token_invalid"),
        (None, "a&" * 300, "token_invalid"),
        ("Basic second", "", "token_invalid"),
        ("second", "", "token_invalid"),
        ("Bearer", "", "token_invalid"),
        ("Bearer second,Bearer second", "", "token_invalid"),
        ("Bearer \xff", "", "token_invalid"),
        ("Bearer third", "access_token=second", "token_invalid"),
    ],
)
def test_refused(authorization, query, reason):
    assert refusal(authorization, query) == reason


def test_a_token_beyond_latin_1():
    assert refusal(query="access_token=%E2%82%AC", tokens=("€",)) is None
