"""Webhooks: from a request to a durable record, and only then to 202 (`bus-…md` 4.3).

Size, signature, key, shard, record, commit, in this order. Nothing is stored of a request that
is refused, and nothing is answered 2xx that is not stored.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec

from router.auth.bearer import TOKEN_HEADER, TOKEN_PARAMETER
from router.auth.signing import QUERY_FIELDS_MAX
from router.http.values import (
    BodyPolicy,
    Head,
    Pending,
    Request,
    Response,
    json_response,
)
from router.ingress import cloudevents, refusals
from router.ingress.event_id import EventIds
from router.ingress.keys import BodyUnreadable, Key
from router.ingress.route import Route, make_routes
from router.ingress.senders import Answer, accepted
from router.model.errors import ShardClosed, StoreError, StoreFull
from router.model.limits import EVENT_BYTES_MAX
from router.model.webhook import WebhookSpec
from router.sources.webhook_event import (
    EVENT_FRAME_BYTES,
    body_text,
    build_fragment,
    join_pairs,
    record_size_bytes,
)
from router.store.base import Appended, NewRecord
from router.telemetry import metrics

WAITING_MAX: Final = 4_096
"""Requests that may wait for their commit at a time."""

APPENDS_MAX: Final = 3
"""How often a request's records are appended: the stream may be cut anew on their way."""

_Stored = asyncio.Future[Appended] | asyncio.Future[Sequence[Appended]]


class Appender(Protocol):
    """What takes records, as `StreamStore` does: the store, or the way to it."""

    def append_nowait(self, record: NewRecord) -> asyncio.Future[Appended]:
        """As `StreamStore.append_nowait`."""

    def append_all_nowait(self, records: Sequence[NewRecord]) -> asyncio.Future[Sequence[Appended]]:
        """As `StreamStore.append_all_nowait`."""


