"""Standard Webhooks, and Svix, which says the same with other header names."""

import base64
import hmac
from collections.abc import Sequence

from router.auth.signing import (
    SIGNATURE_INVALID,
    SIGNATURE_MISSING,
    SIGNATURES_MAX,
    Keyed,
    SignedHead,
    timestamp_refusal,
)
from router.model.errors import ConfigError


class StandardWebhooks:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64> …`.

    Signed is `<id>.<timestamp>.<body>`; neither id nor timestamp may hold a dot, or one
    signature would fit two requests. `v1a` (Ed25519) signatures are passed over.
    """

    def __init__(self, secrets: Sequence[str], tolerance_s: int, prefix: str = "webhook") -> None:
        """`prefix` is what the three headers begin with. Raises `ConfigError`."""
        self._keys = [Keyed(_key(secret)) for secret in secrets]
        self._tolerance_s = tolerance_s
        self._id = f"{prefix}-id"
        self._timestamp = f"{prefix}-timestamp"
        self._signature = f"{prefix}-signature"

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        headers = head.headers
        message_id = headers.get(self._id)
        given = headers.get(self._signature)
        timestamp = headers.get(self._timestamp)
        if not message_id or not given:
            return SIGNATURE_MISSING
        if reason := timestamp_refusal(timestamp, now_s, self._tolerance_s):
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
            wanted = base64.b64encode(key.sign(signed).digest())
            for signature in signatures:
                if hmac.compare_digest(wanted, signature):
                    return None
        return SIGNATURE_INVALID


def _key(secret: str) -> bytes:
    """The key in a secret: `whsec_` and base64, padding optional."""
    if secret.startswith(("whpk_", "whsk_")):
        raise ConfigError("Ed25519 keys (whpk_, whsk_) are not supported, use whsec_")
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigError("the secret is not `whsec_` followed by base64")
    return key
