"""Webhooks: from a request to a durable record, and only then to 202 (`bus-…md` 4.3).

Size, signature, key, shard, record, commit, in this order. Nothing is stored of a request that
is refused, and nothing is answered 2xx that is not stored.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl

import structlog

from router.auth.signing import MESSAGES, QUERY_FIELDS_MAX, Scheme
from router.auth.webhooks import scheme_for
from router.ingress.event_id import EventIds
from router.ingress.http_values import (
    JSON_HEADERS,
    RETRY_HEADERS,
    BodyPolicy,
    Head,
    Request,
    Response,
    json_response,
    message_response,
)
from router.ingress.keys import BodyUnreadable, Key, parse_key
from router.model.errors import ConfigError, StoreError, StoreFull
from router.model.limits import EVENT_BYTES_MAX
from router.model.shard import shard_id, shard_index
from router.model.webhook import WebhookSpec
from router.sources.webhook_event import (
    EVENT_FRAME_BYTES,
    body_text,
    build_fragment,
    join_pairs,
    origin_members,
    record_size_bytes,
)
from router.store.base import Appended, NewRecord, StreamStore
from router.telemetry import metrics

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 4_096
"""Requests that may wait for their commit at a time."""

SECRET_S: Final = 30.0
"""How long resolved secrets are used before they are looked up again: a rotation needs no
restart."""

SECRET_RETRY_S: Final = 2.0
"""How soon a secret that could not be resolved is looked up again."""

LOG_S: Final = 10.0
"""One webhook's failures of the store are logged at most this often; each is counted."""

NOT_FOUND: Final = message_response(404, "Not Found")
NOT_ALLOWED: Final = message_response(405, "Method Not Allowed", (*JSON_HEADERS, ("allow", "POST")))
DRAINING: Final = message_response(503, "The router is stopping, try again.", RETRY_HEADERS)
OVERLOADED: Final = message_response(503, "Too much is waiting, try again later.", RETRY_HEADERS)
STORE_FULL: Final = message_response(503, "The store is full, try again later.", RETRY_HEADERS)
CHANGED: Final = message_response(503, "The webhook has changed, try again.", RETRY_HEADERS)
STORE_FAILED: Final = message_response(503, "The store failed, try again later.", RETRY_HEADERS)
UNREADABLE: Final = message_response(400, "The body is not JSON, so it has no partition key.")
BAD_QUERY: Final = message_response(400, "The query has too many parameters.")
TOO_LARGE: Final = message_response(
    413, "The body is too large for an event once it is written as JSON."
)
MISCONFIGURED: Final = message_response(500, "The webhook's secret is not available.")
UNAUTHORIZED: Final[Mapping[str, Response]] = {
    reason: json_response(401, {"message": text, "reason": reason})
    for reason, text in MESSAGES.items()
}


class Route:
    """One webhook, made ready: keys parsed, secrets resolved, metrics bound."""

    def __init__(self, spec: WebhookSpec, resolve_secret: Callable[[str], str]) -> None:
        """Raises `ConfigError` for a key that cannot be understood."""
        self.spec = spec
        self.origin = origin_members(spec.arn)
        self.key: Key | None = parse_key(spec.partition_key) if spec.partition_key else None
        deduplicate = spec.deduplicate
        self.dedup_key: Key | None = parse_key(deduplicate.key) if deduplicate else None
        self.dedup_window_ms = deduplicate.window_s * 1000 if deduplicate else 0
        self.shards = tuple(shard_id(index) for index in range(spec.shards))
        self.policy = BodyPolicy(spec.body_bytes_max, self.count)
        self._received_bytes = metrics.INGEST_BYTES.labels(spec.name)
        self.duration = metrics.INGEST_DURATION.labels(spec.name)
        self.unkeyed = metrics.INGEST_UNKEYED.labels(spec.name)
        self._results = {
            result: metrics.INGEST.labels(spec.name, result) for result in ("accepted", "duplicate")
        }
        self._accepted = 0
        self._accepted_bytes = 0
        """What was accepted in this turn of the loop and is not counted yet."""
        self._resolve_secret = resolve_secret
        self._scheme: Scheme | None = None
        self._scheme_until_s = 0.0
        self._log_after_s = 0.0

    def count(self, result: str) -> None:
        """Count one request by its result."""
        counter = self._results.get(result)
        if counter is None:
            counter = self._results[result] = metrics.INGEST.labels(self.spec.name, result)
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


