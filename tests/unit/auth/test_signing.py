"""What all schemes share."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.auth.signing import MESSAGES, Keyed, match_base64, match_hex, timestamp_refusal


def test_every_reason_has_a_text():
    assert set(MESSAGES) == {
        "signature_missing",
        "signature_invalid",
        "timestamp_missing",
        "timestamp_invalid",
        "timestamp_too_old",
        "timestamp_too_new",
        "body_unsigned",
        "token_missing",
        "token_invalid",
    }


@pytest.mark.parametrize("match", [match_hex, match_base64])
def test_digests_are_compared_in_constant_time(match, monkeypatch):
    compared = []
    monkeypatch.setattr(
        hmac, "compare_digest", lambda wanted, given: compared.append((wanted, given)) or False
    )
    keys = [Keyed(b"one"), Keyed(b"two")]
    assert match(keys, b"signed", "given") == "signature_invalid"
    assert [given for _, given in compared] == [b"given", b"given"]
    assert len({wanted for wanted, _ in compared}) == 2


@given(
    secret=st.binary(min_size=1, max_size=300),
    signed=st.binary(max_size=5_000),
    algorithm=st.sampled_from(["sha1", "sha256", "sha512"]),
)
def test_a_digest_is_the_hmac(secret, signed, algorithm):
    """Also under keys longer than a block, which are hashed first."""
    wanted = hmac.digest(secret, signed, algorithm)
    assert Keyed(secret, algorithm).sign(signed).digest() == wanted


def test_a_key_is_used_again_and_again():
    key = Keyed(b"k", "sha512")
    wanted = hmac.digest(b"k", b"x", "sha512").hex()
    assert [match_hex([key], b"x", wanted) for _ in range(2)] == [None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1000", None),
        ("899", "timestamp_too_old"),
        ("1101", "timestamp_too_new"),
        ("", "timestamp_missing"),
        (None, "timestamp_missing"),
        ("1000,1000", "timestamp_invalid"),
        (" 1000", "timestamp_invalid"),
        ("²", "timestamp_invalid"),
    ],
)
def test_timestamps(text, reason):
    assert timestamp_refusal(text, 1_000, 100) == reason
