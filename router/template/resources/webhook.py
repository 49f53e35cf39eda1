"""`Router::Webhook`: a stream fed by signed HTTP posts (`design.md` 5)."""

import re
from collections.abc import Callable
from typing import Any

from router.auth.webhooks import scheme_for
from router.ingress.keys import parse_key
from router.model.arn import webhook_arn
from router.model.errors import ConfigError
from router.model.resources import Webhook
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.template.dynamic import check_references, holds_reference
from router.template.properties import Properties
from router.template.resources.base import At, Draft

SCHEMES = ("github", "standard-webhooks", "hmac-sha256", "none")
SCHEMES_LATER = ("stripe", "slack", "shopify", "twilio")
"""Known, and refused by name until they are verified here."""

SECRETS_MAX = 2
"""Live secrets of one webhook: the new one and the one being replaced."""

SHARDS_MAX = 256
"""Most shards of one webhook: each has an engine's memory of its own."""

RETENTION_S_MIN = 60
RETENTION_S_MAX = 31_536_000
"""Longest RetentionSeconds: 365 days (the Kinesis quota)."""

WINDOW_S_MAX = 2_592_000
"""Longest Deduplicate.WindowSeconds: 30 days."""

TOLERANCE_S_MAX = 86_400

BODY_BYTES_MAX = 5 * 1024 * 1024
"""Largest BodyBytesMax: one record with its headers must fit the 6 MiB event."""

HEADER_PATTERN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
"""A header's name: an HTTP token."""

_PATH_PATTERN = r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,1023}"
_KEY_FORM = "write $.a.b for a member of the JSON body, or header.NAME"
_FIELDS = re.compile(r"\{([^{}]*)\}")
_GENERIC = ("Header", "Prefix", "Encoding", "Template", "TimestampHeader", "IdHeader")

_PROPERTIES = (
    "Path",
    "Signature",
    "PartitionKey",
    "OnUnkeyable",
    "Shards",
    "Deduplicate",
    "RetentionSeconds",
    "BodyBytesMax",
)


class RouterWebhook:
    """A webhook."""

    name = "Router::Webhook"
    effect = ""

    def ref(self, at: At) -> str:
        """The webhook's name."""
        return f"{at.surroundings.stack}-{at.logical_id}"  # unique: logical ids have no dash

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Arn, Url."""
        around = at.surroundings
        return {
            "Arn": lambda: webhook_arn(around.region, around.account, self.ref(at)),
            "Url": lambda: around.ingress_url.rstrip("/") + at.given_text("Path"),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the webhook."""
        properties.check_known(_PROPERTIES, self.name)
        properties.require("Path", "Signature")
        around = at.surroundings
        name = self.ref(at)
        path = properties.text("Path", pattern=_PATH_PATTERN)
        for other in draft.webhooks.values():
            if path and other.spec.path == path:
                properties.problem("Path", f"two webhooks listen on {path}")
        partition_key = properties.text("PartitionKey")
        if partition_key:
            _check_key(properties, "PartitionKey", partition_key)
        spec = WebhookSpec(
            name=name,
            arn=webhook_arn(around.region, around.account, name),
            path=path,
            signature=_signature(at, properties, draft),
            partition_key=partition_key or None,
            on_unkeyable=properties.text("OnUnkeyable", "Refuse", choices=("Refuse", "Spread")),
            shards=properties.integer("Shards", 1, SHARDS_MAX, 1),
            deduplicate=_deduplicate(properties),
            retention_s=properties.integer(
                "RetentionSeconds", RETENTION_S_MIN, RETENTION_S_MAX, 86_400
            ),
            body_bytes_max=properties.integer("BodyBytesMax", 1, BODY_BYTES_MAX, BODY_BYTES_MAX),
        )
        draft.webhooks[name] = Webhook(spec=spec, owner=at.owner)


