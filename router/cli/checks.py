"""What `router doctor` looks at."""

import os
import platform
import resource
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from router import config
from router.cli.client import Client, NoRouter, read_address
from router.model.errors import ConfigError, RouterError
from router.model.limits import MIB

SYNC_TRIES = 5
CLOCK_YEAR_MIN = 2024
FILES_MIN = 1_024
DISK_FREE_MIN = 1 << 30


class Check(msgspec.Struct, frozen=True):
    """One finding."""

    name: str
    is_ok: bool
    text: str


def run_checks(folder: Path, data: str, endpoint: str | None, *, is_probing: bool) -> list[Check]:
    """Everything; a check that cannot be made says why."""
    settings, found = _settings(data)
    about = _describe(data, endpoint)
    found.append(_platform())
    found.append(_router(about, data))
    if settings is not None:
        found += _isolation(settings, None if is_probing else about)
        found.append(_runtimes(settings, about))
    found += [_disk(folder), _sync(folder), _clock(), _files()]
    if about is not None:
        found += _reload(about["reload"])
        found += _concurrency(about)
        found.append(_buffer(about["buffer"]))
        found.append(_ingress(about["ingress"]))
        found += _kafka(about)
        found += _problems(about)
    return found


def _settings(data: str) -> tuple[config.Settings | None, list[Check]]:
    try:
        settings = config.load(os.environ, {"data": data})
    except ConfigError as error:
        return None, [Check("settings", False, str(error))]
    return settings, [Check("settings", True, "read from the environment, nothing unknown")]


def _platform() -> Check:
    is_ok = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}
    text = (
        f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    return Check("platform", is_ok, text)


def _describe(data: str, endpoint: str | None) -> dict[str, Any] | None:
    if endpoint is None and read_address(data) is None:
        return None
    try:
        answer: dict[str, Any] = Client(data, endpoint).json("router", "Describe")
    except (NoRouter, RouterError):
        return None
    return answer


def _router(about: dict[str, Any] | None, data: str) -> Check:
    if about is None:
        return Check("router", True, f"none runs on {data}")
    reasons = about["not_ready"]
    where = ", ".join(f"{name} {url}" for name, url in about["addresses"].items())
    if reasons:
        return Check("router", False, f"not ready: {'; '.join(reasons.values())} ({where})")
    limit = about["concurrency"]
    return Check(
        "router",
        True,
        f"ready; {where}; {limit['running']} of {limit['limit']} invocations running",
    )


def _reload(status: dict[str, Any] | None) -> list[Check]:
    """How the router's own template was read last; nothing where it has none."""
    if status is None:
        return []
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status["at_ms"] / 1000))
    if status["result"] == "ok":
        return [Check("reload", True, f"the template was applied at {at}")]
    text = f"the template was refused at {at}, what ran before goes on: {status['message']}"
    return [Check("reload", False, text)]


def _concurrency(about: dict[str, Any]) -> list[Check]:
    """Whether reservations can be kept; nothing where nothing is reserved."""
    facts = about["concurrency"]
    limit, reserved, kept = facts["limit"], facts["reserved"], facts["unreserved_min"]
    if not reserved:
        return []
    if reserved + kept <= limit:
        return [Check("concurrency", True, f"{reserved} of {limit} reserved or provisioned")]
    text = (
        f"{reserved} reserved or provisioned and {kept} for all others are more than the limit of "
        f"{limit}: reservations are maxima, and not always there. Raise ROUTER_CONCURRENCY_MAX or "
        "reserve less"
    )
    return [Check("concurrency", False, text)]


def _isolation(settings: config.Settings, about: dict[str, Any] | None) -> list[Check]:
    if about is not None:
        facts = about["isolation"]
        return [Check("isolation", True, facts["text"])]
    from router.workers.isolation.plan import asked_for, probe

    try:
        found = probe(sys.executable, asked_for(settings.isolation))
    except RouterError as error:
        return [Check("isolation", False, str(error))]
    return [Check("isolation", True, found.text)]


