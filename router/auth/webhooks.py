"""How webhook senders prove themselves: one small class per scheme (`bus-…md` 4.1).

Pure: headers, raw body and the time in, a reason to refuse out. A scheme is made once with its
secrets and used for every request. Any secret may match, so that secrets can be rotated; digests
are compared in constant time.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from router.model.errors import ConfigError
from router.model.webhook import Signature

SIGNATURE_MISSING: Final = "signature_missing"
SIGNATURE_INVALID: Final = "signature_invalid"
TIMESTAMP_MISSING: Final = "timestamp_missing"
TIMESTAMP_INVALID: Final = "timestamp_invalid"
TIMESTAMP_TOO_OLD: Final = "timestamp_too_old"
TIMESTAMP_TOO_NEW: Final = "timestamp_too_new"

MESSAGES: Final[Mapping[str, str]] = {
    SIGNATURE_MISSING: "A header that the signature needs is missing.",
    SIGNATURE_INVALID: "The signature does not match the body.",
    TIMESTAMP_MISSING: "The timestamp header is missing.",
    TIMESTAMP_INVALID: "The timestamp is not a number of seconds.",
    TIMESTAMP_TOO_OLD: "The timestamp is too far in the past.",
    TIMESTAMP_TOO_NEW: "The timestamp is too far in the future.",
}
"""Every reason a scheme gives, with its text for people."""

TIMESTAMP_DIGITS_MAX: Final = 12
"""Seconds since 1970 with more digits are no time of anyone's clock."""

SIGNATURES_MAX: Final = 16
"""Most signatures of one Standard Webhooks header that are looked at."""


