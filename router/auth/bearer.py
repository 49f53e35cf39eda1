"""A shared token, as CloudEvents web hooks bring it: `Authorization: Bearer` or `access_token`."""

import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from router.auth.signing import QUERY_FIELDS_MAX, TOKEN_INVALID, TOKEN_MISSING, SignedHead

TOKEN_HEADER: Final = "authorization"  # noqa: S105 - where the token is
TOKEN_PARAMETER: Final = "access_token"  # noqa: S105 - as above


class Bearer:
    """Nothing is signed: whoever has the token may send anything. Use it over TLS only."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._tokens = [secret.encode() for secret in secrets]

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """As `Scheme.refusal`. The header counts; the parameter only without it."""
        del body, now_s
        header = head.headers.get(TOKEN_HEADER)
        if header is not None:
            kind, _, token = header.partition(" ")
            given = token.strip(" ").encode("latin-1")
            if kind.lower() != "bearer":
                return TOKEN_INVALID
        else:
            try:
                query = parse_qsl(
                    head.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX
                )
            except ValueError:
                return TOKEN_INVALID
            found = [value for name, value in query if name == TOKEN_PARAMETER]
            if not found:
                return TOKEN_MISSING
            if len(found) > 1:
                return TOKEN_INVALID
            given = found[0].encode("utf-8", "surrogatepass")
        # All are looked at: which one it was shows in no time.
        matches = [hmac.compare_digest(token, given) for token in self._tokens]
        return None if any(matches) else TOKEN_INVALID