def _runtimes(settings: config.Settings, about: dict[str, Any] | None) -> Check:
    """What runs functions; without a router, what `run` would take."""
    if about is not None:
        return Check("runtimes", True, about["runtimes"])
    from router.app.options import Options
    from router.app.workers import hosting_of
    from router.workers.runtimes import host

    try:
        return Check("runtimes", True, host.describe(hosting_of(settings, Options())))
    except ConfigError as error:
        return Check("runtimes", False, str(error))


def _disk(folder: Path) -> Check:
    place = folder if folder.exists() else folder.absolute().parent
    while not place.exists():
        place = place.parent
    facts = os.statvfs(place)
    free = facts.f_bavail * facts.f_frsize
    return Check("disk", free >= DISK_FREE_MIN, f"{free / 2**30:.1f} GiB free at {place}")


def _sync(folder: Path) -> Check:
    """How long a durable write takes; an answer of microseconds means nothing is synced."""
    if not folder.exists():
        return Check("fsync", True, f"{folder} does not exist yet: not measured")
    path = folder / ".doctor"
    times = []
    try:
        with path.open("wb") as file:
            for _ in range(SYNC_TRIES):
                file.write(b"x" * 4096)
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        return Check("fsync", False, f"{folder} cannot be written: {error.strerror}")
    finally:
        path.unlink(missing_ok=True)
    worst, best = max(times), min(times)
    return Check("fsync", True, f"synchronous=FULL; a sync takes {best:.2f} to {worst:.2f} ms here")


def _clock() -> Check:
    now = time.gmtime()
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", now)
    return Check("clock", now.tm_year >= CLOCK_YEAR_MIN, f"{text}, monotonic and wall clock")


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} open files (hard limit {hard}, used in full by the router)"
    is_ok = hard == resource.RLIM_INFINITY or hard >= FILES_MIN
    if not is_ok:
        text += "; raise it: ulimit -Hn 65536, or LimitNOFILE= of the service"
    return Check("limits", is_ok, text)


def _buffer(buffer: dict[str, int]) -> Check:
    """What mappings hold. Much of it is no fault: they are behind, and share what there is."""
    held, limit = buffer["held"] / MIB, buffer["limit"] / MIB
    text = f"mappings hold {held:.1f} of {limit:.0f} MiB (ROUTER_BUFFER_BYTES_MAX)"
    return Check("memory", True, text)


def _ingress(facts: dict[str, Any]) -> Check:
    """Where requests from outside are read."""
    if facts["process"] is None and not facts["is_apart"]:
        text = "in the router's own process (ROUTER_INGRESS_PROCESSES=0, or one processor)"
        return Check("ingress", True, text)
    if not facts["is_wanted"]:
        text = "its process starts with the first webhook, function URL or caller"
        return Check("ingress", True, text)
    restarts = facts["restarts"]
    if facts["process"] is None:
        return Check("ingress", False, f"its process is being started again ({restarts} times)")
    locks = ", ".join(facts["locks"]) or "nothing"
    text = f"process {facts['process']}, locked in by {locks}, started again {restarts} times"
    return Check("ingress", True, text)


def _kafka(about: dict[str, Any]) -> list[Check]:
    """Clusters that mappings read; those that cannot be read are told of by their mappings."""
    return [
        Check(f"kafka {name}", True, text) for name, text in about.get("kafka_clusters", {}).items()
    ]


def _problems(about: dict[str, Any]) -> list[Check]:
    """Mappings that cannot read, functions that failed last, webhooks, destinations that refuse."""
    return (
        [
            Check(f"mapping {name}", False, text)
            for name, text in about.get("mapping_problems", {}).items()
        ]
        + [
            Check(f"destination {name}", False, text)
            for name, text in about.get("destination_problems", {}).items()
        ]
        + [
            Check(f"webhook {name}", False, text)
            for name, text in about.get("webhook_problems", {}).items()
        ]
        + [
            Check(f"function {name}", False, f"{text} (router logs {name})")
            for name, text in about.get("function_problems", {}).items()
        ]
    )