class Scheme(Protocol):
    """One way of signing, with the secrets of one webhook."""

    def refusal(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
        """None when the request is genuine, else the reason, a key of `MESSAGES`.

        `headers` has lower-case names; `now_s` is epoch seconds.
        """


class Unsigned:
    """Scheme `none`: everyone is welcome."""

    def refusal(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
        """None."""
        del headers, body, now_s
        return None


class GitHub:
    """`X-Hub-Signature-256: sha256=<hex>` over the body; the legacy SHA-1 header is ignored."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [_keyed(secret.encode()) for secret in secrets]

    def refusal(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`; GitHub sends no timestamp."""
        del now_s
        given = headers.get("x-hub-signature-256")
        if given is None:
            return SIGNATURE_MISSING
        if not given.startswith("sha256="):
            return SIGNATURE_INVALID
        return _match_hex(self._keys, body, given[7:])


class StandardWebhooks:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64> …`.

    Signed is `<id>.<timestamp>.<body>`; neither id nor timestamp may hold a dot, or one
    signature would fit two requests. `v1a` (Ed25519) signatures are passed over.
    """

    def __init__(self, secrets: Sequence[str], tolerance_s: int) -> None:
        self._keys = [_keyed(_standard_key(secret)) for secret in secrets]
        self._tolerance_s = tolerance_s

    def refusal(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        message_id = headers.get("webhook-id")
        given = headers.get("webhook-signature")
        timestamp = headers.get("webhook-timestamp")
        if not message_id or not given:
            return SIGNATURE_MISSING
        if reason := _timestamp_refusal(timestamp, now_s, self._tolerance_s):
            return reason
        if "." in message_id:
            return SIGNATURE_INVALID
        signatures = [
            part[3:].encode("latin-1")
            for part in given.split(" ", SIGNATURES_MAX)[:SIGNATURES_MAX]
            if part.startswith("v1,")
        ]
        signed = b"%b.%b.%b" % (message_id.encode("latin-1"), str(timestamp).encode(), body)
        for key in self._keys:
            wanted = base64.b64encode(_digest(key, signed).digest())
            for signature in signatures:
                if hmac.compare_digest(wanted, signature):
                    return None
        return SIGNATURE_INVALID


class GenericHmac:
    """HMAC-SHA256 over a template of body, timestamp and id, in a header of choice."""

    def __init__(self, signature: Signature, secrets: Sequence[str]) -> None:
        if not signature.header:
            raise ConfigError("Signature: Header is required for scheme hmac-sha256")
        if signature.encoding not in {"hex", "base64"}:
            raise ConfigError("Signature: Encoding must be hex or base64")
        self._keys = [_keyed(secret.encode()) for secret in secrets]
        self._header = signature.header.lower()
        self._prefix = signature.prefix
        self._match = _match_hex if signature.encoding == "hex" else _match_base64
        self._tolerance_s = signature.tolerance_s
        self._timestamp_header = (signature.timestamp_header or "").lower()
        self._id_header = (signature.id_header or "").lower()
        self._parts = tuple(re.split(r"(\{(?:body|timestamp|id)\})", signature.template))
        self._check_parts()

    def _check_parts(self) -> None:
        if "{body}" not in self._parts:
            raise ConfigError("Signature: Template must contain {body}")
        if "{timestamp}" in self._parts and not self._timestamp_header:
            raise ConfigError("Signature: {timestamp} in Template needs TimestampHeader")
        if "{id}" in self._parts and not self._id_header:
            raise ConfigError("Signature: {id} in Template needs IdHeader")
        if self._timestamp_header and "{timestamp}" not in self._parts:
            # Anyone could refresh a timestamp that is not signed.
            raise ConfigError("Signature: TimestampHeader needs {timestamp} in Template")

    def refusal(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        given = headers.get(self._header)
        if given is None:
            return SIGNATURE_MISSING
        timestamp = headers.get(self._timestamp_header)
        if self._timestamp_header and (
            reason := _timestamp_refusal(timestamp, now_s, self._tolerance_s)
        ):
            return reason
        message_id = headers.get(self._id_header)
        if self._id_header and not message_id:
            return SIGNATURE_MISSING
        if not given.startswith(self._prefix):
            return SIGNATURE_INVALID
        values = {
            "{body}": body,
            "{timestamp}": (timestamp or "").encode("latin-1"),
            "{id}": (message_id or "").encode("latin-1"),
        }
        signed = b"".join(
            [values[part] if part in values else part.encode() for part in self._parts]
        )
        return self._match(self._keys, signed, given[len(self._prefix) :])


def _keyed(secret: bytes) -> hmac.HMAC:
    """HMAC-SHA256 with the key in it, to be copied for each request.

    A copy saves setting up the key, and unlike `hmac.digest` it does not let go of the
    interpreter's lock for a small body: winning that back from the storage thread costs more
    than the digest.
    """
    return hmac.new(secret, digestmod="sha256")


def _digest(key: hmac.HMAC, signed: bytes) -> hmac.HMAC:
    digest = key.copy()
    digest.update(signed)
    return digest


def _match_hex(keys: Sequence[hmac.HMAC], signed: bytes, given: str) -> str | None:
    """None when the hexadecimal HMAC-SHA256 of `signed` under any key is `given`."""
    digest = given.encode("latin-1").lower()
    for key in keys:
        wanted = _digest(key, signed).hexdigest().encode()
        if hmac.compare_digest(wanted, digest):
            return None
    return SIGNATURE_INVALID


def _match_base64(keys: Sequence[hmac.HMAC], signed: bytes, given: str) -> str | None:
    """None when the base64 HMAC-SHA256 of `signed` under any key is `given`."""
    digest = given.encode("latin-1")
    for key in keys:
        wanted = base64.b64encode(_digest(key, signed).digest())
        if hmac.compare_digest(wanted, digest):
            return None
    return SIGNATURE_INVALID


def _timestamp_refusal(text: str | None, now_s: float, tolerance_s: int) -> str | None:
    if not text:
        return TIMESTAMP_MISSING
    if not (text.isascii() and text.isdigit() and len(text) <= TIMESTAMP_DIGITS_MAX):
        return TIMESTAMP_INVALID
    age_s = now_s - int(text)
    if age_s > tolerance_s:
        return TIMESTAMP_TOO_OLD
    if age_s < -tolerance_s:
        return TIMESTAMP_TOO_NEW
    return None


def _standard_key(secret: str) -> bytes:
    """The key in a Standard Webhooks secret: `whsec_` and base64, padding optional."""
    if secret.startswith(("whpk_", "whsk_")):
        raise ConfigError("Signature: Ed25519 keys (whpk_, whsk_) are not supported, use whsec_")
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigError("Signature: the secret is not `whsec_` followed by base64")
    return key


SCHEMES: Final[Mapping[str, Callable[[Signature, Sequence[str]], Scheme]]] = {
    "github": lambda _, secrets: GitHub(secrets),
    "standard-webhooks": lambda signature, secrets: StandardWebhooks(
        secrets, signature.tolerance_s
    ),
    "hmac-sha256": GenericHmac,
}
"""Scheme name → its maker; `none` needs no secret and is made by `scheme_for` alone."""


def scheme_for(signature: Signature, secrets: Sequence[str]) -> Scheme:
    """The scheme of a webhook with its resolved secrets.

    Raises `ConfigError` for an unknown scheme, no secret, an empty or malformed secret, or an
    incomplete description. The text never holds a secret.
    """
    if signature.scheme == "none":
        return Unsigned()
    make = SCHEMES.get(signature.scheme)
    if make is None:
        known = ", ".join([*SCHEMES, "none"])
        raise ConfigError(f"Signature: unknown Scheme {signature.scheme!r}, use one of {known}")
    if not secrets or not all(secrets):
        raise ConfigError(f"Signature: Scheme {signature.scheme} needs a Secret that is not empty")
    return make(signature, secrets)
