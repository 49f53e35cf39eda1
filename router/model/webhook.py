"""A webhook stream: where it listens, how it is signed, how its records are spread."""

import msgspec

from router.model.shard import StreamShard, first_shards


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """How a sender proves itself. `secrets` are references or values; any one may match.

    For schemes `hmac-…`: `header`, `prefix`, `encoding`, `template` with `{body}`,
    `{timestamp}` and `{id}`, `timestamp_header`, `id_header`.
    """

    scheme: str
    """A name of `auth.webhooks.SCHEMES`, or none."""
    secrets: tuple[str, ...] = ()
    tolerance_s: int = 300
    header: str | None = None
    prefix: str = ""
    encoding: str = "hex"
    template: str = "{body}"
    timestamp_header: str | None = None
    id_header: str | None = None
    public_url: str | None = None
    """The webhook's URL as the sender has it, without query; for schemes that sign it."""


class Deduplicate(msgspec.Struct, frozen=True, kw_only=True):
    """`key` as `ingress.keys` reads it, several together; `window_s` how long it is remembered."""

    key: str | tuple[str, ...]
    window_s: int = 604_800


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook (`design.md` 5 and 7a)."""

    name: str
    arn: str
    path: str
    signature: Signature
    form: str = "Any"
    """Any | CloudEvents: what a request must be."""
    allowed_origins: tuple[str, ...] = ()
    """Who may be told that CloudEvents are welcome; empty: everyone."""
    per_minute_max: int | None = None
    """Requests per minute beyond which 429 is answered; None: no limit."""
    partition_key: str | None = None
    """As `ingress.keys` reads it; None: spread evenly."""
    on_unkeyable: str = "Refuse"
    """Refuse | Spread: a body that cannot be read where the key is in it."""
    shards: int = 1
    """How many are open."""
    lineage: tuple[StreamShard, ...] = ()
    """All its shards, once their number was changed; empty: those it began with."""
    deduplicate: Deduplicate | None = None
    retention_s: int = 86_400
    body_bytes_max: int = 5 * 1024 * 1024
    """5 MiB, so that one record with its headers always fits the 6 MiB event."""

    @property
    def stream_shards(self) -> tuple[StreamShard, ...]:
        """All its shards, parents before their children."""
        return self.lineage or first_shards(self.shards)
