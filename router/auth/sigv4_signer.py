"""Signs requests of ours to AWS, with what checks those that come in."""

import hashlib
import time
from typing import Final

from router.auth.aws_session import Credentials
from router.auth.sigv4 import ALGORITHM, canonical_path, seal

_TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"


class PostSigner:
    """Of POSTs to one path of one host; what all of them have in common is made once."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        region: str,
        service: str,
        host: str,
        path: str,
        content_type: str,
    ) -> None:
        """`path` is as sent, percent-encoded."""
        token = credentials.token
        names = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"]
        self._headers = {"content-type": content_type, "host": host}
        self._token_line = ""
        if token is None:
            names.remove("x-amz-security-token")
        else:
            self._headers["x-amz-security-token"] = token
            self._token_line = f"x-amz-security-token:{token}\n"
        signed = ";".join(names)
        self._region, self._service, self._secret = region, service, credentials.secret
        self._head = f"POST\n{canonical_path(path)}\n\ncontent-type:{content_type}\nhost:{host}\n"
        self._tail = f"\n{signed}\n"
        self._key = f"{ALGORITHM} Credential={credentials.access_key_id}/"
        self._signed = f"/{region}/{service}/aws4_request, SignedHeaders={signed}, Signature="
        self._second = -1
        self._timestamp = ""

    def headers(self, target: str, body: bytes, wall_s: float) -> dict[str, str]:
        """All headers of one request but its length. `target` is its X-Amz-Target."""
        if (second := int(wall_s)) != self._second:
            self._second, self._timestamp = second, time.strftime(_TIMESTAMP, time.gmtime(second))
        timestamp = self._timestamp
        date = timestamp[:8]
        request = (
            f"{self._head}x-amz-date:{timestamp}\n{self._token_line}x-amz-target:{target}\n"
            f"{self._tail}{hashlib.sha256(body).hexdigest()}"
        )
        made = seal(request, self._secret, timestamp, date, self._region, self._service)
        return {
            **self._headers,
            "x-amz-date": timestamp,
            "x-amz-target": target,
            "authorization": f"{self._key}{date}{self._signed}{made}",
        }