def check_webhook(spec: WebhookSpec) -> None:
    """Raise `ConfigError` for keys or a signature that could never work; secrets are not looked up.

    For whoever makes webhooks, so that a mistake is found before it is stored.
    """
    for text in (spec.partition_key, spec.deduplicate and spec.deduplicate.key):
        if text:
            parse_key(text)
    # `d2hzZWM=` is a well-formed secret for every scheme.
    scheme_for(spec.signature, ["d2hzZWM="] if spec.signature.secrets else [])


class WebhookIngress:
    """The handler behind the ingress listener."""

    def __init__(
        self,
        streams: StreamStore,
        specs: Iterable[WebhookSpec],
        resolve_secret: Callable[[str], str],
        *,
        waiting_max: int = WAITING_MAX,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resolve_secret` gives a secret's value or raises `ConfigError`."""
        self._streams = streams
        self._resolve_secret = resolve_secret
        self._waiting_max = waiting_max
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._ids = EventIds()
        self._routes: dict[str, Route] = {}
        self._waiting = 0
        self._is_draining = False
        self.set_webhooks(specs)

    def set_webhooks(self, specs: Iterable[WebhookSpec]) -> None:
        """Swap all routes at once. Raises `ConfigError` and changes nothing when one is wrong.

        Requests under way end on the webhook they began with, if it still exists.
        """
        routes: dict[str, Route] = {}
        for spec in specs:
            if (other := routes.get(spec.path)) is not None:
                names = f"{other.spec.name} and {spec.name}"
                raise ConfigError(f"webhooks {names} have the same path {spec.path}")
            known = self._routes.get(spec.path)
            is_same = known is not None and known.spec == spec
            routes[spec.path] = known if known and is_same else Route(spec, self._resolve_secret)
        self._routes = routes
        self._layouts = {route.spec.arn: route.spec.shards for route in routes.values()}

    def drain(self) -> None:
        """Refuse new requests from now on; those under way are finished."""
        self._is_draining = True

    @property
    def waiting(self) -> int:
        """Requests that wait for their commit."""
        return self._waiting

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """As `Handler.on_head`: what needs no body is answered before it is read."""
        route = self._routes.get(head.path)
        if route is None:
            metrics.INGRESS_REFUSED.labels("unknown_path").inc()
            return NOT_FOUND
        if head.method != "POST":
            route.count("method_not_allowed")
            return NOT_ALLOWED
        if self._is_draining:
            route.count("draining")
            return DRAINING
        if self._waiting >= self._waiting_max:
            route.count("overloaded")
            return OVERLOADED
        return route.policy

    def on_request(self, request: Request) -> "Response | _Commit":
        """As `Handler.on_request`."""
        route = self._routes.get(request.head.path)
        if route is None:  # removed while the body was read
            return NOT_FOUND
        started_s = self._monotonic_s()
        record = self._record(route, request, started_s)
        if isinstance(record, Response):
            return record
        if self._waiting >= self._waiting_max:
            return _refuse(route, "overloaded", OVERLOADED)
        try:
            future = self._streams.append_nowait(record)
        except StoreError as error:
            return _not_stored(route, error, started_s)
        self._waiting += 1
        return _Commit(self, future, route, len(request.body), started_s)

    def on_commit(self, commit: "_Commit") -> Response:
        """The answer to a request whose record is stored, or not."""
        self._waiting -= 1
        route = commit.route
        try:
            appended = commit.future.result()
        except StoreError as error:
            return _not_stored(route, error, commit.started_s)
        if self._layouts.get(route.spec.arn) != route.spec.shards:
            # The stream was dropped or cut anew meanwhile: maybe nobody reads where this went.
            return _refuse(route, "changed", CHANGED)
        if appended.is_duplicate:
            route.count("duplicate")
        else:
            route.accepted(commit.body_bytes)
        route.duration.observe(self._monotonic_s() - commit.started_s)
        return Response(202, b'{"id":"%b"}' % appended.event_id.encode(), JSON_HEADERS)

    def _record(self, route: Route, request: Request, now_s: float) -> NewRecord | Response:
        """The record of a genuine request, or why it is refused."""
        head, body = request.head, request.body
        headers = head.headers
        scheme = route.scheme(now_s)
        if scheme is None:
            return _refuse(route, "secret_unusable", MISCONFIGURED)
        wall_s = self._wall_s()
        if reason := scheme.refusal(head, body, wall_s):
            return _refuse(route, reason, UNAUTHORIZED[reason])
        text = body_text(body)
        try:
            key = route.key.read(headers, text) if route.key else None
        except BodyUnreadable:
            if route.spec.on_unkeyable != "Spread":
                return _refuse(route, "unkeyable", UNREADABLE)
            key = None
        try:
            query = _query(head.query) if head.query else {}
        except ValueError:
            return _refuse(route, "bad_query", BAD_QUERY)
        arrival_ms = int(wall_s * 1000)
        event_id = self._ids.next(arrival_ms)
        place = key or event_id
        fragment = build_fragment(
            route.origin,
            key=place,
            arrival_ms=arrival_ms,
            body=body,
            text=text,
            headers=headers,
            query=query,
            method=head.method,
            path=head.path,
            source_ip=head.peer,
        )
        size_bytes = record_size_bytes(fragment)
        if size_bytes + EVENT_FRAME_BYTES > EVENT_BYTES_MAX:
            return _refuse(route, "event_too_large", TOO_LARGE)
        if route.key and not key:
            route.unkeyed.inc()
        return NewRecord(
            stream=route.spec.arn,
            shard=route.shards[shard_index(place, len(route.shards))],
            event_id=event_id,
            key=place,
            arrival_ms=arrival_ms,
            data=fragment,
            size_bytes=size_bytes,
            dedup_key=_dedup_key(route.dedup_key, headers, text) if route.dedup_key else None,
            dedup_until_ms=arrival_ms + route.dedup_window_ms,
        )


class _Commit:
    """A request whose record is on its way to the disk: the server's `Pending`."""

    __slots__ = ("_ingress", "body_bytes", "future", "route", "started_s")

    def __init__(
        self,
        ingress: WebhookIngress,
        future: asyncio.Future[Appended],
        route: Route,
        body_bytes: int,
        started_s: float,
    ) -> None:
        self._ingress = ingress
        self.future = future
        self.route = route
        self.body_bytes = body_bytes
        self.started_s = started_s

    def response(self) -> Response:
        """As `Pending.response`."""
        return self._ingress.on_commit(self)


def _not_stored(route: Route, error: StoreError, now_s: float) -> Response:
    if isinstance(error, StoreFull):
        return _refuse(route, "store_full", STORE_FULL)
    route.log_store_failure(error, now_s)
    return _refuse(route, "store_failed", STORE_FAILED)


def _refuse(route: Route, reason: str, response: Response) -> Response:
    route.count(reason)
    return response


def _query(query: str) -> Mapping[str, str]:
    """Decoded query parameters, repeated ones joined. Raises `ValueError` for too many."""
    return join_pairs(parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX))


def _dedup_key(key: Key, headers: Mapping[str, str], text: str | None) -> str | None:
    """What a repetition is told by; a request without it is no repetition of anything."""
    try:
        return key.read(headers, text)
    except BodyUnreadable:
        return None
