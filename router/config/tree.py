"""Every setting: one typed tree with its meanings, units, bounds and defaults.

The texts below the fields are the reference (`docs/settings.md` is made of them). A setting's
variable is `ROUTER_`, its section as `SECTION_PREFIX` has it, and its name, in capitals.
"""

import typing
from typing import Annotated

import msgspec
from msgspec import Meta

from router.model.hosting import MOUNT_PATH
from router.model.limits import ASYNC_WAIT_MS_MAX

Port = Annotated[
    str,
    Meta(
        pattern=r"^(\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]*):\d{1,5}$",
        description="HOST:PORT, such as 127.0.0.1:9470 or [::1]:9470",
    ),
]
"""`HOST:PORT`, `[IPV6]:PORT`, `:PORT` for all addresses; port 0 is a free one."""

PORT_MAX = 65_535

MountPath = Annotated[str, Meta(pattern=f"^{MOUNT_PATH}$", description="a path below /mnt")]
"""Where functions see a file system, such as `/mnt/ledger`."""

Folder = Annotated[str, Meta(pattern="^/", description="an absolute path")]
"""An absolute path."""

ClientOf = typing.Literal["java", "nodejs", "python"]
"""A language whose client for the Runtime API can be had from a folder."""


Mechanism = typing.Literal["plain", "landlock", "seccomp", "uid", "mounts", "cgroup"]
"""A way of keeping functions apart."""


class IsolationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How functions are kept apart (`docs/contracts/reliability.md` 9)."""

    rung: typing.Literal["auto", "0", "1", "2", "3"] = "auto"
    """How far up the ladder; auto: as far as works here."""
    require: tuple[Mechanism, ...] = ()
    """Mechanisms without which the router refuses to start."""
    cgroup: bool = False
    """Limit memory and processes by control groups, and refuse to start where they do not work.
    Off: they are watched instead (ADR 4)."""
    network: typing.Literal["open", "embedded", "none"] = "open"
    """What functions may connect to: anything, the embedded services, nothing."""


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded store."""

    synchronous: typing.Literal["full", "normal"] = "full"
    """`normal` may lose the last commits on power loss."""
    bytes_max: Annotated[int, Meta(ge=1 << 20)] = 20 << 30
    """Size at which new records are refused with 503."""
    free_bytes_min: Annotated[int, Meta(ge=0)] = 64 << 20
    """Free bytes of the disk below which new records are refused with 503, so that what was
    accepted can still be finished."""
    outbox_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 4 << 30
    """Bytes of on-failure records that may wait for one destination. Beyond it the lanes that
    would give up more for it wait: nothing is dropped."""
    async_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 4 << 30
    """Bytes of events that may wait for the asynchronous invocation of one function. Beyond it
    `Event` invocations of it are refused with 429."""
    waiting_operations_max: Annotated[int, Meta(ge=1)] = 20_000
    """Writes that may wait for a commit."""
    waiting_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 64 << 20
    """Bytes that may wait for a commit."""


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kafka clusters that mappings read."""

    clusters: dict[str, str] = {}
    """Name or ARN of a cluster of Amazon MSK → its bootstrap servers here, such as
    `core = "broker-1:9092;broker-2:9092"`."""
    sasl_without_tls: tuple[str, ...] = ()
    """`HOST:PORT` of bootstrap servers that get user and password without TLS; all others are
    signed in to over TLS, as on AWS."""
    look_s: Annotated[float, Meta(ge=1)] = 30.0
    """How often the partitions of a topic are looked up: new ones are read that soon."""


class AsyncSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asynchronous invocation (`docs/contracts/functions-and-invocation.md` 7.1)."""

    first_wait_ms: Annotated[int, Meta(ge=0, le=ASYNC_WAIT_MS_MAX)] = 60_000
    """Wait before the second attempt of an event with which the function failed."""
    second_wait_ms: Annotated[int, Meta(ge=0, le=ASYNC_WAIT_MS_MAX)] = 120_000
    """Wait before the third."""
    backoff_ms_max: Annotated[int, Meta(ge=1_000, le=ASYNC_WAIT_MS_MAX // 2)] = 300_000
    """Ceiling of the wait after an event could not be run."""


class IngressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the ingress listener; deadlines are absolute."""

    processes: Annotated[int, Meta(ge=-1, le=1)] = -1
    """Processes of its own that the listener runs in; 0: in the router's. -1: one where there are
    two processors or more."""
    connections_max: Annotated[int, Meta(ge=1)] = 4_096
    """Open connections; fewer where the limit of open files is lower."""
    connections_per_address_max: Annotated[int, Meta(ge=1)] = 1_024
    """Open connections of one address."""
    header_bytes_max: Annotated[int, Meta(ge=1024)] = 16 * 1024
    """Bytes of a request's head; a longer one is answered 431."""
    header_deadline_s: Annotated[float, Meta(gt=0)] = 10.0
    """From the first byte of a request to its complete head."""
    body_deadline_s: Annotated[float, Meta(gt=0)] = 60.0
    """From the complete head to the complete body."""
    idle_deadline_s: Annotated[float, Meta(gt=0)] = 75.0
    """How long a connection may wait between requests."""
    buffered_bytes_max: Annotated[int, Meta(ge=0)] = 0
    """Bytes held by all requests together; beyond it 503. 0: a sixteenth of the memory, from 16
    to 128 MiB."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    data: str = ".router"
    """Data folder."""
    region: str = ""
    """Region in ARNs. Fixed in the data folder at first start. Empty: `AWS_REGION`, else
    us-east-1."""
    account: Annotated[str, Meta(pattern=r"^\d{12}$", description="12 digits")] = "000000000000"
    """Account id in ARNs. Fixed in the data folder at first start."""
    api: Port = "127.0.0.1:9470"
    """AWS-compatible API."""
    ingress: Port = "127.0.0.1:8080"
    """Webhooks and functions' URLs."""
    url_base: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/?#\s]+)?$",
            description="http:// or https:// and a host, without a path",
        ),
    ] = ""
    """Where the ingress listener is reached from outside, such as `https://fn.example.com`, when
    names below that lead there too: `https://<id>.lambda-url.<region>.fn.example.com/` is a
    function's URL then. Empty: `http://localhost` and its port."""
    ops: Port = "127.0.0.1:9464"
    """Metrics, health, and the page to look at."""
    secrets_dir: str = ""
    """Folder with one file per secret, such as a mounted Secret of Kubernetes. What is not in it is
    looked for in `ROUTER_SECRET_<NAME>`."""
    drain_s: Annotated[float, Meta(ge=0, le=900)] = 25.0
    """How long running invocations may finish after SIGTERM."""
    concurrency_max: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Most invocations at a time; 0: min(1000, max(16, 0.6 × memory / 64 MiB))."""
    unreserved_concurrency_min: Annotated[int, Meta(ge=-1)] = -1
    """What reservations and provisioned concurrency must leave to all other functions; -1:
    min(100, a tenth of the limit)."""
    buffer_bytes_max: Annotated[int, Meta(ge=0)] = 0
    """Bytes that all mappings together hold of records read and not finished, as read and in
    their events; each moves on whatever the others hold. 0: an eighth of the memory, from 32 MiB
    to 4 GiB."""
    environment_idle_s: Annotated[float, Meta(gt=0)] = 600.0
    """An idle environment ends after this time."""
    backoff_ms_max: Annotated[int, Meta(ge=500)] = 60_000
    """Ceiling of the wait between attempts of a batch."""
    log_level: typing.Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    log_format: typing.Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, else JSON."""
    access_keys: dict[str, str] = {}
    """Access key id → secret key that may call the API; only in `router.toml`."""
    sqs: typing.Literal["embedded", "aws"] = "embedded"
    """Whether a queue's ARN means a queue of this router or one of AWS."""
    insecure: bool = False
    """Serve the API without keys on an address others can reach."""
    runtimes: dict[str, str] = {}
    """Runtime name → what runs it: an interpreter, such as
    `"python3.12" = "/usr/bin/python3.12"` or `"nodejs22.x" = "/usr/bin/node"`; for Ruby and .NET a
    program that gets the handler and speaks the Runtime API."""
    runtime_clients: dict[ClientOf, Folder] = {}
    """java, nodejs, python → folder with AWS's client for the Runtime API. Java needs it: the jars
    of aws-lambda-java-runtime-interface-client. Node.js and Python do without; the folder of
    Node.js (`node_modules`) is also where functions find packages they do not bring."""
    file_systems: dict[MountPath, Folder] = {}
    """LocalMountPath of a function's FileSystemConfigs → folder of this host, such as
    `"/mnt/ledger" = "/srv/ledger"`."""
    images: dict[str, Folder] = {}
    """URI of a container image → folder of this host where it is unpacked: its root file system,
    or a folder that holds that as `rootfs` and its configuration as `config.json`."""
    isolation: IsolationSettings = IsolationSettings()
    store: StoreSettings = StoreSettings()
    kafka: KafkaSettings = KafkaSettings()
    asynchronous: AsyncSettings = AsyncSettings()
    listen: IngressSettings = IngressSettings()
    """The ingress listener's limits; `[listen]` in the file, `INGRESS` in variables."""


SECTION_PREFIX: typing.Final = {
    "isolation": "ISOLATION",
    "store": "STORE",
    "kafka": "KAFKA",
    "asynchronous": "ASYNC",
    "listen": "INGRESS",
}
"""How a section's fields begin in the environment, after `ROUTER_`."""

FILE_ONLY: typing.Final = frozenset({"access_keys"})
"""Only in `router.toml`: secrets of several people in one variable end up in too many places."""

OPTIONS: typing.Final = frozenset({"data", "api", "ingress", "ops", "insecure", "log_level"})
"""Settings that are options of `router run` and `router serve`, too."""
