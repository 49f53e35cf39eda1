"""What the ops page knows of a router at one moment, as `app` gathers it: values and no opinion.

Counters are totals since the router started; `history.py` makes rates of them. Times are epoch
milliseconds. Nothing in here may be a secret or part of a record: environment variables are
there by name, signatures by scheme.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from router.telemetry.recent import Attempt


class LaneFacts(msgspec.Struct, frozen=True, gc=False):
    """A lane that has something unfinished."""

    place: str
    state: str
    records: int
    attempts: int
    """Failed ones of the batch in front."""
    rest_ms: int
    """Until that is tried again."""
    oldest_ms: int | None
    """When its oldest record came."""


class MappingFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One mapping."""

    id: str
    """UUID."""
    name: str
    function: str
    """With the qualifier, as given."""
    source: str
    """Its source, for people."""
    kind: str
    """The kind of its source, for people."""
    state: str
    is_enabled: bool
    result: str
    """LastProcessingResult."""
    trouble: str = ""
    """What keeps it from its source."""
    is_orphan: bool = False
    """Its function does not exist."""
    lag: int | None = None
    """Records that are not finished, as measured last; None: nobody knows."""
    in_flight: int = 0
    held: int = 0
    """Records read and not finished."""
    oldest_ms: int | None = None
    """When the oldest unfinished record came, as far as that is known."""
    stuck: LaneFacts | None = None
    """Of the lanes whose batch in front failed the one that did most often."""
    stuck_lanes: int = 0
    last_error: str = ""
    last_error_ms: int = 0
    invoked: float = 0.0
    failed: float = 0.0
    discarded: float = 0.0
    dropped: float = 0.0
    not_run: float = 0.0
    """Batches that found no free concurrency, or could not be started."""


class FunctionFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One function, all versions together."""

    name: str
    runtime: str
    versions: int = 0
    """Published ones."""
    aliases: tuple[str, ...] = ()
    reserved: int | None = None
    busy: int = 0
    idle: int = 0
    provisioned: int = 0
    """Environments that are to be started ahead."""
    waiting: int = 0
    """Events in its queue for asynchronous invocation."""
    problem: str = ""
    """Why its last invocation failed, or why it did not start."""
    ok: float = 0.0
    errors: float = 0.0
    timeouts: float = 0.0
    crashes: float = 0.0
    throttles: float = 0.0
    dropped: float = 0.0
    """Asynchronous events that never succeeded."""
    cold_starts: float = 0.0
    durations: tuple[int, ...] = ()
    """Invocations per bucket of `bounds_s`, and those above."""

    @property
    def failed(self) -> float:
        """Invocations that did not go well."""
        return self.errors + self.timeouts + self.crashes


class WebhookFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One webhook."""

    name: str
    path: str
    scheme: str
    shards: int
    problem: str = ""
    """Why it refuses everything."""
    accepted: float = 0.0
    duplicates: float = 0.0
    refused: dict[str, float] = {}
    """By reason."""
    expired: float = 0.0
    """Records that aged out before every mapping had finished them."""
    durations: tuple[int, ...] = ()

    @property
    def refusals(self) -> float:
        """For whatever reason."""
        return sum(self.refused.values())


class DestinationFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where records go that were given up, and what became of invocations."""

    address: str
    kind: str
    users: tuple[str, ...] = ()
    """Mappings and functions that name it."""
    waiting: int = 0
    """On-failure records that are not delivered yet."""
    oldest_ms: int | None = None
    trouble: str = ""
    """What the last attempt said, while it says no good."""
    since_ms: int = 0
    kept: int | None = None
    """Messages in it, where it is a queue kept here."""
    kept_oldest_ms: int | None = None
    is_read: bool = False
    """Some mapping takes what is in it, or it gets what went well: nobody has to look."""


class Notice(msgspec.Struct, frozen=True):
    """Something about the router itself that people should know."""

    what: str
    text: str
    is_bad: bool = True


class RouterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The router itself."""

    version: str
    started_ms: int
    region: str
    account: str
    is_ready: bool
    notices: tuple[Notice, ...] = ()
    running: int = 0
    """Invocations at present …"""
    limit: int = 0
    """… of so many at a time."""
    held_bytes: int = 0
    """Of records read and not finished …"""
    held_bytes_max: int = 0
    """… of so many."""
    store_bytes: int = 0
    free_bytes: int = 0
    rung: str = ""
    """Of isolation."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    wall_ms: int
    now_ms: int
    """Monotonic."""
    router: RouterFacts
    mappings: Sequence[MappingFacts] = ()
    functions: Sequence[FunctionFacts] = ()
    webhooks: Sequence[WebhookFacts] = ()
    destinations: Sequence[DestinationFacts] = ()
    bounds_s: tuple[float, ...] = ()
    """Upper bounds of the buckets of all `durations`."""


class MappingDetail(msgspec.Struct, frozen=True, kw_only=True):
    """More of one mapping, for its own page."""

    settings: Sequence[tuple[str, Any]]
    """Name → value as the API has it."""
    lanes: Sequence[LaneFacts] = ()
    """The oldest record first."""
    lanes_count: int = 0
    shards: Sequence[tuple[str, str, int, int | None]] = ()
    """Name, state, position, lag."""
    recent: Sequence[Attempt] = ()
    """Batches, the last first."""


class FunctionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """More of one function."""

    settings: Sequence[tuple[str, Any]]
    versions: Sequence[tuple[str, str, str]] = ()
    """Version or alias, what it is, its description."""
    mappings: Sequence[tuple[str, str]] = ()
    """Id and name of those that invoke it."""
    recent: Sequence[Attempt] = ()
    """Invocations, the last first."""
