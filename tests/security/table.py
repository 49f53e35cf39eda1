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
from collections.abc import AsyncIterator
from pathlib import Path

from router.auth.peer import FunctionPeers
from router.model.errors import ConfigError
from router.model.function import FunctionVersion, InvokeRequest
from router.workers import runtime_folder
from router.workers.isolation import libc, mounts, plain, trees
from router.workers.isolation.plan import Facts, IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings
from tests.security.functions.attacker import ATTACKS
from tests.security.ways import Way, find, hand_over, open_folder

FUNCTIONS = Path(__file__).with_name("functions")
DESCRIPTORS_EXPECTED = {"fast": 1, "client": 3}
"""The frame socket; the connection to the Runtime API and the pair that client wakes itself by."""
SEGMENT_KEY, LEFT_KEY = 0x0EE7 << 16, 0x0EE8 << 16
MALLOC = {"victim": {"MALLOC_ARENA_MAX": "2"}}


class RecordingPlanner(Planner):
    """Remembers which `/tmp` each function was given, as an attacker who guesses well."""

    @property
    def facts(self) -> Facts:
        return self._facts

    def environment(self, function, **where):
        self.tmp_of = {**getattr(self, "tmp_of", {}), function.name: where["tmp"]}
        return super().environment(function, **where)


WAYS = ("fast", "client")
"""Ways to run Python: of one and the same attacker."""

LEFT = "leave System V shared memory behind"
LIBC = ctypes.CDLL(None, use_errno=True)

ONLY = {"speak at another's Runtime API": "client"}
"""Attacks that only one of them has."""


class Stage:
    """The files and listeners of the router under attack."""

    def __init__(self, base: Path, peers: FunctionPeers) -> None:
        self.base = base
        self._peers = peers
        self.targets = {"router": os.getpid()}

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
        self.targets["left_segment"] = LEFT_KEY | os.getpid() & 0xFFFF

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
    LIBC.shmget(key, 64, 0o1600)
    yield
    take_away(key)


def take_away(key: int) -> bool:
    """Whether there was such a segment, which there is no more."""
    segment = LIBC.shmget(key, 0, 0)
    return segment >= 0 and LIBC.shmctl(segment, 0, None) == 0


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


async def attack_all(
    base: Path, settings: IsolationSettings, ways: dict[str, Way]
) -> dict[str, object]:
    facts = await asyncio.to_thread(probe, own_interpreter(), settings)
    hidden = [str(base / "data"), str(base / "secrets")]
    has_users = "uid" in facts.mechanisms
    peers = FunctionPeers(facts.uid_first, facts.uid_count * has_users)
    outcomes = {}
    async with contextlib.AsyncExitStack() as stack:
        stage = Stage(base, peers)
        stage.furnish()
        stack.enter_context(shared_memory(stage.targets["segment"]))
        await stage.listen(stack)
        for name, way in ways.items():
            planner = RecordingPlanner(facts, settings, own_interpreter(), hidden)
            async with running(base / "data" / name, planner, way) as pool:
                outcomes[name] = await attack(pool, stage, planner, name)
            is_left = take_away(stage.targets["left_segment"])
            outcomes[name][LEFT] |= {"done": is_left}
    return {"facts": facts.text, "mechanisms": facts.mechanisms, "outcomes": outcomes}


@contextlib.asynccontextmanager
async def running(data: Path, planner: Planner, way: Way) -> AsyncIterator[Pool]:
    data.mkdir(mode=0o755)
    logs = LogWriter(data)
    launcher = Launcher(
        str(data),
        logs,
        planner=planner,
        resolve_environment=lambda function: function.environment,
        extra_environment=lambda _function: {},
        runtime=runtime_folder.NONE,
        hosting=way.hosting,
    )
    pool = Pool(launcher, logs, PoolSettings())
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(1.0)


async def attack(
    pool: Pool, stage: Stage, planner: RecordingPlanner, way: str
) -> dict[str, object]:
    """Every attack of one way, on a victim that is run the same way."""
    victim = await invoke(pool, function(stage.base, "victim"), {})
    has_view = "mounts" in planner.facts.mechanisms
    own_code = "/var/task" if has_view else str(stage.base / "code" / "attacker")
    targets = stage.targets | {
        "victim": victim["pid"],
        "victim_api": victim["api"],
        "victim_tmp": planner.tmp_of["victim"] + "/events.json",
        "victim_tmp_inside": victim["tmp"],
        "own_code": own_code,
        "descriptors_expected": DESCRIPTORS_EXPECTED[way],
    }
    return {
        name: await invoke(pool, function(stage.base, "attacker"), targets | {"attack": name})
        for name in ATTACKS
        if ONLY.get(name, way) == way
    }


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
        tree = trees.hold(str(prefix))
        libc.mount(b"tmpfs", os.fsencode(closed[-1]), b"tmpfs", 0, b"mode=755,size=64k")
        prefix.mkdir(parents=True)
        trees.attach(tree, str(prefix))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    plain.be_inspectable()  # as a router started by this user would be


def main() -> None:
    rung, uid, view = (int(word) for word in sys.argv[1:])
    folder, base = open_folder(), None
    try:
        ways = find(WAYS, folder)
        if uid:
            hand_over(folder, uid)
            become(uid)
        settings = IsolationSettings(rung=rung, mounts=bool(view))
        base = Path(tempfile.mkdtemp(prefix="router-attack-"))
        result = asyncio.run(attack_all(base, settings, ways))
    except ConfigError as error:
        result = {"refused": str(error)}
    finally:
        for path in filter(None, (base, folder)):
            shutil.rmtree(path, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
