"""What the pipeline benches share: the two servers, the load, and counting what was handled."""

import contextlib
import hashlib
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cputime import cpu_s

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TEMPLATE = HERE / "template.yaml"
SECRET = "bench-secret"
START_S = 120.0
HANDLED_S = 120.0
QUIET_S = 0.1
"""After the last record: an illegal second delivery would come within this time."""

IDLE_PAUSE_S = 1.3
"""Between rounds: both sides move their log into the database after a second without a write."""


class Unavailable(Exception):
    """What a bench needs is not on this machine."""


class Dishonest(Exception):
    """Accepted and handled are not the same."""


def find_go() -> str | None:
    """The Go compiler."""
    return shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def load_generator() -> Path:
    """The compiled generator; built when its source is new. Raises `Unavailable`."""
    source = HERE.parent / "loadgen.go"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "event-router"
    program = cache / f"loadgen-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    if (go := find_go()) is None:
        raise Unavailable("Go is not installed: the load generator cannot be built")
    cache.mkdir(parents=True, exist_ok=True)
    made = program.with_suffix(f".{os.getpid()}")
    built = subprocess.run(
        [go, "build", "-o", made, source],
        env={**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise Unavailable(f"the load generator cannot be built: {built.stderr.strip()}")
    made.replace(program)
    return program


class Collector:
    """Hears from the function how many records it got; a thread, off both servers' processes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._rests: dict[socket.socket, bytes] = {}
        self.records = self.batches = 0
        self.last_ns = 0
        """Epoch nanoseconds of the last batch."""
        self.numbers: list[int] | None = None
        """Each number as it came, for whoever asks by putting a list here."""
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        with self._lock:
            self.records = self.batches = self.last_ns = 0

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        for link in (*self._rests, self._listener):
            link.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.1):
                if key.fileobj is self._listener:
                    link, _ = self._listener.accept()
                    self._rests[link] = b""
                    self._selector.register(link, selectors.EVENT_READ)
                else:
                    self._read(key.fileobj)

    def _read(self, link: socket.socket) -> None:
        try:
            data = link.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(link)
            return
        *lines, self._rests[link] = (self._rests[link] + data).split(b"\n")
        with self._lock:
            if self.numbers is not None:
                self.numbers += map(int, lines)
            self.records += sum(map(int, lines))
            self.batches += len(lines)
            self.last_ns = time.time_ns()


@dataclass
class Server:
    """A process under load, with its own collector."""

    name: str
    process: subprocess.Popen[bytes]
    collector: Collector
    addresses: dict[str, str]
    log: Path
    data: Path
    template: Path
    start_s: float = 0.0
    """From its start to being ready."""
    ready_cpu_s: float = 0.0
    """CPU it had taken when it was ready."""

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def cpu_s(self) -> float:
        """User and system time of the router and of its ingress process, no other children."""
        return sum(map(cpu_s, (self.process.pid, *self._ingress_pids())))

    def _ingress_pids(self) -> list[int]:
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a child or a thread that has just ended
                for pid in task.read_text().split():
                    if b"router.ingress.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(int(pid))
        return found

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Memory of the process itself; `VmHWM` is the most it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 1024

    def metrics(self) -> str:
        with urllib.request.urlopen(self.addresses["ops"] + "/metrics", timeout=START_S) as reply:
            return reply.read().decode()

    def close(self) -> None:
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.collector.close()


def metric(text: str, name: str) -> float:
    """Sum of a metric over its labels."""
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return sum(float(value) for found, value in rows if found.partition("{")[0] == name)


@contextlib.contextmanager
def router(
    folder: Path,
    name: str = "router",
    *,
    template: Path = TEMPLATE,
    data: Path | None = None,
    factor: int = 1,
    **environment: str,
) -> Iterator[Server]:
    """`router run` on a template, the bench's own by default, through the launcher.

    `factor` is for the bench's own: lanes of each of its four shards.
    """
    folder.mkdir(exist_ok=True)
    collector = Collector()
    command = [
        sys.executable, "-m", "tests.bench.pipeline.launch", "run", template,
        "--data", data or folder / "data", "--ready-file", folder / "ready.json",
        "--api", "127.0.0.1:0", "--ingress", "127.0.0.1:0", "--ops", "127.0.0.1:0",
        "--parameter", f"Collector={collector.address}",
    ]  # fmt: skip
    if template == TEMPLATE:
        command += ["--parameter", f"Factor={factor}"]
    own = {"ROUTER_SECRET_BENCH": SECRET, "ROUTER_LOG_FORMAT": "json", **environment}
    with _serving(name, command, folder, collector, own, template) as server:
        yield server


@contextlib.contextmanager
def thin(folder: Path) -> Iterator[Server]:
    """The baseline."""
    folder.mkdir()
    collector = Collector()
    command = [
        sys.executable, "-m", "tests.bench.pipeline.thin", "--data", folder,
        "--ready-file", folder / "ready.json", "--secret", SECRET,
    ]  # fmt: skip
    own = {"COLLECTOR": collector.address}
    with _serving("thin", command, folder, collector, own) as server:
        yield server


@contextlib.contextmanager
def _serving(
    name: str,
    command: list,
    folder: Path,
    collector: Collector,
    own: dict[str, str],
    template: Path = TEMPLATE,
) -> Iterator[Server]:
    log, ready = folder / "log", folder / "ready.json"
    kept = {key: text for key, text in os.environ.items() if not key.startswith("ROUTER_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT, env=kept | own, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    server = Server(name, process, collector, {}, log, folder, template)
    try:
        began = time.monotonic()
        while not ready.exists():
            if not server.is_running or time.monotonic() - began > START_S:
                raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.01)
        server.start_s, server.ready_cpu_s = time.monotonic() - began, server.cpu_s()
        server.addresses = json.loads(ready.read_text())
        yield server
    finally:
        server.close()


@dataclass
class Load:
    """What one round posts."""

    requests: int = 20_000
    connections: int = 256
    keys: int = 200
    body_bytes: int = 1_000
    paths: int = 0
    """Webhooks posted to in turn, `/in-0`, `/in-1` …; 0: `/in` alone."""
    deliveries: int = 1
    """How many mappings hand each record to a function."""


@dataclass
class Round:
    """What one round showed."""

    per_s: float
    cpu_us: float
    """CPU of the server process per delivery (per record where nothing is delivered), its
    children not counted."""
    mean_batch: float
    p50_ms: float
    p99_ms: float
    generator_cpu_us: float


def drive(server: Server, load: Load, tag: str) -> Round:
    """One round: post all, wait until all are handled. Raises `Dishonest`."""
    collector = server.collector
    collector.reset()
    cpu_s = server.cpu_s()
    done = subprocess.run(
        [
            load_generator(), "-address", server.addresses["ingress"].removeprefix("http://"),
            "-path", "/in", "-secret", SECRET, "-tag", tag, "-requests", str(load.requests),
            "-connections", str(load.connections), "-keys", str(load.keys),
            "-bytes", str(load.body_bytes), "-paths", str(load.paths),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    wanted = report["accepted"] * load.deliveries
    deadline = time.monotonic() + HANDLED_S
    while collector.records < wanted and time.monotonic() < deadline:
        if not server.is_running:
            raise RuntimeError(f"{server.name} ended: {server.log.read_text()[-2000:]}")
        time.sleep(0.005)
    time.sleep(QUIET_S)
    is_whole = load.requests == report["accepted"] and wanted == collector.records
    if report["other"] or not is_whole:
        raise Dishonest(
            f"{server.name}: sent {load.requests}, accepted {report['accepted']}, handled "
            f"{collector.records} of {wanted}, other answers {report['other']}"
        )
    count = load.requests * max(1, load.deliveries)
    last_ns = collector.last_ns or report["answered_ns"]
    return Round(
        per_s=count / (last_ns - report["started_ns"]) * 1e9,
        cpu_us=(server.cpu_s() - cpu_s) / count * 1e6,
        mean_batch=count / collector.batches if collector.batches else 0.0,
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
        generator_cpu_us=report["cpu_s"] / load.requests * 1e6,
    )


def compare(servers: list[Server], load: Load, rounds: int) -> dict[str, list[Round]]:
    """The same load on each server in turn, `rounds` times after one warm-up round."""
    return compare_loads([(server, load) for server in servers], rounds)


def compare_loads(pairs: list[tuple[Server, Load]], rounds: int) -> dict[str, list[Round]]:
    """Each server's own load in turn, `rounds` times after one warm-up round."""
    found: dict[str, list[Round]] = {server.name: [] for server, _ in pairs}
    for number in range(rounds + 1):
        for server, load in pairs:
            shown = drive_and_show(server, load, f"{server.name}-{load.connections}-{number}")
            if number:
                found[server.name].append(shown)
    return found


def drive_and_show(server: Server, load: Load, tag: str) -> Round:
    """One round, and a line about it; then a pause."""
    shown = drive(server, load, tag)
    time.sleep(IDLE_PAUSE_S)
    print(
        f"  {server.name:<10} {load.connections:>4} connections {shown.per_s:>7.0f}/s "
        f"{shown.cpu_us:>6.1f} CPU µs/event, batches of {shown.mean_batch:.1f}",
        file=sys.stderr,
    )
    return shown


def median(rounds: list[Round], name: str) -> float:
    return statistics.median(getattr(one, name) for one in rounds)


def is_steady(rounds: list[Round], name: str) -> bool:
    """Whether the baseline kept within a factor of two."""
    values = [getattr(one, name) for one in rounds]
    return max(values) <= 2 * min(values)


def series(rounds: list[Round]) -> dict[str, object]:
    """What goes into a result about one server."""
    return {
        "per_s": [round(one.per_s) for one in rounds],
        "cpu_us": [round(one.cpu_us, 1) for one in rounds],
        "mean_batch": round(median(rounds, "mean_batch"), 1),
        "p50_ms": round(median(rounds, "p50_ms"), 2),
        "p99_ms": round(median(rounds, "p99_ms"), 2),
        "generator_cpu_us": round(median(rounds, "generator_cpu_us"), 1),
    }
