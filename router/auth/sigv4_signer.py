"""Signs requests of ours to AWS, with what checks those that come in."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from router.auth.aws_session import Credentials
from router.auth.sigv4 import ALGORITHM, Claim, signature

_SIGNED: Final = ("content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target")


def signed_headers(
    credentials: Credentials,
    *,
    region: str,
    service: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> dict[str, str]:
    """The headers of a POST with its signature among them.

    `headers` must have `host`; names are in lower case. Of them all those are signed that AWS asks
    for.
    """
    timestamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    full = {**headers, "x-amz-date": timestamp}
    if credentials.token is not None:
        full["x-amz-security-token"] = credentials.token
    names = tuple(name for name in _SIGNED if name in full)
    key_id, date = credentials.access_key_id, timestamp[:8]
    claim = Claim(key_id, date, region, service, names, "", timestamp)
    made = signature(
        claim,
        credentials.secret,
        method="POST",
        path=path,
        query="",
        headers=full,
        digest=hashlib.sha256(body).hexdigest(),
    )
    full["authorization"] = (
        f"{ALGORITHM} Credential={key_id}/{date}/{region}/{service}/aws4_request, "
        f"SignedHeaders={';'.join(names)}, Signature={made}"
    )
    return full
