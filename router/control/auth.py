"""Who may call: signatures against configured keys, environments' keys against their list."""

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from router.auth import sigv4
from router.auth.sigv4 import Claim, SignatureRefused
from router.control.context import Principal
from router.control.errors import ApiError, denied
from router.control.protocol.wire import Request

TOKEN_HEADER: Final = "x-router-token"  # noqa: S105 - a header's name
"""Shown by the CLI of the user who runs the router."""

PrincipalOf = Callable[[str], Principal | None]
"""Access key id → who holds it."""

_NOBODY: Final = "no-secret-at-all"
"""Signed against when a key is unknown, so that it takes as long as a wrong signature."""


def keyring(access_keys: Mapping[str, str]) -> PrincipalOf:
    """Holders of configured keys: they may call everything."""
    principals = {key: Principal(key, secret) for key, secret in access_keys.items()}
    return principals.get


class Authenticator:
    """Decides who a request is from. Without `principal_of` anybody is welcome."""

    def __init__(
        self,
        principal_of: PrincipalOf | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        token: str = "",
    ) -> None:
        """`token` opens everything to whoever shows it in `X-Router-Token`; empty: nobody."""
        self._principal_of = principal_of
        self._token = token
        self._now = now

    @property
    def is_closed(self) -> bool:
        """Whether a caller must show something."""
        return self._principal_of is not None

    def claim(self, request: Request, query: str) -> Claim | None:
        """What the request says of its signer; a broken claim matters only when it must be true.

        Raises `ApiError`.
        """
        try:
            return sigv4.read_claim(request.headers, query)
        except SignatureRefused as error:
            if self._principal_of is None:
                return None
            raise _incomplete(str(error)) from None

    def check(self, claim: Claim | None, request: Request, query: str) -> Principal | None:
        """The principal behind a claim, proven. Raises `ApiError` 403."""
        if self._principal_of is None:
            # Open to programs of this machine, not to whatever page its browser shows.
            if "origin" in request.headers:
                raise denied("Web pages may not call an API that takes any key.")
            return None
        shown = request.headers.get(TOKEN_HEADER, "")
        if self._token and hmac.compare_digest(
            shown.encode("utf-8", "surrogateescape"), self._token.encode()
        ):
            return Principal("local", "")
        if claim is None:
            raise ApiError(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
                status=403,
                kind=None,
                query_code="MissingAuthenticationToken",
            )
        principal = self._principal_of(claim.access_key_id)
        try:
            sigv4.verify(
                claim,
                principal.secret if principal is not None else _NOBODY,
                method=request.method,
                path=request.path,
                query=query,
                headers=request.headers,
                body=request.body,
                now=self._now(),
            )
        except SignatureRefused as error:
            if principal is not None:
                raise _mismatch(str(error)) from None
        if principal is None:
            raise ApiError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                status=403,
                kind=None,
                query_code="InvalidClientTokenId",
            )
        return principal


def authorize(principal: Principal | None, service: str, operation: str) -> None:
    """Raise `ApiError` 403 unless the principal may call the operation."""
    if principal is None or principal.allowed is None:
        return
    action = f"{service}:{operation}"
    if action not in principal.allowed:
        raise denied(f"{principal.name} is not authorized to perform: {action}")


def _mismatch(why: str) -> ApiError:
    return ApiError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check "
        f"your AWS Secret Access Key and signing method. ({why})",
        status=403,
        kind=None,
        query_code="SignatureDoesNotMatch",
    )


def _incomplete(why: str) -> ApiError:
    return ApiError("IncompleteSignatureException", why, status=403, kind=None)
