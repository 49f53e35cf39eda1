"""Runs every attack through a real pool at one rung and prints the outcomes as JSON.

    python -m tests.security.table RUNG USER VIEW
        USER: a uid to drop to, 0 to stay; VIEW: 1 with a private file view, 0 without

This process plays the router: it holds the store, the secrets and the listeners under attack.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
from pathlib import Path

from router.auth.peer import FunctionPeers
from router.model.errors import ConfigError
from router.model.function import FunctionVersion, InvokeRequest
from router.workers import runtime_folder
from router.workers.isolation import libc, mounts, plain
from router.workers.isolation.plan import IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings
from tests.security.functions.attacker import ATTACKS

FUNCTIONS = Path(__file__).with_name("functions")
DESCRIPTORS_EXPECTED = 1  # the frame socket
SEGMENT_KEY = 0x0EE7 << 16
MALLOC = {"victim": {"MALLOC_ARENA_MAX": "2"}}


class RecordingPlanner(Planner):
    """Remembers which `/tmp` each function was given, as an attacker who guesses well."""

    def environment(self, function, **where):
        self.tmp_of = {**getattr(self, "tmp_of", {}), function.name: where["tmp"]}
        return super().environment(function, **where)


class Stage:
    """The files and listeners of the router under attack."""

    def __init__(self, base: Path, planner: RecordingPlanner, peers: FunctionPeers) -> None:
        self.base = base
        self.planner = planner
        self._peers = peers
        self.targets = {"router": os.getpid(), "descriptors_expected": DESCRIPTORS_EXPECTED}

    def furnish(self) -> None:
        for name in ("data", "secrets", "open"):
            (self.base / name).mkdir(mode=0o755)
        for key, path in (
            ("store", "data/router.db"),
            ("secret", "secrets/github"),
            ("host_file", "open/readme"),
        ):
            (self.base / path).write_text("not for functions")
            self.targets[key] = str(self.base / path)
        self.targets["host_folder"] = str(self.base / "open")
        for name in ("attacker", "victim"):
            folder = self.base / "code" / name
            folder.mkdir(parents=True)
            shutil.copy(FUNCTIONS / f"{name}.py", folder)
        self.targets["victim_code"] = str(self.base / "code/victim/victim.py")
        self.targets["segment"] = SEGMENT_KEY | os.getpid() & 0xFFFF

    async def listen(self, stack: contextlib.AsyncExitStack) -> None:
        api = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        self.targets["api"] = api.sockets[0].getsockname()
        self.targets["abstract"] = f"router-attack-{os.getpid()}"
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind("\0" + self.targets["abstract"])
        self.targets["unix"] = str(self.base / "open/router.sock")
        for server in (
            api,
            await asyncio.start_unix_server(self._greet, sock=abstract),
            await asyncio.start_unix_server(self._greet, self.targets["unix"]),
        ):
            await stack.enter_async_context(server)

    async def _greet(self, _reader, writer) -> None:
        connection = writer.get_extra_info("socket")
        is_tcp = connection.family == socket.AF_INET
        if not (is_tcp and self._peers.must_refuse(connection)):
            writer.write(b"welcome")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.contextmanager
def shared_memory(key):
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(key, 64, 0o1600)
    yield
    libc.shmctl(segment, 0, None)


def function(base: Path, name: str) -> FunctionVersion:
    return FunctionVersion(
        name=name,
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        runtime=f"python3.{sys.version_info.minor}",
        handler=f"{name}.handler",
        code_path=str(base / "code" / name),
        code_hash=name,
        timeout_ms=20_000,
        # The allocator's variable makes the victim exec, so that its variables are in /proc.
        environment={"SECRET": f"of {name}"} | MALLOC.get(name, {}),
    )


async def attack_all(base: Path, settings: IsolationSettings) -> dict[str, object]:
    facts = await asyncio.to_thread(probe, own_interpreter(), settings)
    hidden = [str(base / "data"), str(base / "secrets")]
    planner = RecordingPlanner(facts, settings, own_interpreter(), hidden)
    has_users = "uid" in facts.mechanisms
    stage = Stage(base, planner, FunctionPeers(facts.uid_first, facts.uid_count * has_users))
    stage.furnish()
    logs = LogWriter(base / "data")
    launcher = Launcher(
        str(base / "data"),
        logs,
        planner=planner,
        resolve_environment=lambda function: function.environment,
        extra_environment=lambda _function: {},
        runtime=runtime_folder.NONE,
    )
    pool = Pool(launcher, logs, PoolSettings())
    outcomes = {}
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(shared_memory(stage.targets["segment"]))
        await stage.listen(stack)
        await pool.start()
        stack.push_async_callback(pool.close, 1.0)
        reply = await invoke(pool, function(base, "victim"), {})
        targets = stage.targets | {
            "victim": reply["pid"],
            "victim_tmp": planner.tmp_of["victim"] + "/events.json",
            "victim_tmp_inside": reply["tmp"],
            "own_code": "/var/task"
            if "mounts" in facts.mechanisms
            else str(base / "code" / "attacker"),
        }
        for name in ATTACKS:
            event = targets | {"attack": name}
            outcomes[name] = await invoke(pool, function(base, "attacker"), event)
    return {"facts": facts.text, "mechanisms": facts.mechanisms, "outcomes": outcomes}


async def invoke(pool: Pool, version: FunctionVersion, event: dict) -> dict:
    payload = json.dumps(event).encode()
    request = InvokeRequest(
        function=version, invoked_arn=version.arn, request_id="attack", payload=payload
    )
    reply = await pool.invoke(request)
    if reply.error_type is not None:
        return {"done": False, "text": f"{reply.error_type} {reply.payload.decode()}"}
    return json.loads(reply.payload)


def become(uid: int) -> None:
    """Drop to `uid`, in a mount namespace where the interpreter can be reached by everybody."""
    prefix = Path(sys.base_prefix).resolve()
    closed = [path for path in prefix.parents if not path.stat().st_mode & stat.S_IXOTH]
    if closed:
        mounts._leave_host(user_namespace=False)
        tree = mounts._hold(str(prefix))
        libc.mount(b"tmpfs", os.fsencode(closed[-1]), b"tmpfs", 0, b"mode=755,size=64k")
        prefix.mkdir(parents=True)
        arguments = (tree, b"", -100, os.fsencode(prefix), mounts._MOVE_FROM_FD)
        libc.syscall("move_mount", mounts._MOVE_MOUNT, *arguments)
        os.close(tree)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    plain.be_inspectable()  # as a router started by this user would be


def main() -> None:
    rung, uid, view = (int(word) for word in sys.argv[1:])
    if uid:
        become(uid)
    settings = IsolationSettings(rung=rung, mounts=bool(view))
    base = Path(tempfile.mkdtemp(prefix="router-attack-"))
    try:
        result = asyncio.run(attack_all(base, settings))
    except ConfigError as error:
        result = {"refused": str(error)}
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
