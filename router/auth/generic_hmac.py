"""An HMAC as described: any header, prefix, encoding and signed text."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from router.auth.signing import (
    SIGNATURE_INVALID,
    SIGNATURE_MISSING,
    Keyed,
    Problem,
    SignedHead,
    match_base64,
    match_hex,
    timestamp_refusal,
)
from router.model.webhook import Signature

ALGORITHMS: Final = {"hmac-sha256": "sha256", "hmac-sha1": "sha1", "hmac-sha512": "sha512"}
"""Scheme → digest. SHA-1 for senders that have nothing better; as an HMAC it still holds."""

ENCODINGS: Final = ("hex", "base64")

FIELDS: Final = ("{body}", "{timestamp}", "{id}")
"""What `Template` may hold."""

_FIELD: Final = re.compile(r"\{[^{}]*\}")
_PARTS: Final = re.compile(r"(\{(?:body|timestamp|id)\})")


class GenericHmac:
    """HMAC over a template of body, timestamp and id, in a header of choice."""

    def __init__(self, signature: Signature, secrets: Sequence[str]) -> None:
        """`signature` is free of `problems`."""
        self._keys = [Keyed(secret.encode(), ALGORITHMS[signature.scheme]) for secret in secrets]
        self._header = (signature.header or "").lower()
        self._prefix = signature.prefix
        self._match = match_hex if signature.encoding == "hex" else match_base64
        self._tolerance_s = signature.tolerance_s
        self._timestamp_header = (signature.timestamp_header or "").lower()
        self._id_header = (signature.id_header or "").lower()
        self._parts = tuple(_PARTS.split(signature.template))
        self._separator, self._is_id_first = _beside_id(self._parts)

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`."""
        headers = head.headers
        given = headers.get(self._header)
        if given is None:
            return SIGNATURE_MISSING
        timestamp = headers.get(self._timestamp_header)
        if self._timestamp_header and (
            reason := timestamp_refusal(timestamp, now_s, self._tolerance_s)
        ):
            return reason
        message_id = headers.get(self._id_header)
        if self._id_header and not message_id:
            return SIGNATURE_MISSING
        if not given.startswith(self._prefix):
            return SIGNATURE_INVALID
        if message_id and not self._ends_where_it_seems(message_id):
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

    def _ends_where_it_seems(self, message_id: str) -> bool:
        """Whether the id holds nothing that could end it: what is signed must be cut in one way.

        Else part of a signed body could be sent as part of the id, and the rest as the body.
        """
        separator = self._separator
        if self._is_id_first:
            return (message_id + separator).index(separator) == len(message_id)
        return (separator + message_id).rindex(separator) == 0


def _beside_id(parts: Sequence[str]) -> tuple[str, bool]:
    """What stands between `{id}` and the rest towards `{body}`, and whether the id is first."""
    if "{id}" not in parts or "{body}" not in parts:
        return "", True
    place = parts.index("{id}")
    is_first = place < parts.index("{body}")
    return parts[place + 1 if is_first else place - 1], is_first


def problems(signature: Signature) -> Iterator[Problem]:
    """Why the description could never work."""
    if not signature.header:
        yield Problem("Header", f"is required for Scheme {signature.scheme}")
    if signature.encoding not in ENCODINGS:
        yield Problem("Encoding", f"must be one of {', '.join(ENCODINGS)}")
    fields = set(_FIELD.findall(signature.template))
    for field in sorted(fields - set(FIELDS)):
        yield Problem("Template", f"unknown field {field}", f"known: {' '.join(FIELDS)}")
    if "{body}" not in fields:
        yield Problem("Template", "does not sign the {body}")
    for field, header, option in (
        ("{timestamp}", signature.timestamp_header, "TimestampHeader"),
        ("{id}", signature.id_header, "IdHeader"),
    ):
        if field in fields and not header:
            yield Problem(option, f"is required: Template signs the {field}")
        elif header and field not in fields:
            # Anyone could refresh a timestamp that is not signed.
            yield Problem(option, f"is not used: Template has no {field}")
    parts = _PARTS.split(signature.template)
    if {"{id}", "{body}"} <= fields and not _beside_id(parts)[0]:
        yield Problem("Template", "has nothing that ends the {id}: one signature would fit many")
