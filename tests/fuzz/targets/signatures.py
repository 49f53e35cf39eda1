"""Heads that claim to be signed: a scheme, a target, headers, an empty line, the body."""

import msgspec

from router.auth import sigv4
from router.auth.signing import MESSAGES
from router.auth.sigv4 import SignatureRefused
from router.auth.webhooks import SCHEMES, scheme_for
from router.model.webhook import Signature

NOW_S = 1_700_000_000
SECRETS = ("c2VjcmV0LW9uZS1zZWNyZXQtb25l", "c2VjcmV0LXR3by1zZWNyZXQtdHdv")
GENERIC = {
    "header": "X-Signature",
    "prefix": "v0=",
    "template": "{id}:{timestamp}:{body}",
    "timestamp_header": "X-Timestamp",
    "id_header": "X-Id",
}
MADE = {
    name: scheme_for(
        Signature(
            scheme=name,
            secrets=SECRETS,
            public_url="https://hooks.example.com/x" if name == "twilio" else None,
            **(GENERIC if name.startswith("hmac") else {}),
        ),
        SECRETS,
    )
    for name in SCHEMES
}


class Head(msgspec.Struct):
    path: str
    query: str
    headers: dict[str, str]


def one_input(data):
    top, _, body = data.partition(b"\n\n")
    name, *lines = top.decode("latin-1").split("\n")
    target = lines[0] if lines else "/"
    path, _, query = target.partition("?")
    headers = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if colon:
            headers[key.strip().lower()] = value.strip(" \t")
    if name == "sigv4":
        claimed(headers, query)
        return
    scheme = MADE.get(name)
    if scheme is not None:
        reason = scheme.refusal(Head(path, query, headers), body, NOW_S)
        assert reason is None or reason in MESSAGES


def claimed(headers, query):
    try:
        claim = sigv4.read_claim(headers, query)
    except SignatureRefused:
        return
    assert claim is None or claim.access_key_id
