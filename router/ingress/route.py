"""One webhook, made ready to take requests."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from router.auth.signing import Scheme
from router.auth.webhooks import scheme_for
from router.http.values import BodyPolicy
from router.ingress.keys import Key, parse_key, parse_keys
from router.ingress.rate import RateLimit
from router.ingress.senders import CLOUDEVENTS, sender_of
from router.model.errors import ConfigError, StoreError
from router.model.shard import KeyRanges
from router.model.webhook import WebhookSpec
from router.sources.webhook_event import origin_members
from router.telemetry import metrics

log = structlog.get_logger(__name__)

SECRET_S: Final = 30.0
"""How long resolved secrets are used before they are looked up again: a rotation needs no
restart."""

SECRET_RETRY_S: Final = 2.0
"""How soon a secret that could not be resolved is looked up again."""

LOG_S: Final = 10.0
"""One webhook's failures of the store are logged at most this often; each is counted."""


def make_routes(
    specs: Iterable[WebhookSpec], known: Iterable["Route"], resolve_secret: Callable[[str], str]
) -> dict[str, "Route"]:
    """Routes by path; one that is `known` and did not change is kept as it is.

    Raises `ConfigError` when a webhook is wrong, or two have the same path.
    """
    kept = {route.spec.path: route for route in known}
    routes: dict[str, Route] = {}
    for spec in specs:
        if (other := routes.get(spec.path)) is not None:
            names = f"{other.spec.name} and {spec.name}"
            raise ConfigError(f"webhooks {names} have the same path {spec.path}")
        route = kept.get(spec.path)
        is_same = route is not None and route.spec == spec
        routes[spec.path] = route if route and is_same else Route(spec, resolve_secret)
    return routes


class Route:
    """One webhook, made ready: keys parsed, secrets resolved, metrics bound."""

    def __init__(self, spec: WebhookSpec, resolve_secret: Callable[[str], str]) -> None:
        """Raises `ConfigError` for a key that cannot be understood."""
        self.spec = spec
        self.origin = origin_members(spec.arn)
        self.key: Key | None = parse_key(spec.partition_key) if spec.partition_key else None
        deduplicate = spec.deduplicate
        self.dedup_key: Key | None = parse_keys(deduplicate.key) if deduplicate else None
        self.dedup_window_ms = deduplicate.window_s * 1000 if deduplicate else 0
        self.shard_of = KeyRanges(spec.stream_shards).shard_of
        self.policy = BodyPolicy(spec.body_bytes_max, self.count)
        self.sender = sender_of(spec)
        self.answer = self.sender.answer
        self.rate = RateLimit(spec.per_minute_max) if spec.per_minute_max else None
        self.is_cloudevents = spec.form == CLOUDEVENTS
        self.hides_token = spec.signature.scheme == "bearer"
        self.is_plain = not (
            self.sender.handshake or self.rate or self.is_cloudevents or self.hides_token
        )
        """A genuine request is a record and nothing else: the hot path asks once."""
        self._received_bytes = metrics.WEBHOOK_BYTES.labels(spec.name)
        self.duration = metrics.WEBHOOK_DURATION.labels(spec.name)
        self.unkeyed = metrics.WEBHOOK_UNKEYED.labels(spec.name)
        self._results = {
            result: metrics.WEBHOOK_REQUESTS.labels(spec.name, result)
            for result in ("accepted", "duplicate")
        }
        self._accepted = 0
        self._accepted_bytes = 0
        """What was accepted in this turn of the loop and is not counted yet."""
        self._resolve_secret = resolve_secret
        self._scheme: Scheme | None = None
        self._scheme_until_s = -math.inf
        self._log_after_s = 0.0

    def count(self, result: str) -> None:
        """Count one request by its result."""
        counter = self._results.get(result)
        if counter is None:
            counter = self._results[result] = metrics.WEBHOOK_REQUESTS.labels(
                self.spec.name, result
            )
        counter.inc()

    def accepted(self, body_bytes: int) -> None:
        """Count one accepted request, with all others of this turn of the loop.

        Whoever has seen an answer finds it counted: nothing is read before this turn is over.
        """
        if not self._accepted:
            asyncio.get_running_loop().call_soon(self._count_accepted)
        self._accepted += 1
        self._accepted_bytes += body_bytes

    def _count_accepted(self) -> None:
        self._results["accepted"].inc(self._accepted)
        self._received_bytes.inc(self._accepted_bytes)
        self._accepted = self._accepted_bytes = 0

    def scheme(self, now_s: float) -> Scheme | None:
        """The signature scheme with its secrets; None while there is no usable secret."""
        if now_s >= self._scheme_until_s:
            self._renew_scheme(now_s)
        return self._scheme

    def forget_scheme(self) -> None:
        """Look the secrets up again before the next request."""
        self._scheme_until_s = -math.inf

    def _renew_scheme(self, now_s: float) -> None:
        signature = self.spec.signature
        try:
            secrets = [self._resolve_secret(text) for text in signature.secrets]
            self._scheme = scheme_for(signature, secrets)
            self._scheme_until_s = now_s + SECRET_S
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            # Never fall back to an old secret: taking one away is how it is revoked.
            self._scheme = None
            self._scheme_until_s = now_s + SECRET_RETRY_S
            # A decoding error's text would show the secret.
            text = str(error) if isinstance(error, ConfigError) else type(error).__name__
            log.error("webhook_secret_unusable", webhook=self.spec.name, error=text)

    def log_store_failure(self, error: StoreError, now_s: float) -> None:
        """Say that the store refused a record, not more often than `LOG_S`."""
        if now_s >= self._log_after_s:
            self._log_after_s = now_s + LOG_S
            log.warning("webhook_record_not_stored", webhook=self.spec.name, code=error.code)