def _signature(at: At, properties: Properties, draft: Draft) -> Signature:
    given = properties.section("Signature")
    if given is None:
        return Signature(scheme="none")
    given.check_known(
        ("Scheme", "Secret", "Secrets", "ToleranceSeconds", *_GENERIC), "Signature of a webhook"
    )
    given.require("Scheme")
    asked = given.raw("Scheme")
    if asked in SCHEMES_LATER:
        given.problem("Scheme", f"{asked} is not supported yet", f"now: {', '.join(SCHEMES)}")
        return Signature(scheme="none")
    scheme = given.text("Scheme", "none", choices=SCHEMES)
    if scheme == "none":
        for name in ("Secret", "Secrets"):
            if name in given and asked == "none":
                given.problem(name, "a webhook with Scheme none checks no secret")
        return Signature(scheme=scheme)
    tolerance_s = given.integer("ToleranceSeconds", 0, TOLERANCE_S_MAX, 300)
    secrets = _secrets(at, given, draft)
    if scheme != "hmac-sha256":
        for name in _GENERIC:
            if name in given:
                given.problem(name, f"belongs to Scheme hmac-sha256, not to {scheme}")
        signature = Signature(scheme=scheme, secrets=secrets, tolerance_s=tolerance_s)
        _check_secrets(given, signature)
        return signature
    given.require("Header")
    signature = Signature(
        scheme=scheme,
        secrets=secrets,
        tolerance_s=tolerance_s,
        header=given.text("Header", pattern=HEADER_PATTERN) or None,
        prefix=given.text("Prefix", length_max=128),
        encoding=given.text("Encoding", "hex", choices=("hex", "base64")),
        template=given.text("Template", "{body}", length_max=1024),
        timestamp_header=given.text("TimestampHeader", pattern=HEADER_PATTERN) or None,
        id_header=given.text("IdHeader", pattern=HEADER_PATTERN) or None,
    )
    _check_template(given, signature)
    return signature


def _secrets(at: At, given: Properties, draft: Draft) -> tuple[str, ...]:
    """`Secret` is one text or a list; `Secrets` the same as a list."""
    if "Secret" in given and "Secrets" in given:
        given.problem("Secrets", "give Secret or Secrets, not both")
    name = "Secrets" if "Secrets" in given else "Secret"
    secrets: tuple[str, ...]
    if isinstance(given.raw(name), list):
        secrets = given.texts(name)
    else:
        secrets = tuple(secret for secret in (given.text(name),) if secret)
    if not secrets or not all(secrets):
        given.problem(name, "is required", "such as {{resolve:secretsmanager:NAME}}")
    if len(secrets) > SECRETS_MAX:
        given.problem(name, f"at most {SECRETS_MAX} secrets can be live at a time")
    for secret in secrets:
        check_references(secret, (*given.path, name), draft.problems)
        if not holds_reference(secret):
            draft.warnings.append(
                f"{at.logical_id}: Signature.{name} is written in the template in clear and is "
                "stored so; use {{resolve:secretsmanager:NAME}}"
            )
    return secrets


def _check_secrets(given: Properties, signature: Signature) -> None:
    """Secrets in clear must be of the scheme's form; references are looked up when needed."""
    secrets = signature.secrets
    if not secrets or not all(secrets) or any(holds_reference(secret) for secret in secrets):
        return
    try:
        scheme_for(signature, signature.secrets)
    except ConfigError as error:
        given.problem("Secret", str(error))


def _check_template(given: Properties, signature: Signature) -> None:
    fields = set(_FIELDS.findall(signature.template))
    for field in sorted(fields - {"body", "timestamp", "id"}):
        given.problem("Template", f"unknown field {{{field}}}", "known: {body} {timestamp} {id}")
    if "body" not in fields:
        given.problem("Template", "does not sign the {body}")
    for field, header, name in (
        ("timestamp", signature.timestamp_header, "TimestampHeader"),
        ("id", signature.id_header, "IdHeader"),
    ):
        if field in fields and not header:
            given.problem(name, f"is required: Template signs the {{{field}}}")
        elif header and field not in fields:
            given.problem(name, f"is not used: Template has no {{{field}}}")


def _deduplicate(properties: Properties) -> Deduplicate | None:
    given = properties.section("Deduplicate")
    if given is None:
        return None
    given.check_known(("Key", "WindowSeconds"), "Deduplicate")
    given.require("Key")
    key = given.text("Key")
    if key:
        _check_key(given, "Key", key)
    return Deduplicate(key=key, window_s=given.integer("WindowSeconds", 1, WINDOW_S_MAX, 604_800))


def _check_key(properties: Properties, name: str, key: str) -> None:
    try:
        parse_key(key)
    except ConfigError:
        properties.problem(name, f"{key!r} is not a key", _KEY_FORM)
