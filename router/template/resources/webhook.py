"""`Router::Webhook`: a stream fed by signed HTTP posts (`design.md` 5)."""

import re
from collections.abc import Callable
from typing import Any

from router.auth.webhooks import NONE, OPTIONS, SCHEMES
from router.ingress.check import FORMS, webhook_problems
from router.ingress.senders import CLOUDEVENTS, default_dedup_key
from router.model.arn import webhook_arn
from router.model.resources import Webhook
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.template.dynamic import check_references, holds_reference
from router.template.properties import Properties
from router.template.resources.base import At, Draft

SCHEME_NAMES = (*SCHEMES, NONE)

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

PER_MINUTE_MAX = 1_000_000
"""Largest RatePerMinute."""

ORIGINS_MAX = 50
"""Most AllowedOrigins."""

BODY_BYTES_MAX = 5 * 1024 * 1024
"""Largest BodyBytesMax: one record with its headers must fit the 6 MiB event."""

HEADER_PATTERN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
"""A header's name: an HTTP token."""

_PATH_PATTERN = r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,1023}"
_ORIGIN = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?")
_OPTIONS = tuple(dict.fromkeys(option for options in OPTIONS.values() for option in options))

_PROPERTIES = (
    "Path",
    "Signature",
    "Format",
    "AllowedOrigins",
    "RatePerMinute",
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
        signature = _signature(at, properties, draft)
        form = properties.text("Format", "Any", choices=FORMS)
        spec = WebhookSpec(
            name=name,
            arn=webhook_arn(around.region, around.account, name),
            path=path,
            signature=signature,
            form=form,
            allowed_origins=_origins(properties),
            per_minute_max=properties.integer("RatePerMinute", 1, PER_MINUTE_MAX, 0) or None,
            partition_key=properties.text("PartitionKey") or None,
            on_unkeyable=properties.text("OnUnkeyable", "Refuse", choices=("Refuse", "Spread")),
            shards=properties.integer("Shards", 1, SHARDS_MAX, 1),
            deduplicate=_deduplicate(properties, signature.scheme, form),
            retention_s=properties.integer(
                "RetentionSeconds", RETENTION_S_MIN, RETENTION_S_MAX, 86_400
            ),
            body_bytes_max=properties.integer("BodyBytesMax", 1, BODY_BYTES_MAX, BODY_BYTES_MAX),
        )
        _check(properties, spec, draft)
        draft.webhooks[name] = Webhook(spec=spec, owner=at.owner)


def _check(properties: Properties, spec: WebhookSpec, draft: Draft) -> None:
    """What could never work; once for each place, as a wrong value is read as none at all."""
    has_secrets = not any(holds_reference(secret) for secret in spec.signature.secrets)
    signature = properties.section("Signature")
    for problem in webhook_problems(spec, has_secrets=has_secrets):
        place = problem.place
        if place == ("Signature", "Secret") and signature and "Secrets" in signature:
            place = ("Signature", "Secrets")
        path = (*properties.path, *place)
        if not draft.problems.has(path):
            draft.problems.add(path, problem.text, problem.hint)


def _signature(at: At, properties: Properties, draft: Draft) -> Signature:
    given = properties.section("Signature")
    if given is None:
        return Signature(scheme=NONE)
    given.check_known(("Scheme", "Secret", "Secrets", *_OPTIONS), "Signature of a webhook")
    given.require("Scheme")
    if str(given.raw("Scheme")).lower() == CLOUDEVENTS.lower():
        given.problem("Scheme", "is no way to sign", f"Format: {CLOUDEVENTS}, Scheme: bearer")
        return Signature(scheme=NONE)
    scheme = given.text("Scheme", NONE, choices=SCHEME_NAMES)
    for option in _OPTIONS:
        if option in given and option not in OPTIONS.get(scheme, ()):
            owners = ", ".join(name for name in OPTIONS if option in OPTIONS[name])
            given.problem(option, f"belongs to Scheme {owners}, not to {scheme}")
    if scheme == NONE:
        for name in ("Secret", "Secrets"):
            if name in given and given.raw("Scheme") == NONE:
                given.problem(name, "a webhook with Scheme none checks no secret")
        return Signature(scheme=scheme)
    return Signature(
        scheme=scheme,
        secrets=_secrets(at, given, draft),
        tolerance_s=given.integer("ToleranceSeconds", 0, TOLERANCE_S_MAX, 300),
        header=given.text("Header", pattern=HEADER_PATTERN) or None,
        prefix=given.text("Prefix", length_max=128),
        encoding=given.text("Encoding", "hex", choices=("hex", "base64")),
        template=given.text("Template", "{body}", length_max=1024),
        timestamp_header=given.text("TimestampHeader", pattern=HEADER_PATTERN) or None,
        id_header=given.text("IdHeader", pattern=HEADER_PATTERN) or None,
        public_url=given.text("PublicUrl", length_max=1024) or None,
    )


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


def _origins(properties: Properties) -> tuple[str, ...]:
    origins = properties.texts("AllowedOrigins")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            hint = "such as eventgrid.azure.net; leave it out to allow everyone"
            properties.problem("AllowedOrigins", f"{origin!r} is not a host name", hint)
    if len(origins) > ORIGINS_MAX:
        properties.problem("AllowedOrigins", f"at most {ORIGINS_MAX} origins")
    return origins


def _deduplicate(properties: Properties, scheme: str, form: str) -> Deduplicate | None:
    given = properties.section("Deduplicate")
    if given is None:
        return None
    given.check_known(("Key", "WindowSeconds"), "Deduplicate")
    key: str | tuple[str, ...] | None
    if "Key" not in given:
        key = default_dedup_key(scheme, form)
        if key is None:
            given.problem("Key", f"is required: nothing is known to mark repetitions of {scheme}")
    elif isinstance(given.raw("Key"), list):
        key = given.texts("Key")
    else:
        key = given.text("Key") or None
        if key is None:
            given.problem("Key", "is empty")
    window_s = given.integer("WindowSeconds", 1, WINDOW_S_MAX, 604_800)
    return None if key is None else Deduplicate(key=key, window_s=window_s)
