"""A pool on real zygotes and real processes, locked in as high as this host allows."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.hosting import BARE
from router.workers import runtime_folder
from router.workers.isolation.plan import Facts, IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings


class Bed:
    """One pool, and functions written as text."""

    def __init__(self, data: Path, facts: Facts) -> None:
        self.data = data
        self._facts = facts
        self.pool: Pool
        self.launcher: Launcher
        self.extra: dict[str, str] = {}
        self.hosting = BARE

    async def open(
        self, settings: PoolSettings, runtime: runtime_folder.RuntimeFolder = runtime_folder.NONE
    ) -> Pool:
        logs = LogWriter(self.data)
        self.launcher = Launcher(
            str(self.data),
            logs,
            planner=Planner(
                self._facts,
                IsolationSettings(),
                own_interpreter(),
                file_systems=self.hosting.file_systems,
            ),
            hosting=self.hosting,
            resolve_environment=lambda function: function.environment,
            extra_environment=lambda _function: self.extra,
            runtime=runtime,
        )
        self.pool = Pool(self.launcher, logs, settings)
        await self.pool.start()
        return self.pool

    def function(self, source: str, name: str = "f", **fields: object) -> FunctionVersion:
        code = self.data / "code" / uuid.uuid4().hex
        code.mkdir(parents=True)
        (code / "app.py").write_text(source)
        facts = {
            "name": name,
            "arn": f"arn:aws:lambda:eu-west-1:000000000000:function:{name}",
            "runtime": "python3.11",
            "handler": "app.handler",
            "code_path": str(code),
            "code_hash": code.name,
            "timeout_ms": 60_000,  # what is meant to run out says so
        }
        return FunctionVersion(**(facts | fields))

    async def invoke(
        self, function: FunctionVersion, payload: bytes = b"{}", **fields: object
    ) -> InvokeReply:
        request = InvokeRequest(
            function=function,
            invoked_arn=function.arn,
            request_id=str(uuid.uuid4()),
            payload=payload,
        )
        return await self.pool.invoke(msgspec.structs.replace(request, **fields))

    async def run(self, source: str, payload: bytes = b"{}", **fields: object) -> InvokeReply:
        return await self.invoke(self.function(source, **fields), payload)

    @property
    def pids(self) -> list[int]:
        return [env.pid for env in self.pool._living]


@pytest.fixture(scope="session")
def facts() -> Facts:
    return probe(own_interpreter(), IsolationSettings())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):  # functions run as other users at rung 3
        if folder.owner() == tmp_path.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.fixture
async def bed(data: Path, facts: Facts) -> AsyncIterator[Bed]:
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    yield bed
    await bed.pool.close(0)