class WebhookIngress:
    """The handler behind the ingress listener."""

    def __init__(
        self,
        streams: Appender,
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
        routes = make_routes(specs, self._routes.values(), self._resolve_secret)
        self._routes = routes
        self._by_arn = {route.spec.arn: route for route in routes.values()}

    def forget_secrets(self) -> None:
        """Look all secrets up again, each before the next request that needs it."""
        for route in self._routes.values():
            route.forget_scheme()

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
            return refusals.NOT_FOUND
        if head.method != "POST":
            return _not_post(route, head)
        if self._is_draining:
            route.count("draining")
            return refusals.DRAINING
        if self._waiting >= self._waiting_max:
            route.count("overloaded")
            return refusals.OVERLOADED
        return route.policy

    def on_request(self, request: Request) -> "Response | Pending":
        """As `Handler.on_request`."""
        route = self._routes.get(request.head.path)
        if route is None:  # removed while the body was read
            return refusals.NOT_FOUND
        started_s = self._monotonic_s()
        made = self._records(route, request, started_s)
        if isinstance(made, Response):
            return made
        if self._waiting >= self._waiting_max:
            return _refuse(route, "overloaded", refusals.OVERLOADED)
        try:
            future = self._append(made)
        except StoreError as error:
            return _not_stored(route, error, started_s)
        answer = route.answer(request.head) if route.answer else None
        return _Commit(self, future, route, made, len(request.body), started_s, answer)

    def _append(self, made: NewRecord | Sequence[NewRecord]) -> "_Stored":
        """Send records off to the store. Raises `StoreError`."""
        future: _Stored
        if isinstance(made, NewRecord):
            future = self._streams.append_nowait(made)
        else:
            future = self._streams.append_all_nowait(made)
        self._waiting += 1
        return future

    def on_commit(self, commit: "_Commit") -> "Response | _Commit":
        """The answer to a request whose record is stored, or not; or its batch of records."""
        self._waiting -= 1
        route = commit.route
        try:
            stored = commit.future.result()
        except ShardClosed:
            return self._append_again(commit)
        except StoreError as error:
            return _not_stored(route, error, commit.started_s)
        if route.spec.arn not in self._by_arn:
            # The stream was dropped meanwhile: maybe with what was just stored.
            return _refuse(route, "changed", refusals.CHANGED)
        if isinstance(stored, Appended):
            is_duplicate = stored.is_duplicate
            response = (commit.answer or accepted)(stored.event_id)
        else:
            is_duplicate = all(one.is_duplicate for one in stored)
            response = json_response(202, {"ids": [one.event_id for one in stored]})
        if is_duplicate:
            route.count("duplicate")
        else:
            route.accepted(commit.body_bytes)
        route.duration.observe(self._monotonic_s() - commit.started_s)
        return response

    def _append_again(self, commit: "_Commit") -> "Response | _Commit":
        """The stream was cut anew on the way: on to the shards that have the records' keys now.

        Nothing of them is kept yet, and whoever sends after the answer meets the new shards too.
        """
        route = self._by_arn.get(commit.route.spec.arn)
        if route is None or commit.appends == APPENDS_MAX:
            return _refuse(commit.route, "changed", refusals.CHANGED)
        if isinstance(commit.made, NewRecord):
            commit.made = _moved(commit.made, route)
        else:
            commit.made = [_moved(record, route) for record in commit.made]
        try:
            commit.future = self._append(commit.made)
        except StoreError as error:
            return _not_stored(route, error, commit.started_s)
        commit.appends += 1
        return commit

    def _records(
        self, route: Route, request: Request, now_s: float
    ) -> NewRecord | Sequence[NewRecord] | Response:
        """The record of a genuine request, or those of its batch, or what it is answered."""
        head, body = request.head, request.body
        scheme = route.scheme(now_s)
        if scheme is None:
            return _refuse(route, "secret_unusable", refusals.MISCONFIGURED)
        wall_s = self._wall_s()
        if reason := scheme.refusal(head, body, wall_s):
            return _refuse(route, reason, refusals.UNAUTHORIZED[reason])
        try:
            query = _query(head.query) if head.query else {}
        except ValueError:
            return _refuse_for_good(route, "bad_query", refusals.BAD_QUERY)
        text = body_text(body)
        if route.is_plain:
            return self._record(route, head, query, wall_s, head.headers, body, text)
        return self._unusual(route, head, query, wall_s, now_s, body, text)

    def _unusual(
        self,
        route: Route,
        head: Head,
        query: Mapping[str, str],
        wall_s: float,
        now_s: float,
        body: bytes,
        text: str | None,
    ) -> NewRecord | Sequence[NewRecord] | Response:
        """As `_records`, where more than the signature is looked at."""
        handshake = route.sender.handshake
        if handshake and (answer := handshake(body)):
            return _refuse(route, "handshake", answer)
        if route.rate and (wait_s := route.rate.wait_s(now_s)):
            return _refuse(route, "rate", refusals.too_often(wait_s))
        headers: Mapping[str, str] = head.headers
        if route.hides_token:
            # A token is no signature: whoever reads it may use it.
            headers = {name: value for name, value in headers.items() if name != TOKEN_HEADER}
            query = {name: value for name, value in query.items() if name != TOKEN_PARAMETER}
        if not route.is_cloudevents:
            return self._record(route, head, query, wall_s, headers, body, text)
        try:
            events, is_batch = cloudevents.events_of(headers, body, text)
        except cloudevents.NotAnEvent as error:
            members = {"message": str(error), "reason": error.reason}
            return _refuse_for_good(route, error.reason, json_response(error.status, members))
        records: list[NewRecord] = []
        for event in events:
            made = self._record(route, head, query, wall_s, event.headers, event.body, event.text)
            if isinstance(made, Response):
                return made
            records.append(made)
        if not records:
            return _refuse(route, "empty_batch", json_response(202, {"ids": []}))
        return records if is_batch else records[0]

    def _record(
        self,
        route: Route,
        head: Head,
        query: Mapping[str, str],
        wall_s: float,
        headers: Mapping[str, str],
        body: bytes,
        text: str | None,
    ) -> NewRecord | Response:
        """A record, or why there can be none."""
        try:
            key = route.key.read(headers, text) if route.key else None
        except BodyUnreadable:
            if route.spec.on_unkeyable != "Spread":
                return _refuse_for_good(route, "unkeyable", refusals.UNREADABLE)
            key = None
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
            return _refuse_for_good(route, "event_too_large", refusals.TOO_LARGE)
        if route.key and not key:
            route.unkeyed.inc()
        return NewRecord(
            stream=route.spec.arn,
            shard=route.shard_of(place),
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

    wait_s = 0.0
    ends_with_client = False
    __slots__ = (
        "_ingress",
        "answer",
        "appends",
        "body_bytes",
        "future",
        "made",
        "route",
        "started_s",
    )

    def __init__(
        self,
        ingress: WebhookIngress,
        future: "_Stored",
        route: Route,
        made: NewRecord | Sequence[NewRecord],
        body_bytes: int,
        started_s: float,
        answer: Answer | None,
    ) -> None:
        self._ingress = ingress
        self.future = future
        self.route = route
        self.made = made
        self.appends = 1
        self.body_bytes = body_bytes
        self.started_s = started_s
        self.answer = answer

    def cancel(self) -> None:
        """See `Pending.cancel`."""
        self.future.cancel()

    def watch(self, done: Callable[[Any], None]) -> None:
        """See `Pending.watch`."""
        self.future.add_done_callback(done)

    def response(self) -> "Response | _Commit":
        """As `Pending.response`."""
        return self._ingress.on_commit(self)


def _moved(record: NewRecord, route: Route) -> NewRecord:
    """The record, for the shard that has its key now."""
    return msgspec.structs.replace(record, shard=route.shard_of(record.key))


def _not_stored(route: Route, error: StoreError, now_s: float) -> Response:
    if isinstance(error, StoreFull):
        return _refuse(route, "store_full", refusals.STORE_FULL)
    route.log_store_failure(error, now_s)
    return _refuse(route, "store_failed", refusals.STORE_FAILED)


def _refuse(route: Route, reason: str, response: Response) -> Response:
    route.count(reason)
    return response


def _refuse_for_good(route: Route, reason: str, response: Response) -> Response:
    """Refuse what would be refused again."""
    route.count(reason)
    more = route.sender.refusal_headers
    return msgspec.structs.replace(response, headers=response.headers + more) if more else response


def _not_post(route: Route, head: Head) -> Response:
    if not route.is_cloudevents:
        route.count("method_not_allowed")
        return refusals.NOT_ALLOWED
    if head.method != "OPTIONS":
        route.count("method_not_allowed")
        return refusals.NOT_ALLOWED_EITHER
    route.count("handshake")
    origin = head.headers.get("webhook-request-origin", "").strip()
    spec = route.spec
    consent = cloudevents.consent(origin, spec.allowed_origins, spec.per_minute_max)
    return Response(200, b"", (refusals.ALLOW_BOTH, *consent))


def _query(query: str) -> Mapping[str, str]:
    """Decoded query parameters, repeated ones joined. Raises `ValueError` for too many."""
    return join_pairs(parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX))


def _dedup_key(key: Key, headers: Mapping[str, str], text: str | None) -> str | None:
    """What a repetition is told by; a request without it is no repetition of anything."""
    try:
        return key.read(headers, text)
    except BodyUnreadable:
        return None
