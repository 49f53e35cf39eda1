"""Settings: one typed tree, its defaults, units and environment names in one place.

Read from `router.toml` (when named or in the working folder), then the environment, then the
command line; later wins. An unknown name is refused.
"""

import os
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from router.model.errors import ConfigError
from router.model.hosting import MOUNT_PATH
from router.model.limits import ASYNC_WAIT_MS_MAX

Port = Annotated[str, Meta(pattern=r"^(\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]*):\d{1,5}$")]
"""`HOST:PORT`, `[IPV6]:PORT`, `:PORT` for all addresses; port 0 is a free one."""

PORT_MAX = 65_535

MountPath = Annotated[str, Meta(pattern=f"^{MOUNT_PATH}$")]
"""Where functions see a file system, such as `/mnt/ledger`."""

Folder = Annotated[str, Meta(pattern="^/")]
"""An absolute path."""

ClientOf = typing.Literal["java", "nodejs", "python"]
"""A language whose client for the Runtime API can be had from a folder."""


class IsolationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How functions are kept apart (`docs/contracts/reliability.md` 9)."""

    rung: str = "auto"
    """auto (the highest that works) or 0, 1, 2, 3. `ROUTER_ISOLATION_RUNG`."""
    require: tuple[str, ...] = ()
    """Mechanisms without which the router refuses to start: plain, landlock, seccomp, uid,
    mounts, cgroup. `ROUTER_ISOLATION_REQUIRE`, comma-separated."""
    cgroup: bool = False
    """Limit memory and processes by control groups, and refuse to start where they do not work.
    Off: they are watched instead (ADR 4). `ROUTER_ISOLATION_CGROUP`."""
    network: typing.Literal["open", "embedded", "none"] = "open"
    """What functions may connect to: anything, the embedded services, nothing.
    `ROUTER_ISOLATION_NETWORK`."""


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded store."""

    synchronous: typing.Literal["full", "normal"] = "full"
    """`normal` may lose the last commits on power loss. `ROUTER_STORE_SYNCHRONOUS`."""
    bytes_max: Annotated[int, Meta(ge=1 << 20)] = 20 << 30
    """Size at which new records are refused with 503. `ROUTER_STORE_BYTES_MAX`."""
    free_bytes_min: Annotated[int, Meta(ge=0)] = 64 << 20
    """Free bytes of the disk below which new records are refused with 503, so that what was
    accepted can still be finished. `ROUTER_STORE_FREE_BYTES_MIN`."""
    outbox_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 4 << 30
    """Bytes of on-failure records that may wait for one destination. Beyond it the lanes that
    would give up more for it wait: nothing is dropped. `ROUTER_STORE_OUTBOX_BYTES_MAX`."""
    async_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 4 << 30
    """Bytes of events that may wait for the asynchronous invocation of one function. Beyond it
    `Event` invocations of it are refused with 429. `ROUTER_STORE_ASYNC_BYTES_MAX`."""
    waiting_operations_max: Annotated[int, Meta(ge=1)] = 20_000
    """Writes that may wait for a commit. `ROUTER_STORE_WAITING_OPERATIONS_MAX`."""
    waiting_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 64 << 20
    """Bytes that may wait for a commit. `ROUTER_STORE_WAITING_BYTES_MAX`."""


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kafka clusters that mappings read."""

    clusters: dict[str, str] = {}
    """Name or ARN of a cluster of Amazon MSK → its bootstrap servers here, such as
    `core = "broker-1:9092;broker-2:9092"`. `ROUTER_KAFKA_CLUSTERS`, as
    `NAME=HOST:PORT;HOST:PORT,NAME=…`."""
    sasl_without_tls: tuple[str, ...] = ()
    """`HOST:PORT` of bootstrap servers that get user and password without TLS; all others are
    signed in to over TLS, as on AWS. `ROUTER_KAFKA_SASL_WITHOUT_TLS`, comma-separated."""
    look_s: Annotated[float, Meta(ge=1)] = 30.0
    """How often the partitions of a topic are looked up: new ones are read that soon.
    `ROUTER_KAFKA_LOOK_S`."""


class AsyncSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asynchronous invocation (`docs/contracts/functions-and-invocation.md` 7.1)."""

    first_wait_ms: Annotated[int, Meta(ge=0, le=ASYNC_WAIT_MS_MAX)] = 60_000
    """Wait before the second attempt of an event with which the function failed.
    `ROUTER_ASYNC_FIRST_WAIT_MS`."""
    second_wait_ms: Annotated[int, Meta(ge=0, le=ASYNC_WAIT_MS_MAX)] = 120_000
    """Wait before the third. `ROUTER_ASYNC_SECOND_WAIT_MS`."""
    backoff_ms_max: Annotated[int, Meta(ge=1_000, le=ASYNC_WAIT_MS_MAX // 2)] = 300_000
    """Ceiling of the wait after an event could not be run. `ROUTER_ASYNC_BACKOFF_MS_MAX`."""


class IngressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the ingress listener; deadlines are absolute."""

    processes: Annotated[int, Meta(ge=-1, le=1)] = -1
    """Processes of its own that the listener runs in; 0: in the router's. -1: one where there are
    two processors or more. `ROUTER_INGRESS_PROCESSES`."""
    connections_max: Annotated[int, Meta(ge=1)] = 4_096
    """`ROUTER_INGRESS_CONNECTIONS_MAX`."""
    connections_per_address_max: Annotated[int, Meta(ge=1)] = 1_024
    """`ROUTER_INGRESS_CONNECTIONS_PER_ADDRESS_MAX`."""
    header_bytes_max: Annotated[int, Meta(ge=1024)] = 16 * 1024
    """`ROUTER_INGRESS_HEADER_BYTES_MAX`."""
    header_deadline_s: Annotated[float, Meta(gt=0)] = 10.0
    """From the first byte of a request to its complete head."""
    body_deadline_s: Annotated[float, Meta(gt=0)] = 60.0
    """From the complete head to the complete body."""
    idle_deadline_s: Annotated[float, Meta(gt=0)] = 75.0
    """How long a connection may wait between requests."""
    buffered_bytes_max: Annotated[int, Meta(ge=0)] = 0
    """Bytes held by all requests together; beyond it 503. 0: a sixteenth of the memory, from 16
    to 128 MiB. `ROUTER_INGRESS_BUFFERED_BYTES_MAX`."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    data: str = ".router"
    """Data folder. `ROUTER_DATA`, `--data`."""
    region: str = ""
    """Fixed in the data folder at first start. `ROUTER_REGION`, else `AWS_REGION`, else
    us-east-1."""
    account: Annotated[str, Meta(pattern=r"^\d{12}$")] = "000000000000"
    """`ROUTER_ACCOUNT`."""
    api: Port = "127.0.0.1:9470"
    """AWS-compatible API. `ROUTER_API`, `--api`."""
    ingress: Port = "127.0.0.1:8080"
    """Webhooks and functions' URLs. `ROUTER_INGRESS`, `--ingress`."""
    url_base: Annotated[str, Meta(pattern=r"^(https?://[^/?#\s]+)?$")] = ""
    """Where the ingress listener is reached from outside, such as `https://fn.example.com`, when
    names below that lead there too: `https://<id>.lambda-url.<region>.fn.example.com/` is a
    function's URL then. Empty: `http://localhost` and its port. `ROUTER_URL_BASE`."""
    ops: Port = "127.0.0.1:9464"
    """Metrics and health. `ROUTER_OPS`, `--ops`."""
    secrets_dir: str = ""
    """Folder with one file per secret. `ROUTER_SECRETS_DIR`."""
    drain_s: Annotated[float, Meta(ge=0, le=900)] = 25.0
    """How long running invocations may finish after SIGTERM. `ROUTER_DRAIN_S`."""
    concurrency_max: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Most invocations at a time; 0: min(1000, max(16, 0.6 × memory / 64 MiB)).
    `ROUTER_CONCURRENCY_MAX`."""
    unreserved_concurrency_min: Annotated[int, Meta(ge=-1)] = -1
    """What reservations and provisioned concurrency must leave to all other functions; -1:
    min(100, a tenth of the limit). `ROUTER_UNRESERVED_CONCURRENCY_MIN`."""
    buffer_bytes_max: Annotated[int, Meta(ge=0)] = 0
    """Bytes that all mappings together hold of records read and not finished, as read and in
    their events; each moves on whatever the others hold. 0: an eighth of the memory, from 32 MiB
    to 4 GiB. `ROUTER_BUFFER_BYTES_MAX`."""
    environment_idle_s: Annotated[float, Meta(gt=0)] = 600.0
    """An idle environment ends after this time. `ROUTER_ENVIRONMENT_IDLE_S`."""
    backoff_ms_max: Annotated[int, Meta(ge=500)] = 60_000
    """Ceiling of the wait between attempts of a batch. `ROUTER_BACKOFF_MS_MAX`."""
    log_level: typing.Literal["debug", "info", "warning", "error"] = "info"
    """`ROUTER_LOG_LEVEL`."""
    log_format: typing.Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, else JSON. `ROUTER_LOG_FORMAT`."""
    access_keys: dict[str, str] = {}
    """Access key id → secret key that may call the API; only in `router.toml`."""
    sqs: typing.Literal["embedded", "aws"] = "embedded"
    """Whether a queue's ARN means a queue of this router or one of AWS. `ROUTER_SQS`."""
    insecure: bool = False
    """Serve the API without keys on an address others can reach. `ROUTER_INSECURE`."""
    runtimes: dict[str, str] = {}
    """Runtime name → what runs it: an interpreter, such as
    `"python3.12" = "/usr/bin/python3.12"` or `"nodejs22.x" = "/usr/bin/node"`; for Ruby and .NET a
    program that gets the handler and speaks the Runtime API. `ROUTER_RUNTIMES`, as
    `NAME=PATH,NAME=PATH`."""
    runtime_clients: dict[ClientOf, Folder] = {}
    """java, nodejs, python → folder with AWS's client for the Runtime API. Java needs it: the jars
    of aws-lambda-java-runtime-interface-client. Node.js and Python do without; the folder of
    Node.js (`node_modules`) is also where functions find packages they do not bring.
    `ROUTER_RUNTIME_CLIENTS`, as `NAME=FOLDER,NAME=FOLDER`."""
    file_systems: dict[MountPath, Folder] = {}
    """LocalMountPath of a function's FileSystemConfigs → folder of this host, such as
    `"/mnt/ledger" = "/srv/ledger"`. `ROUTER_FILE_SYSTEMS`, as `PATH=FOLDER,PATH=FOLDER`."""
    images: dict[str, Folder] = {}
    """URI of a container image → folder of this host where it is unpacked: its root file system,
    or a folder that holds that as `rootfs` and its configuration as `config.json`.
    `ROUTER_IMAGES`, as `URI=FOLDER,URI=FOLDER`."""
    isolation: IsolationSettings = IsolationSettings()
    store: StoreSettings = StoreSettings()
    kafka: KafkaSettings = KafkaSettings()
    asynchronous: AsyncSettings = AsyncSettings()
    listen: IngressSettings = IngressSettings()
    """The ingress listener's limits; `[listen]` in the file, `ROUTER_INGRESS_…`."""


SECTION_PREFIX = {
    "isolation": "ISOLATION",
    "store": "STORE",
    "kafka": "KAFKA",
    "asynchronous": "ASYNC",
    "listen": "INGRESS",
}
"""How a section's fields begin in the environment, after `ROUTER_`."""

FILE_ONLY = frozenset({"access_keys"})
"""Only in `router.toml`: secrets of several people in one variable end up in too many places."""

OTHER_VARIABLES = frozenset({"ROUTER_CHAOS", "ROUTER_ENDPOINT"})
"""Variables with our prefix that are not settings: fault injection, the CLI's endpoint."""

OTHER_PREFIXES = ("ROUTER_SECRET_",)


def load(
    environ: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from file, environment and options. Raises `ConfigError` naming the culprit."""
    tree: dict[str, Any] = _read_file(file) if file is not None else {}
    _overlay_environment(tree, environ)
    tree.update({name: value for name, value in (options or {}).items() if value is not None})
    tree.setdefault("region", environ.get("AWS_REGION") or "us-east-1")
    try:
        settings = msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), file)) from None
    for name in ("api", "ingress", "ops"):
        where = getattr(settings, name)
        if int(where.rpartition(":")[2]) > PORT_MAX:
            raise ConfigError(f"settings: {name} is {where}, but ports end at {PORT_MAX}")
    return settings


def _explain(text: str, file: Path | None) -> str:
    if match := re.search(r"matching regex .* at `\$\.(api|ingress|ops)`", text):
        text = f"{match[1]} must be HOST:PORT, such as 127.0.0.1:9470 or [::1]:9470"
    where = f" (settings from {file}, the environment and the command line)" if file else ""
    return f"settings: {text}{where}"


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings: cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"settings: {file} is not TOML: {error}") from None


def _overlay_environment(tree: dict[str, Any], environ: Mapping[str, str]) -> None:
    known = _environment_names()
    for name, text in environ.items():
        if not name.startswith("ROUTER_") or text == "":
            continue
        if name in OTHER_VARIABLES or name.startswith(OTHER_PREFIXES):
            continue
        if name not in known:
            raise ConfigError(
                f"settings: unknown environment variable {name}; `router settings` lists them"
            )
        section, field, kind = known[name]
        target = tree.setdefault(section, {}) if section else tree
        target[field] = _from_text(name, text, kind)


def _environment_names() -> dict[str, tuple[str, str, Any]]:
    names: dict[str, tuple[str, str, Any]] = {}
    hints = typing.get_type_hints(Settings)
    for field, kind in hints.items():
        if field in SECTION_PREFIX:
            for inner, inner_kind in typing.get_type_hints(kind).items():
                names[f"ROUTER_{SECTION_PREFIX[field]}_{inner.upper()}"] = (
                    field,
                    inner,
                    inner_kind,
                )
        elif field not in FILE_ONLY:
            names[f"ROUTER_{field.upper()}"] = ("", field, kind)
    return names


def _from_text(name: str, text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if typing.get_origin(kind) is dict:
        return _pairs(name, text)
    if kind is bool:
        if text.lower() not in {"1", "true", "yes", "0", "false", "no"}:
            raise ConfigError(f"settings: {name} must be true or false, not {text!r}")
        return text.lower() in {"1", "true", "yes"}
    if kind in {int, float}:
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"settings: {name} must be a number, not {text!r}") from None
    return text


def _pairs(name: str, text: str) -> dict[str, str]:
    pairs = {}
    for part in text.split(","):
        key, is_pair, value = part.strip().partition("=")
        if not is_pair or not key or not value:
            raise ConfigError(f"settings: {name} must be NAME=VALUE,NAME=VALUE, not {text!r}")
        pairs[key] = value
    return pairs


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (environment name, place in `router.toml`, default), for people."""
    defaults = Settings()
    rows = []
    for name, (section, field, _kind) in sorted(_environment_names().items()):
        holder = getattr(defaults, section) if section else defaults
        place = f"{section}.{field}" if section else field
        rows.append((name, place, str(getattr(holder, field))))
    return rows


REFERENCE = re.compile(
    r"^\{\{resolve:(secretsmanager|ssm-secure|ssm):([A-Za-z0-9/_+=.@-]{1,200})\}\}$"
)
"""A dynamic reference to a secret; versions and JSON keys are not supported."""


def resolve_secret(text: str, secrets_dir: str, environ: Mapping[str, str] | None = None) -> str:
    """The value behind `{{resolve:secretsmanager:NAME}}`; any other text is itself.

    A file `NAME` in the secrets folder (one final newline is not part of it), else the variable
    `ROUTER_SECRET_<NAME>` (`design.md` 5). Raises `ConfigError` naming both places.
    """
    match = REFERENCE.match(text)
    if match is None:
        return text
    name = match.group(2)
    variable = "ROUTER_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    if secrets_dir and ".." not in Path(name).parts:
        path = Path(secrets_dir) / name.lstrip("/")
        try:
            if path.is_file():
                return path.read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise ConfigError(f"secret {name!r} cannot be read: {path}: {error.strerror}") from None
        except UnicodeDecodeError:  # its text would show the secret
            raise ConfigError(f"secret {name!r} is no UTF-8 text: {path}") from None
    source = os.environ if environ is None else environ
    for candidate in (variable, f"ROUTER_SECRET_{name}"):
        if candidate in source:
            return source[candidate]
    where = f"file {name!r} in {secrets_dir!r}" if secrets_dir else "ROUTER_SECRETS_DIR is not set"
    raise ConfigError(f"secret {name!r} is nowhere: {where}, and {variable} is not set either")
