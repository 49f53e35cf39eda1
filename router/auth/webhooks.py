"""How webhook senders prove themselves: one small class per scheme (`bus-…md` 4.1).

Pure: head, raw body and the time in, a reason to refuse out. A scheme is made once with its
secrets and used for every request. Any secret may match, so that secrets can be rotated.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from router.auth import generic_hmac, twilio
from router.auth.bearer import Bearer
from router.auth.generic_hmac import GenericHmac
from router.auth.providers import GitHub, Shopify, Slack, Stripe
from router.auth.signing import Problem, Scheme, SignedHead
from router.auth.standard_webhooks import StandardWebhooks
from router.auth.twilio import Twilio
from router.model.errors import ConfigError
from router.model.webhook import Signature


class Unsigned:
    """Scheme `none`: everyone is welcome."""

    def refusal(self, head: SignedHead, body: bytes, now_s: float) -> str | None:
        """None."""
        del head, body, now_s
        return None


Maker = Callable[[Signature, Sequence[str]], Scheme]

SCHEMES: Final[Mapping[str, Maker]] = {
    "github": lambda _, secrets: GitHub(secrets),
    "stripe": lambda signature, secrets: Stripe(secrets, signature.tolerance_s),
    "slack": lambda signature, secrets: Slack(secrets, signature.tolerance_s),
    "shopify": lambda _, secrets: Shopify(secrets),
    "twilio": lambda signature, secrets: Twilio(secrets, signature.public_url or ""),
    "standard-webhooks": lambda signature, secrets: StandardWebhooks(
        secrets, signature.tolerance_s
    ),
    "svix": lambda signature, secrets: StandardWebhooks(secrets, signature.tolerance_s, "svix"),
    "bearer": lambda _, secrets: Bearer(secrets),
    **dict.fromkeys(generic_hmac.ALGORITHMS, GenericHmac),
}
"""Scheme name → its maker; `none` needs no secret and is made by `scheme_for` alone."""

NONE: Final = "none"

_GENERIC: Final = (
    "Header",
    "Prefix",
    "Encoding",
    "Template",
    "TimestampHeader",
    "IdHeader",
    "ToleranceSeconds",
)

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "stripe": ("ToleranceSeconds",),
    "slack": ("ToleranceSeconds",),
    "twilio": ("PublicUrl",),
    "standard-webhooks": ("ToleranceSeconds",),
    "svix": ("ToleranceSeconds",),
    **dict.fromkeys(generic_hmac.ALGORITHMS, _GENERIC),
}
"""Scheme → its options besides the secrets, as a template writes them; none for others."""


def signature_problems(signature: Signature, secrets: Sequence[str] | None) -> Iterator[Problem]:
    """Why a signature could never be checked. The texts never hold a secret.

    `secrets` are the resolved ones; None when they are not known yet.
    """
    if signature.scheme == NONE:
        return
    make = SCHEMES.get(signature.scheme)
    if make is None:
        known = ", ".join([*SCHEMES, NONE])
        yield Problem("Scheme", f"{signature.scheme!r} is not one of {known}")
        return
    found: list[Problem] = []
    if signature.scheme in generic_hmac.ALGORITHMS:
        found += generic_hmac.problems(signature)
    if signature.scheme == "twilio":
        found += twilio.problems(signature)
    given = signature.secrets if secrets is None else secrets
    if not given or not all(given):
        hint = "such as {{resolve:secretsmanager:NAME}}"
        found.append(Problem("Secret", f"is required for Scheme {signature.scheme}", hint))
    yield from found
    if secrets is not None and not found:
        try:
            make(signature, secrets)
        except ConfigError as error:
            yield Problem("Secret", str(error))


def scheme_for(signature: Signature, secrets: Sequence[str]) -> Scheme:
    """The scheme of a webhook with its resolved secrets.

    Raises `ConfigError` for an unknown scheme, no secret, an empty or malformed secret, or an
    incomplete description. The text never holds a secret.
    """
    for problem in signature_problems(signature, secrets):
        raise ConfigError(f"Signature.{problem.option}: {problem.text}")
    if signature.scheme == NONE:
        return Unsigned()
    return SCHEMES[signature.scheme](signature, secrets)
