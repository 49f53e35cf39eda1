"""Check AWS Signature Version 4 on requests to the API: in a header or in the query string.

The canonical path is encoded twice, as every service but S3 signs it. A body must be signed:
`UNSIGNED-PAYLOAD` and chunk signatures are refused.
"""

import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from router.model.errors import RouterError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SKEW_MAX: Final = timedelta(minutes=5)
"""How far a signer's clock may be off (AWS: five minutes for most services)."""
PRESIGNED_EXPIRY_S_MAX: Final = 604_800
AUTHORIZATION_LENGTH_MAX: Final = 8_192
"""Longest Authorization header that is looked at, in characters."""

_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<credential>[^,\s]+),\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})\s*",
    re.ASCII,
)

_SPACES: Final = re.compile(r"[ \t]+")
_EXPIRES: Final = re.compile(r"[0-9]{1,6}")


class SignatureRefused(RouterError):
    """A signature is missing a part, wrong, too old, or by nobody we know."""

    code = "signature_refused"


class Claim(msgspec.Struct, frozen=True):
    """What a request says about who signed it. Nothing of it is proven yet."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    expires_s: int | None = None
    """Set for a presigned URL."""


def read_claim(headers: Mapping[str, str], query: str) -> Claim | None:
    """The claim of a request; None when it carries none. Raises `SignatureRefused`."""
    authorization = headers.get("authorization")
    if authorization is not None:
        return _from_header(authorization, headers)
    pairs = dict(_pairs(query))
    if pairs.get("X-Amz-Algorithm") != ALGORITHM:
        return None
    expires = pairs.get("X-Amz-Expires", "")
    if not _EXPIRES.fullmatch(expires) or int(expires) > PRESIGNED_EXPIRY_S_MAX:
        raise SignatureRefused("X-Amz-Expires must be a number of seconds up to 604800")
    return _claim(
        pairs.get("X-Amz-Credential", ""),
        pairs.get("X-Amz-SignedHeaders", ""),
        pairs.get("X-Amz-Signature", ""),
        pairs.get("X-Amz-Date", ""),
        int(expires),
    )


def _from_header(authorization: str, headers: Mapping[str, str]) -> Claim:
    if len(authorization) > AUTHORIZATION_LENGTH_MAX:
        raise SignatureRefused("the Authorization header is too long")
    match = _HEADER.fullmatch(authorization)
    if match is None:
        raise SignatureRefused("the Authorization header is not of the form AWS4-HMAC-SHA256")
    timestamp = headers.get("x-amz-date", "")
    return _claim(match["credential"], match["headers"], match["signature"], timestamp, None)


def _claim(
    credential: str, signed: str, signature: str, timestamp: str, expires_s: int | None
) -> Claim:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise SignatureRefused("Credential must be <key>/<date>/<region>/<service>/aws4_request")
    access_key_id, date, region, service, _ = parts
    names = tuple(signed.lower().split(";"))
    if "host" not in names:
        raise SignatureRefused("'Host' must be a 'SignedHeader'")
    return Claim(access_key_id, date, region, service, names, signature, timestamp, expires_s)


def verify(
    claim: Claim,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Raise `SignatureRefused` unless `secret` signed exactly this request, just now.

    `path` and `query` are as sent, percent-encoded; names of `headers` are in lower case, and the
    values of one that came more than once joined by commas. Each character is a byte of the wire.
    """
    payload_hash = hashlib.sha256(body).hexdigest()
    stated = headers.get("x-amz-content-sha256")
    if claim.expires_s is None and stated is not None and stated != payload_hash:
        raise SignatureRefused("x-amz-content-sha256 is not the SHA-256 of the body")
    expected = signature(
        claim, secret, method=method, path=path, query=query, headers=headers, digest=payload_hash
    )
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise SignatureRefused("the signature does not match the request and the secret key")
    _check_time(claim, now)


def signature(
    claim: Claim,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    digest: str,
) -> str:
    """What `secret` makes of a request; `digest` is the SHA-256 of its body, in hexadecimal.

    The signature that the claim itself states does not matter.
    """
    request = "\n".join(
        (
            method,
            canonical_path(path),
            _canonical_query(query),
            *(f"{name}:{_header_value(headers, name)}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            digest,
        )
    )
    return seal(request, secret, claim.timestamp, claim.date, claim.region, claim.service)


def seal(request: str, secret: str, timestamp: str, date: str, region: str, service: str) -> str:
    """The signature under a canonical request."""
    hashed = hashlib.sha256(_bytes(request)).hexdigest()
    text = f"{ALGORITHM}\n{timestamp}\n{date}/{region}/{service}/aws4_request\n{hashed}"
    key = _signing_key(secret, date, region, service)
    return hmac.new(key, _bytes(text), hashlib.sha256).hexdigest()


def _check_time(claim: Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("X-Amz-Date must look like 20260102T030405Z") from None
    if claim.timestamp[:8] != claim.date:
        raise SignatureRefused("the date of the credential is not the date of the request")
    if signed_at - now > SKEW_MAX:
        raise SignatureRefused(f"Signature not yet current: {claim.timestamp} is in the future")
    age_max = SKEW_MAX if claim.expires_s is None else timedelta(seconds=claim.expires_s)
    if now - signed_at > age_max:
        raise SignatureRefused(f"Signature expired: {claim.timestamp} is too long ago")


@lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, _bytes(part), hashlib.sha256).digest()
    return key


def _bytes(text: str) -> bytes:
    """What came over the wire: each character is a byte of it."""
    return text.encode("latin-1")


def canonical_path(path: str) -> str:
    """A path as it is signed: made normal, and encoded once more."""
    if not path or path == "/":
        return "/"
    normal = posixpath.normpath(re.sub("/+", "/", path))
    if path.endswith("/") and not normal.endswith("/"):
        normal += "/"
    return quote(_bytes(normal), safe="/~")


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append(
                (
                    unquote_to_bytes(_bytes(name)).decode("latin-1"),
                    unquote_to_bytes(_bytes(value)).decode("latin-1"),
                )
            )
    return pairs


def _canonical_query(query: str) -> str:
    encoded = sorted(
        (quote(name.encode("latin-1"), safe="-_.~"), quote(value.encode("latin-1"), safe="-_.~"))
        for name, value in _pairs(query)
        if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def _header_value(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip(" \t")
    return _SPACES.sub(" ", value) if "  " in value or "\t" in value else value
