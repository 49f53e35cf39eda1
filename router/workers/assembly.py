"""Puts a pool together: isolation found out, runtime folder built, launcher and logs made."""

import asyncio
from collections.abc import Mapping

import msgspec

from router.workers import runtime_folder
from router.workers.isolation.plan import Facts, IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, Variables, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that workers can be told."""

    data_dir: str
    pool: PoolSettings = PoolSettings()
    isolation: IsolationSettings = IsolationSettings()
    runtimes: Mapping[str, str] = {}
    """Runtime name → interpreter."""
    provides_boto3: bool = True
    """Whether handlers find boto3 without shipping it."""


async def open_pool(
    settings: WorkerSettings,
    *,
    resolve_environment: Variables,
    extra_environment: Variables,
) -> tuple[Pool, Facts]:
    """A started pool, and what isolation it has. Raises `ConfigError` or `ZygoteDied`."""
    interpreter = own_interpreter()
    facts = await asyncio.to_thread(probe, interpreter, settings.isolation)
    runtime = runtime_folder.NONE
    if settings.provides_boto3:
        runtime = await asyncio.to_thread(runtime_folder.build, settings.data_dir)
    logs = LogWriter(settings.data_dir)
    launcher = Launcher(
        settings.data_dir,
        logs,
        planner=Planner(facts, settings.isolation, interpreter),
        resolve_environment=resolve_environment,
        extra_environment=extra_environment,
        runtime=runtime,
        runtimes=settings.runtimes,
    )
    pool = Pool(launcher, logs, settings.pool)
    await pool.start()
    return pool, facts
