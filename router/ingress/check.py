"""What is wrong with a webhook, found before it is stored: the one check of whoever makes them."""

from collections.abc import Iterator
from typing import Final

import msgspec

from router.auth.webhooks import signature_problems
from router.ingress.keys import KEY_FORMS, PARTS_MAX, parse_key
from router.ingress.senders import CLOUDEVENTS
from router.model.errors import ConfigError
from router.model.webhook import WebhookSpec

FORMS: Final = ("Any", CLOUDEVENTS)
"""What `Format` may be."""


class WebhookProblem(msgspec.Struct, frozen=True):
    """One thing to correct."""

    place: tuple[str, ...]
    """The property as a template writes it, such as `("Signature", "Header")`."""
    text: str
    hint: str = ""


def webhook_problems(spec: WebhookSpec, *, has_secrets: bool) -> Iterator[WebhookProblem]:
    """Everything that could never work. Texts never hold a secret.

    `has_secrets` says that the signature's secrets are values and can be looked at, not
    references.
    """
    signature = spec.signature
    secrets = signature.secrets if has_secrets else None
    for problem in signature_problems(signature, secrets):
        yield WebhookProblem(("Signature", problem.option), problem.text, problem.hint)
    if spec.form not in FORMS:
        yield WebhookProblem(("Format",), f"{spec.form!r} is not one of {', '.join(FORMS)}")
    if spec.allowed_origins and spec.form != CLOUDEVENTS:
        yield WebhookProblem(("AllowedOrigins",), f"belongs to Format {CLOUDEVENTS}")
    if spec.partition_key:
        yield from _key_problems(("PartitionKey",), spec.partition_key)
    if spec.deduplicate is not None:
        given = spec.deduplicate.key
        texts = (given,) if isinstance(given, str) else given
        if not 1 <= len(texts) <= PARTS_MAX:
            yield WebhookProblem(("Deduplicate", "Key"), f"has 1 to {PARTS_MAX} parts")
        for text in texts:
            yield from _key_problems(("Deduplicate", "Key"), text)


def _key_problems(place: tuple[str, ...], key: str) -> Iterator[WebhookProblem]:
    try:
        parse_key(key)
    except ConfigError:
        yield WebhookProblem(place, f"{key!r} is not a key", f"write {KEY_FORMS}")
