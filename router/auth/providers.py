"""GitHub, Shopify, Slack and Stripe: HMACs over the body, or over a timestamp and the body."""

import hmac
from collections.abc import Sequence

from router.auth.signing import (
    SIGNATURE_INVALID,
    SIGNATURE_MISSING,
    SIGNATURES_MAX,
    TIMESTAMP_INVALID,
    Keyed,
    SignedHead,
    match_base64,
    match_hex,
    timestamp_refusal,
)


class GitHub:
    """`X-Hub-Signature-256: sha256=<hex>` over the body; the legacy SHA-1 header is ignored."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [Keyed(secret.encode()) for secret in secrets]

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`; GitHub sends no timestamp."""
        del now_s
        given = head.headers.get("x-hub-signature-256")
        if given is None:
            return SIGNATURE_MISSING
        if not given.startswith("sha256="):
            return SIGNATURE_INVALID
        return match_hex(self._keys, body, given[7:])


class Shopify:
    """`X-Shopify-Hmac-Sha256: <base64>` over the body."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [Keyed(secret.encode()) for secret in secrets]

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`; what Shopify says of the time is not signed."""
        del now_s
        given = head.headers.get("x-shopify-hmac-sha256")
        if given is None:
            return SIGNATURE_MISSING
        return match_base64(self._keys, body, given)


class Slack:
    """`X-Slack-Signature: v0=<hex>` over `v0:<X-Slack-Request-Timestamp>:<body>`."""

    def __init__(self, secrets: Sequence[str], tolerance_s: int) -> None:
        self._keys = [Keyed(secret.encode()) for secret in secrets]
        self._tolerance_s = tolerance_s

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        given = head.headers.get("x-slack-signature")
        if given is None:
            return SIGNATURE_MISSING
        timestamp = head.headers.get("x-slack-request-timestamp")
        if reason := timestamp_refusal(timestamp, now_s, self._tolerance_s):
            return reason
        if not given.startswith("v0="):
            return SIGNATURE_INVALID
        return match_hex(self._keys, b"v0:%b:%b" % (str(timestamp).encode(), body), given[3:])


class Stripe:
    """`Stripe-Signature: t=<unix>,v1=<hex>[,v1=…]` over `<t>.<body>`.

    The secret is the whole `whsec_…` text. Only `v1` signatures count, and any of them may match:
    Stripe signs with both secrets while one is rolled. As in Stripe's own libraries only a
    timestamp in the past is refused.
    """

    def __init__(self, secrets: Sequence[str], tolerance_s: int) -> None:
        self._keys = [Keyed(secret.encode()) for secret in secrets]
        self._tolerance_s = tolerance_s

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        given = head.headers.get("stripe-signature")
        if given is None:
            return SIGNATURE_MISSING
        timestamps, signatures = [], []
        for part in given.split(",", SIGNATURES_MAX)[:SIGNATURES_MAX]:
            name, _, value = part.strip().partition("=")
            if name == "t":
                timestamps.append(value)
            elif name == "v1":
                signatures.append(value)
        if len(timestamps) > 1:
            return TIMESTAMP_INVALID
        timestamp = timestamps[0] if timestamps else None
        reason = timestamp_refusal(timestamp, now_s, self._tolerance_s, is_future_fine=True)
        if reason:
            return reason
        if not signatures:
            return SIGNATURE_MISSING
        signed = b"%b.%b" % (str(timestamp).encode(), body)
        given_bytes = [signature.encode("latin-1").lower() for signature in signatures]
        for key in self._keys:  # one digest for each key, however many signatures come
            wanted = key.sign(signed).hexdigest().encode()
            if any(hmac.compare_digest(wanted, one) for one in given_bytes):
                return None
        return SIGNATURE_INVALID
