"""Twilio: an HMAC over the URL as Twilio has it and the fields of the form."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from router.auth.signing import (
    BODY_UNSIGNED,
    QUERY_FIELDS_MAX,
    SIGNATURE_INVALID,
    SIGNATURE_MISSING,
    Keyed,
    Problem,
    SignedHead,
    match_base64,
)
from router.model.media_types import FORM, FORM_BYTES_MAX, FORM_FIELDS_MAX, media_type
from router.model.webhook import Signature

_PORTS: Final = {"https": 443, "http": 80}
_URL: Final = re.compile(
    r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?(?:/[!-\"$->@-~]*)?"
)
"""Scheme, host, port and path; no user, no query, no fragment."""


class Twilio:
    """`X-Twilio-Signature: <base64>`, HMAC-SHA1, or SHA-256 where the settings header says so.

    Signed are the URL and, of a form, every field's name and value in order of the names. Any
    other body counts by its SHA-256 in the URL's `bodySHA256`. Senders disagree on whether the
    URL has the port of its scheme in it, so it is tried with and without. The URL comes from the
    settings and never from `Host` or `X-Forwarded-…`: those are the sender's word.
    """

    def __init__(self, secrets: Sequence[str], public_url: str) -> None:
        """`public_url` is free of `problems`; without a path it gets the request's."""
        self._keys = [Keyed(secret.encode(), "sha1") for secret in secrets]
        self._keys_sha256 = [Keyed(secret.encode()) for secret in secrets]
        url = urlsplit(public_url)
        host = url.netloc.rpartition("@")[2]
        host = re.sub(r":\d*$", "", host)
        port = url.port or _PORTS[url.scheme]
        origins = (f"{url.scheme}://{host}", f"{url.scheme}://{host}:{port}")
        self._origins = tuple(origin.encode() for origin in origins)
        self._path = url.path.encode()

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`; Twilio sends no timestamp."""
        del now_s
        headers = head.headers
        given = headers.get("x-twilio-signature")
        if not given:
            return SIGNATURE_MISSING
        try:
            reason = _body_refusal(head, body)
            fields = _fields(body) if _is_form(head) else b""
        except ValueError:
            return SIGNATURE_INVALID
        if reason:
            return reason
        settings = headers.get("x-twilio-webhooks-signature-settings", "")
        keys = self._keys_sha256 if _is_sha256(settings) else self._keys
        target = self._path or head.path.encode("latin-1")
        if head.query:
            target += b"?" + head.query.encode("latin-1")
        for origin in self._origins:
            if match_base64(keys, origin + target + fields, given) is None:
                return None
        return SIGNATURE_INVALID


def problems(signature: Signature) -> Iterator[Problem]:
    """Why the description could never work."""
    hint = "the URL as Twilio has it, such as https://hooks.example.com/twilio"
    url = signature.public_url
    if not url:
        yield Problem("PublicUrl", "is required for Scheme twilio", hint)
    elif not _URL.fullmatch(url) or not _has_port(url):
        yield Problem("PublicUrl", f"{url!r} is not an http or https URL without a query", hint)


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _body_refusal(head: SignedHead, body: bytes) -> str | None:
    """What is not a form must be named by its digest. Raises `ValueError`."""
    query = parse_qsl(head.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    digests = [value for name, value in query if name == "bodySHA256"]
    if digests:
        wanted = hashlib.sha256(body).hexdigest().encode()
        given = [text.lower().encode("utf-8", "surrogatepass") for text in digests]
        if not all(hmac.compare_digest(wanted, one) for one in given):
            return SIGNATURE_INVALID
    elif body and not _is_form(head):
        return BODY_UNSIGNED
    return None


def _is_form(head: SignedHead) -> bool:
    return media_type(head.headers.get("content-type")) == FORM


def _fields(body: bytes) -> bytes:
    """Names and values of a form as they are signed. Raises `ValueError`."""
    if len(body) > FORM_BYTES_MAX:
        raise ValueError("the form is too large")
    fields = parse_qsl(
        body.decode("ascii"),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=FORM_FIELDS_MAX,
    )
    return "".join(name + value for name, value in sorted(set(fields))).encode()


def _is_sha256(settings: str) -> bool:
    return any(
        part.strip().lower() == "algorithm=hmac_sha256" for part in settings.split(",", 8)[:8]
    )
