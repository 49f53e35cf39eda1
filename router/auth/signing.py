"""What all schemes of webhook senders share: their shape, their reasons, keyed digests, timestamps.

Digests are compared in constant time and over the raw bytes.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

SIGNATURE_MISSING: Final = "signature_missing"
SIGNATURE_INVALID: Final = "signature_invalid"
TIMESTAMP_MISSING: Final = "timestamp_missing"
TIMESTAMP_INVALID: Final = "timestamp_invalid"
TIMESTAMP_TOO_OLD: Final = "timestamp_too_old"
TIMESTAMP_TOO_NEW: Final = "timestamp_too_new"
BODY_UNSIGNED: Final = "body_unsigned"
TOKEN_MISSING: Final = "token_missing"  # noqa: S105 - a reason, not a password
TOKEN_INVALID: Final = "token_invalid"  # noqa: S105 - as above

MESSAGES: Final[Mapping[str, str]] = {
    SIGNATURE_MISSING: "A header that the signature needs is missing.",
    SIGNATURE_INVALID: "The signature does not match the body.",
    TIMESTAMP_MISSING: "The timestamp is missing.",
    TIMESTAMP_INVALID: "The timestamp is not a number of seconds.",
    TIMESTAMP_TOO_OLD: "The timestamp is too far in the past.",
    TIMESTAMP_TOO_NEW: "The timestamp is too far in the future.",
    BODY_UNSIGNED: "The signature does not cover the body.",
    TOKEN_MISSING: "The bearer token is missing.",
    TOKEN_INVALID: "The bearer token is not the right one.",
}
"""Every reason a scheme gives, with its text for people."""

TIMESTAMP_DIGITS_MAX: Final = 12
"""Seconds since 1970 with more digits are no time of anyone's clock."""

SIGNATURES_MAX: Final = 16
"""Most signatures of one header that are looked at."""

QUERY_FIELDS_MAX: Final = 256
"""Most query parameters of one request."""


class SignedHead(Protocol):
    """What a signature may depend on besides the body."""

    @property
    def path(self) -> str:
        """As sent: percent signs are not decoded."""

    @property
    def query(self) -> str:
        """What follows the question mark, as sent."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are lower-case; the values of a repeated one are joined by commas."""


class Scheme(Protocol):
    """One way of signing, with the secrets of one webhook."""

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """None when the request is genuine, else the reason, a key of `MESSAGES`.

        `now_s` is epoch seconds.
        """


class Problem(msgspec.Struct, frozen=True):
    """Why a description of a signature could never work."""

    option: str
    """The option at fault, as it is written in a template."""
    text: str
    hint: str = ""


_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Keyed:
    """An HMAC (RFC 2104) with the key in it: the two hashes every digest under it begins with.

    Copying those costs half of what copying `hmac.HMAC` does, and unlike `hmac.digest` it does not
    let go of the interpreter's lock for a small body: winning that back from the storage thread
    costs more than the digest.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes, algorithm: str = "sha256") -> None:
        self._inner, self._outer = hashlib.new(algorithm), hashlib.new(algorithm)
        block_bytes = self._inner.block_size
        key = hashlib.new(algorithm, secret).digest() if len(secret) > block_bytes else secret
        key = key.ljust(block_bytes, b"\0")
        self._inner.update(key.translate(_INNER))
        self._outer.update(key.translate(_OUTER))

    def sign(self, signed: bytes) -> "hashlib._Hash":
        """The hash whose digest is the HMAC of `signed`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(signed)
        outer.update(inner.digest())
        return outer


def match_hex(keys: Sequence[Keyed], signed: bytes, given: str) -> str | None:
    """None when the hexadecimal HMAC of `signed` under any key is `given`."""
    given_bytes = given.encode("latin-1").lower()
    for key in keys:
        wanted = key.sign(signed).hexdigest().encode()
        if hmac.compare_digest(wanted, given_bytes):
            return None
    return SIGNATURE_INVALID


def match_base64(keys: Sequence[Keyed], signed: bytes, given: str) -> str | None:
    """None when the base64 HMAC of `signed` under any key is `given`."""
    given_bytes = given.encode("latin-1")
    for key in keys:
        wanted = base64.b64encode(key.sign(signed).digest())
        if hmac.compare_digest(wanted, given_bytes):
            return None
    return SIGNATURE_INVALID


def timestamp_refusal(
    text: str | None, now_s: float, tolerance_s: int, *, is_future_fine: bool = False
) -> str | None:
    """None when the epoch seconds in `text` are within the tolerance, else the reason."""
    if not text:
        return TIMESTAMP_MISSING
    if not (text.isascii() and text.isdigit() and len(text) <= TIMESTAMP_DIGITS_MAX):
        return TIMESTAMP_INVALID
    if text[0] == "0":
        # Where a template signs `{body}{timestamp}` it could as well be the body's last digit.
        return TIMESTAMP_INVALID
    age_s = now_s - int(text)
    if age_s > tolerance_s:
        return TIMESTAMP_TOO_OLD
    if age_s < -tolerance_s and not is_future_fine:
        return TIMESTAMP_TOO_NEW
    return None
