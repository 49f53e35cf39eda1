"""What the worker benches share: a pool as the router builds it, and environments without a router.

The baseline environment runs the very same bootstrap, codec and handler in a fresh `python -I -S`.
"""

import asyncio
import compileall
import json
import os
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from router.model.function import FunctionVersion, InvokeRequest
from router.workers import invocation, runtime_folder, wire
from router.workers.isolation.plan import IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings

HANDLERS = """\
def echo(event, context):
    return event
"""

BOTO3_HANDLERS = """\
import boto3

def echo(event, context):
    return event
"""

PAYLOAD = json.dumps({"id": 1, "text": "x" * 990}).encode()
"""1 KB of event."""


def write_code(folder: Path) -> Path:
    """Handlers with warm bytecode."""
    code = folder / "code"
    code.mkdir()
    (folder / "boto3_code").mkdir()
    (code / "app.py").write_text(HANDLERS)
    (folder / "boto3_code" / "app.py").write_text(BOTO3_HANDLERS)
    compileall.compile_dir(folder, quiet=1)
    return code


def function(code: Path, handler: str = "app.echo", revision: str = "1") -> FunctionVersion:
    return FunctionVersion(
        name="bench",
        arn="arn:aws:lambda:us-east-1:000000000000:function:bench",
        runtime="python3.11",
        handler=handler,
        code_path=str(code),
        code_hash=code.name,
        revision=revision,
        timeout_ms=30_000,
    )


def request(version: FunctionVersion) -> InvokeRequest:
    return InvokeRequest(
        function=version,
        invoked_arn=version.arn,
        request_id=str(uuid.uuid4()),
        payload=PAYLOAD,
    )


async def open_pool(data: Path, *, boto3: bool) -> tuple[Pool, runtime_folder.RuntimeFolder, str]:
    """A pool with everything on; also the isolation it has, as text."""
    settings = IsolationSettings()
    facts = await asyncio.to_thread(probe, own_interpreter(), settings)
    runtime = await asyncio.to_thread(runtime_folder.build, data) if boto3 else runtime_folder.NONE
    logs = LogWriter(data)
    launcher = Launcher(
        str(data),
        logs,
        planner=Planner(facts, settings, own_interpreter()),
        resolve_environment=lambda version: version.environment,
        extra_environment=lambda _version: {},
        runtime=runtime,
    )
    pool = Pool(launcher, logs, PoolSettings())
    await pool.start()
    return pool, runtime, f"rung {facts.rung}: {', '.join(facts.mechanisms)}"


class FreshWorker:
    """The same bootstrap and handler in a newly started interpreter; no router, no asyncio."""

    def __init__(self, version: FunctionVersion, runtime: str = "") -> None:
        ours, theirs = socket.socketpair()
        start = {
            "facts": invocation.facts_of(version, "bench"),
            "environment": {"PATH": "/usr/bin:/bin"},
            "paths": {"task": version.code_path, "tmp": "/tmp", "opt": "", "runtime": runtime},
            "runtime_host": runtime,
        }
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with its socket below
        file.write(json.dumps(start).encode())
        file.seek(0)
        script = Path(wire.__file__).with_name("fresh.py")
        with theirs, file:
            fds = (theirs.fileno(), file.fileno())
            arguments = [own_interpreter(), "-I", "-S", str(script), *map(str, fds)]
            self.process = subprocess.Popen(
                arguments, env={}, pass_fds=fds, stdin=subprocess.DEVNULL
            )
        self._socket = ours
        self._reader = ours.makefile("rb", 262_144)
        assert self._read()[0] == wire.READY

    def _read(self) -> wire.Frame:
        head = self._reader.read(wire.HEAD.size)
        length, kind, header_length = wire.HEAD.unpack(head)
        header = self._reader.read(header_length)
        return kind, header, self._reader.read(length - wire.FIXED_BYTES - header_length)

    def call(self, version: FunctionVersion, payload: bytes) -> bytes:
        header = {
            "id": str(uuid.uuid4()),
            "arn": version.arn,
            "deadline_ms": time.monotonic() * 1000 + version.timeout_ms,
        }
        self._socket.sendall(wire.encode(wire.INVOKE, json.dumps(header).encode(), payload))
        kind, _, reply = self._read()
        assert kind == wire.RESULT
        return reply

    def close(self) -> None:
        self._reader.close()
        self._socket.close()
        self.process.wait(30)


def machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
