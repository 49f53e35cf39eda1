"""The router and its peers, each started as its own documentation says, with both functions."""

import base64
import contextlib
import functools
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter
from tests.bench.lambda_peers.bed import (
    ENVIRONMENT,
    FUNCTIONS,
    POLL_S,
    START_S,
    Contender,
    listens,
    process,
)
from tests.bench.pipeline import bed
from tests.bench.sources import bed as sources
from tests.ports import lasting_port

QUIET = "quiet"
PRINTING = "printing"
NAMES = (QUIET, PRINTING)
TIMEOUT_S = 30
RUNTIME = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/r"
PYTHON = ENVIRONMENT / "bin" / "python"
NODE_MODULES = ENVIRONMENT / "node" / "node_modules"
EMULATOR = f"aws-lambda-rie-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"
PACKAGES = ENVIRONMENT / "lib" / RUNTIME / "site-packages"


@contextlib.contextmanager
def router(folder: Path, *, has_url: bool = False) -> Iterator[Contender]:
    """Ours, as `router run` serves it: isolation, logs, metrics and limits as they come.

    By the Lambda API, or by the URLs of its functions.
    """
    more = {"FunctionUrlConfig": {"AuthType": "NONE"}} if has_url else {}
    functions = {
        name.capitalize(): {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "FunctionName": name,
                "CodeUri": str(FUNCTIONS),
                "Handler": f"{name}.handler",
                "Runtime": RUNTIME,
                "Timeout": TIMEOUT_S,
                **more,
            },
        }
        for name in NAMES
    }
    with sources.router(folder, functions) as server:
        address = server.addresses["api"].removeprefix("http://")
        side = Contender("router", server.process.pid, address)
        if has_url:
            side.paths = {name: _path_of_url(side, name) for name in NAMES}
            side.address = server.addresses["ingress"].removeprefix("http://")
        yield side


def _path_of_url(side: Contender, name: str) -> str:
    _, answer = side.ask("GET", f"/2021-10-31/functions/{name}/url")
    host = urlsplit(json.loads(answer)["FunctionUrl"]).netloc
    return f"/lambda-url/{host.partition('.')[0]}/"


def isolation() -> str:
    facts = probe(own_interpreter(), IsolationSettings())
    return f"rung {facts.rung}: {', '.join(facts.mechanisms)}"


@contextlib.contextmanager
def serverless_offline(folder: Path) -> Iterator[Contender]:
    """serverless-offline's own endpoint for Lambda clients. Raises `Unavailable`."""
    if shutil.which("node") is None or not (NODE_MODULES / "serverless-offline").exists():
        raise bed.Unavailable("serverless-offline is not installed: Node.js and make peers")
    home = Path(tempfile.mkdtemp(dir=folder))
    (home / "node_modules").symlink_to(NODE_MODULES)
    for name in NAMES:
        shutil.copy(FUNCTIONS / f"{name}.py", home)
    http, port = lasting_port(), lasting_port()
    own = {"host": "127.0.0.1", "httpPort": http, "lambdaPort": port, "noPrependStageInUrl": True}
    functions = {
        name: {
            "handler": f"{name}.handler",
            "timeout": TIMEOUT_S,
            "events": [{"httpApi": {"path": f"/{name}", "method": "post"}}],
        }
        for name in NAMES
    }
    service = {
        "service": "bench",
        "provider": {"name": "aws", "runtime": RUNTIME, "region": "us-east-1"},
        "plugins": ["serverless-offline"],
        "custom": {"serverless-offline": own},
        "functions": functions,
    }
    (home / "serverless.yml").write_text(json.dumps(service))
    command = ["node", "node_modules/.bin/serverless", "offline", "start"]
    with process(
        "serverless-offline", command, home, lambda: listens(http) and listens(port),
        SLS_TELEMETRY_DISABLED="1", SLS_NOTIFICATIONS_MODE="off", PATH=same_interpreter(),
    ) as pid:  # fmt: skip
        paths = {name: f"/2015-03-31/functions/bench-dev-{name}/invocations" for name in NAMES}
        yield Contender("serverless-offline", pid, f"127.0.0.1:{port}", paths)


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[Contender]:
    """ministack with functions in processes of its own. Raises `Unavailable`."""
    program = ENVIRONMENT / "bin" / "ministack"
    if not program.exists():
        raise bed.Unavailable("ministack is not installed: make peers")
    port = lasting_port()
    side = Contender("ministack", 0, f"127.0.0.1:{port}")
    home = Path(tempfile.mkdtemp(dir=folder))

    def is_healthy() -> bool:
        try:
            return side.ask("GET", "/_ministack/health")[0] == 200
        except OSError:
            return False

    with process(
        "ministack", [str(program)], home, is_healthy,
        LAMBDA_EXECUTOR="local", BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port), TMPDIR=str(home),
        SERVICES="lambda,iam,logs", SFTP_ENABLED="0", IOT_MTLS_ENABLED="0",
    ) as side.pid:  # fmt: skip
        for name in NAMES:
            create(side, name, name)
        yield side


@contextlib.contextmanager
def emulator(folder: Path, function: str = QUIET) -> Iterator[Contender]:
    """AWS's emulator with AWS's client: one function, one invocation at a time."""
    shipped = PACKAGES / "samcli" / "local" / "rapid" / EMULATOR
    if not shipped.exists():
        raise bed.Unavailable("AWS's emulator is not installed: make peers")
    program = folder / "emulator"
    if not program.exists():
        shutil.copy(shipped, program)
        program.chmod(0o755)
    port, inner = lasting_port(), lasting_port()
    command = [
        str(program), "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
        "--runtime-api-address", f"127.0.0.1:{inner}",
        str(PYTHON), "-m", "awslambdaric", f"{function}.handler",
    ]  # fmt: skip
    with process("the emulator", command, FUNCTIONS, lambda: listens(port)) as pid:
        paths = {function: "/2015-03-31/functions/function/invocations"}
        yield Contender("emulator", pid, f"127.0.0.1:{port}", paths)


def create(side: Contender, name: str, function: str) -> None:
    """A function from a zip, ready to be invoked. Raises `Dishonest`."""
    members = {
        "FunctionName": name,
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": f"{function}.handler",
        "Code": {"ZipFile": _zipped(function)},
        "Timeout": TIMEOUT_S,
    }
    status, answer = side.ask("POST", "/2015-03-31/functions", json.dumps(members).encode())
    deadline = time.monotonic() + START_S
    while status in {200, 201} and json.loads(answer).get("State", "Active") != "Active":
        if time.monotonic() > deadline:
            raise bed.Dishonest(f"{side.name}: {name} does not become active")
        time.sleep(POLL_S)
        path = f"/2015-03-31/functions/{name}/configuration"
        status, answer = side.ask("GET", path)
    if status not in {200, 201}:
        raise bed.Dishonest(f"{side.name} answered {status} {answer[:200]!r}")


@functools.cache
def _zipped(function: str) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.write(FUNCTIONS / f"{function}.py", f"{function}.py")
    return base64.b64encode(data.getvalue()).decode()


def same_interpreter() -> str:
    """A PATH on which the runtime's name is the interpreter that ours runs functions with."""
    return f"{Path(own_interpreter()).parent}{os.pathsep}{os.environ['PATH']}"
