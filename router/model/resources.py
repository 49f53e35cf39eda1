"""What exists, as it is stored: functions, mappings, queues, stacks.

Each is one JSON document in the store's metadata. Times are epoch milliseconds.
"""

import msgspec

from router.model.image import Image
from router.model.source_kind import SourceKind, kind_of_arn, source_name
from router.model.webhook import WebhookSpec


class Owner(msgspec.Struct, frozen=True):
    """The stack and logical id a resource was applied from; none for one made through the API."""

    stack: str
    logical_id: str


class LayerUse(msgspec.Struct, frozen=True):
    """A version of a layer as a function uses it, also once the version is deleted."""

    arn: str
    code_hash: str
    code_size: int
    """Bytes of the zip."""
    unzipped_bytes: int

    @property
    def layer_arn(self) -> str:
        """The ARN of the layer itself."""
        return self.arn.rpartition(":")[0]


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One function (`functions-and-invocation.md` 4.1) as it is now: `$LATEST`.

    `code_path` is the folder the code runs from: the user's own one when `is_in_place`, else a
    snapshot under the data folder named by `code_hash`. `code_sha256` is base64 of the zip's
    SHA-256: of the uploaded one, or of a deterministic zip made when first asked for.
    """

    name: str
    runtime: str
    """Empty for an image."""
    handler: str
    """Empty for an image."""
    role: str
    description: str = ""
    timeout_s: int = 3
    memory_mb: int = 128
    ephemeral_mb: int = 512
    environment: dict[str, str] = {}
    file_systems: tuple[str, ...] = ()
    """LocalMountPath of each of `FileSystemConfigs`, which `extra` keeps whole."""
    architecture: str = "x86_64"
    code_path: str
    code_hash: str
    code_size: int = 0
    code_sha256: str | None = None
    unzipped_bytes: int = 0
    """Of the code's files, without layers."""
    layers: tuple[LayerUse, ...] = ()
    layers_path: str = ""
    """The folder they make together, below the data folder; empty without layers."""
    is_in_place: bool = False
    image: Image | None = None
    """What it is instead of code; `code_path` is its root file system then, never a copy."""
    last_modified_ms: int
    revision_id: str
    reserved_concurrency: int | None = None
    """ReservedConcurrentExecutions: the function's own, whatever its version."""
    last_version: int = 0
    """The number published last, also when that version is gone: none is given twice."""
    recursive_loop: str = "Terminate"
    """Or `Allow`: whether a function that calls itself over and over is stopped."""
    runtime_management: dict[str, dict[str, str]] = {}
    """Version → UpdateRuntimeOn and RuntimeVersionArn, kept without effect."""
    tags: dict[str, str] = {}
    extra: dict[str, object] = {}
    """Members stored and returned without effect (`docs/compatibility.md`), and
    `DeadLetterConfig`."""
    owner: Owner | None = None

    @property
    def dead_letter_arn(self) -> str:
        """Where events go that it never succeeded with; empty: nowhere."""
        config = self.extra.get("DeadLetterConfig")
        arn = config.get("TargetArn") if isinstance(config, dict) else None
        return arn if isinstance(arn, str) else ""


class SourceAccess(msgspec.Struct, frozen=True):
    """One of `SourceAccessConfigurations`: how to reach a source, and where the secret is."""

    type: str
    uri: str = ""
    """Empty for the types that take none."""


class Pollers(msgspec.Struct, frozen=True):
    """`ProvisionedPollerConfig`, with its defaults filled in: provisioned mode."""

    minimum: int
    maximum: int
    group: str = ""


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """One event source mapping, in the API's own words and units.

    Settings its kind of source does not take have their defaults.
    """

    uuid: str
    name: str
    """Template logical id, or the first 8 characters of the UUID."""
    function: str
    """Bare function name."""
    qualifier: str | None = None
    event_source_arn: str = ""
    """Empty for self-managed Kafka, which `bootstrap_servers` name."""
    bootstrap_servers: tuple[str, ...] = ()
    is_enabled: bool = True
    batch_size: int = 100
    window_s: int | None = 0
    """None: the 500 ms that Kafka, MQ and DocumentDB have until another window is set."""
    factor: int = 1
    retries_max: int = -1
    record_age_s_max: int = -1
    is_bisecting: bool = False
    response_types: tuple[str, ...] = ()
    destination_arn: str | None = None
    tumbling_window_s: int = 0
    filters: tuple[str, ...] = ()
    """FilterCriteria: the patterns, as text."""
    starting_position: str = "TRIM_HORIZON"
    starting_timestamp_ms: int | None = None
    concurrency_max: int | None = None
    """ScalingConfig.MaximumConcurrency."""
    pollers: Pollers | None = None
    topics: tuple[str, ...] = ()
    source_access: tuple[SourceAccess, ...] = ()
    consumer_group: str = ""
    """Of Kafka; the UUID when none was given."""
    consumption_mode: str = ""
    """As given: `Stream`, or empty."""
    created_ms: int = 0
    last_modified_ms: int
    tags: dict[str, str] = {}
    extra: dict[str, object] = {}
    """Members stored and returned without effect: MetricsConfig, LoggingConfig, KMSKeyArn."""
    owner: Owner | None = None

    @property
    def kind(self) -> SourceKind:
        """The kind of its source."""
        if not self.event_source_arn:
            return SourceKind.KAFKA
        # What was stored was checked; a stream is what every mapping was before there were kinds.
        return kind_of_arn(self.event_source_arn) or SourceKind.WEBHOOK

    @property
    def source_name(self) -> str:
        """Its source, for people."""
        return source_name(self.event_source_arn, self.bootstrap_servers, self.topics)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One embedded standard queue; `attributes` as set, all text (`bus-…md` 6.2)."""

    name: str
    arn: str
    attributes: dict[str, str] = {}
    tags: dict[str, str] = {}
    created_s: int
    modified_s: int
    owner: Owner | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook stream; the spec is `model.webhook.WebhookSpec`."""

    spec: WebhookSpec
    owner: Owner | None = None


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """What a template made: logical id → (kind, name), so that apply can tell what to remove."""

    name: str
    members: dict[str, tuple[str, str]] = {}
    outputs: dict[str, str] = {}
    applied_ms: int = 0
    template_path: str = ""
