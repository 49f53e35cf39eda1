"""What functions run in, from the settings: isolation, interpreters, control groups."""

import asyncio
import sys
from pathlib import Path

import structlog

from router.app.options import Options
from router.config import Settings
from router.model.errors import ConfigError
from router.model.hosting import Hosting
from router.telemetry import metrics
from router.workers import runtime_folder
from router.workers.isolation.cgroup import Unavailable
from router.workers.isolation.groups import Groups
from router.workers.isolation.plan import Facts, IsolationSettings, Planner, asked_for, probe
from router.workers.launcher import Launcher, Variables
from router.workers.logs import LogWriter
from router.workers.runtimes import host

log = structlog.get_logger()


def hosting_of(settings: Settings, options: Options) -> Hosting:
    """What functions find here; `serve` guesses no interpreter.

    Raises `ConfigError` when an interpreter or a client that settings name is not there.
    """
    clients = {str(name): folder for name, folder in settings.runtime_clients.items()}
    host.check(settings.runtimes, clients)
    is_strict = options.mode == "serve"
    return Hosting(
        runtimes=settings.runtimes,
        found={} if is_strict else host.find(),
        clients=clients,
        is_strict=is_strict,
        file_systems=settings.file_systems,
        images=settings.images,
        has_queues=settings.sqs == "embedded",
    )


async def probe_isolation(settings: Settings) -> tuple[Facts, IsolationSettings]:
    """Find out what isolation there is, and say so. Raises `ConfigError`."""
    asked = asked_for(settings.isolation)
    facts = await asyncio.to_thread(probe, sys.executable, asked)
    metrics.ISOLATION_INFO.labels(str(facts.rung), "+".join(facts.mechanisms) or "none").set(1)
    log.info("isolation", rung=facts.rung, mechanisms=list(facts.mechanisms))
    return facts, asked


async def make_launcher(
    data: Path,
    logs: LogWriter,
    hosting: Hosting,
    planner: Planner,
    facts: Facts,
    *,
    resolve_environment: Variables,
    extra_environment: Variables,
) -> Launcher:
    """The launcher of all environments. Raises `ConfigError`."""
    return Launcher(
        str(data),
        logs,
        planner=planner,
        groups=_groups(facts),
        resolve_environment=resolve_environment,
        extra_environment=extra_environment,
        runtime=await asyncio.to_thread(runtime_folder.build, data),
        hosting=hosting,
    )


def _groups(facts: Facts) -> Groups | None:
    if "cgroup" not in facts.mechanisms:
        return None
    try:
        return Groups(facts)
    except Unavailable as error:
        raise ConfigError(f"isolation.cgroup is on, but: {error}") from None
