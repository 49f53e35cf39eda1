"""A router as its user has it: `router run` on a folder, commands, webhooks, functions that tell.

Everything is real; nothing is reached behind the router's back. Functions report what they see
to a `Ear` over TCP and go on when it has answered, so a test knows and steers what they do.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.ports import lasting_port

ROUTER = Path(sys.executable).parent / "router"
SECRET = "integration-secret"
WAIT_S = PATIENCE_S

TELLING = '''"""Tells an ear of every record, in order; `order` in its answer is obeyed."""

import json
import os
import socket
import sys
import time

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def tell(**facts):
    wire.write(json.dumps({"pid": os.getpid(), "version": VERSION, **facts}).encode() + b"\\n")
    wire.flush()
    return wire.readline().decode().strip()


VERSION = 1


def handler(event, context):
    call = context.aws_request_id
    for record in event["Records"]:
        body = json.loads(record["body"])
        order = tell(
            what="record", call=call, key=body["key"], n=body["n"], function=context.function_name
        )
        if order == "fail" or body.get("poison"):
            raise ValueError("told to fail")
    tell(what="end", call=call, size=len(event["Records"]))
'''

WEBHOOK = """
  {name}:
    Type: Router::Webhook
    Properties:
      Path: {path}
      Signature: {{Scheme: github, Secret: "{{{{resolve:secretsmanager:hook}}}}"}}
      PartitionKey: $.key
      Shards: {shards}
"""

FUNCTION = """
  {name}:
    Type: AWS::Lambda::Function
    Properties:
      Role: arn:aws:iam::000000000000:role/worker
      Code: {code}
      Handler: {handler}
      Runtime: python3.11
      Timeout: {timeout}
      Environment: {{Variables: {{EAR: !Ref Ear}}}}
"""

SAM_FUNCTION = FUNCTION.replace("AWS::Lambda", "AWS::Serverless").replace(
    "      Role: arn:aws:iam::000000000000:role/worker\n      Code: ", "      CodeUri: "
)
"""AWS's translator takes half a second of a processor at each start: for tests about templates."""

MAPPING = """
  {name}:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt {webhook}.Arn
      FunctionName: !Ref {function}
"""

QUEUE = """
  {name}:
    Type: AWS::SQS::Queue
"""

HEAD = """AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Ear: {Type: String, Default: "127.0.0.1:1"}
Resources:
"""


def webhook(name: str = "Hook", path: str = "/in", shards: int = 1) -> str:
    return WEBHOOK.format(name=name, path=path, shards=shards)


def function(
    name: str = "Worker",
    code: str = "code",
    handler: str = "app.handler",
    timeout: int = 30,
    *,
    is_sam: bool = False,
) -> str:
    return (SAM_FUNCTION if is_sam else FUNCTION).format(
        name=name, code=code, handler=handler, timeout=timeout
    )


def mapping(
    name: str = "Feed", webhook: str = "Hook", function: str = "Worker", **more: Any
) -> str:
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in more.items())
    return MAPPING.format(name=name, webhook=webhook, function=function) + lines


def to_queue(name: str = "Failed") -> dict[str, Any]:
    """A mapping's settings that send what it gives up to a queue of the same template."""
    return {"DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": [name, "Arn"]}}}}


def queue(name: str = "Failed") -> str:
    return QUEUE.format(name=name)


def template(*parts: str) -> str:
    text = HEAD + "".join(parts)
    return f"Transform: AWS::Serverless-2016-10-31\n{text}" if "AWS::Serverless" in text else text


def ingress_pids(router: int) -> list[int]:
    """The router's ingress process, if it has one just now."""
    found = []
    for task in Path(f"/proc/{router}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread or a child that has just ended
            for pid in task.read_text().split():
                if b"router.ingress.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


class Ear:
    """Hears what functions tell, on any number of connections."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], str] = lambda _facts: "ok"
        self._lock = threading.Lock()
        ear = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    for line in self.rfile:
                        facts = json.loads(line) | {"at": time.monotonic()}
                        with ear._lock:
                            ear.heard.append(facts)
                        self.wfile.write(ear.answer(facts).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def records(self, key: str | None = None) -> list[tuple[str, int]]:
        """(key, n) of every record in the order of sight."""
        return [
            (facts["key"], facts["n"])
            for facts in list(self.heard)
            if facts["what"] == "record" and key in {None, facts["key"]}
        ]

    def handled(self) -> list[tuple[str, int]]:
        """(key, n) of every record of a call that ended."""
        heard = list(self.heard)
        ended = {facts["call"] for facts in heard if facts["what"] == "end"}
        return [(f["key"], f["n"]) for f in heard if f["what"] == "record" and f["call"] in ended]

    def sizes(self) -> list[int]:
        return [facts["size"] for facts in list(self.heard) if facts["what"] == "end"]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str,
    path: str = "/",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    method: str | None = None,
    wait_s: float = WAIT_S,
) -> Reply:
    """One HTTP request on a connection of its own."""
    target = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=wait_s)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        headers_in = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers_in, content)
    finally:
        connection.close()


def until(
    is_true: Callable[[], Any],
    wait_s: float = WAIT_S,
    what: str = "what was waited for",
    look_s: float = 0.01,
) -> Any:
    """Wait for something to become true, looking every `look_s` seconds; its value."""
    deadline = time.monotonic() + wait_s
    while True:
        found = is_true()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {wait_s} s")
        time.sleep(look_s)


def holds(check: Callable[[], Any]) -> Any:
    """Wait until a check's assertions hold: what is counted may be counted after it is seen."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


@dataclass
class Bed:
    """A folder with a template and code, and a router that runs them."""

    folder: Path
    ear: Ear
    data: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    addresses: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    """What starts the router instead of the test itself, with its arguments."""
    pass_fds: tuple[int, ...] = ()
    mode: str = "run"
    """Or `serve`."""

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.log = self.folder / "router.log"
        self.template = self.folder / "template.yaml"
        # Beside the folder: in it, it may be taken for code.
        self.ready = self.folder.with_name(f"{self.folder.name}-ready.json")

    # What is in the folder

    def write(self, text: str) -> None:
        self.template.write_text(text)

    def code(self, text: str = TELLING, folder: str = "code", name: str = "app.py") -> Path:
        """Write a file of code as an editor saves it."""
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{name}.swp")
        fresh.write_text(text)
        fresh.replace(path)
        return path

    # The router

    def environ(self) -> dict[str, str]:
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith("ROUTER_")},
            "ROUTER_SECRET_HOOK": SECRET,
            "ROUTER_LOG_FORMAT": "json",
            "ROUTER_BACKOFF_MS_MAX": "500",
            **self._ingress(),
            **self.environment,
        }

    def _ingress(self) -> dict[str, str]:
        """Where nothing comes by HTTP its process would only cost a start, hundreds of times."""
        if not self.template.exists() or "Router::Webhook" in self.template.read_text():
            return {}
        return {"ROUTER_INGRESS_PROCESSES": "0"}

    def command(self, *more: str, with_template: bool = True) -> list[str]:
        template = [str(self.template)] if with_template and self.template.exists() else []
        listen = [
            part
            for name in ("api", "ingress", "ops")
            for part in (f"--{name}", self._address(name).split("//")[1])
        ]
        return [
            str(ROUTER), self.mode, *template, "--data", str(self.data),
            "--ready-file", str(self.ready), *listen,
            *(["--parameter", f"Ear={self.ear.address}"] if template else []), *more,
        ]  # fmt: skip

    def _address(self, name: str) -> str:
        return self.addresses.get(name) or f"http://127.0.0.1:{lasting_port()}"

    def start(self, *more: str, with_template: bool = True) -> None:
        """Until ready."""
        ready = self.ready
        ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self.command(*more, with_template=with_template)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=self.pass_fds,
                env=self.environ(), cwd=self.folder, start_new_session=True,
            )  # fmt: skip

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the router ended: {self.log.read_text()}"
            return ready.exists()

        until(is_ready, what="a ready router")
        self.addresses = json.loads(ready.read_text())

    def fail_to_start(
        self, *more: str, with_template: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run and see it end."""
        return subprocess.run(
            self.command(*more, with_template=with_template),
            capture_output=True, text=True, env=self.environ(), cwd=self.folder,
            timeout=WAIT_S, check=False,
        )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, wait_s: float = WAIT_S) -> int:
        assert self.process is not None
        return self.process.wait(wait_s)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.log.exists():  # shown by pytest when a test failed
            print(self.log.read_text()[-6000:])

    def family(self) -> list[int]:
        """Every process below the router."""
        assert self.process is not None
        found, todo = [], [self.process.pid]
        while todo:
            kids = children_of(todo.pop())
            found += kids
            todo += kids
        return found

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The router's log, as far as it is written to the end of a line."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        rows = [json.loads(line) for line in whole.splitlines()]
        return [row for row in rows if event in {None, row["event"]}]

    # Its user

    def cli(
        self, *words: str, stdin: str | None = None, has_data: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A command as the user types it."""
        where = ["--data", str(self.data)] if has_data else []
        return subprocess.run(
            [str(ROUTER), *words, *where],
            capture_output=True, text=True, input=stdin, env=self.environ(), cwd=self.folder,
            timeout=WAIT_S, check=False,
        )  # fmt: skip

    def told(self, *words: str, stdin: str | None = None) -> Any:
        """What a command says with `--json`; it must succeed."""
        done = self.cli(*words, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def plan(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.cli("plan", str(self.template), "--parameter", f"Ear={self.ear.address}", *more)

    def apply(self, *more: str) -> subprocess.CompletedProcess[str]:
        words = ("apply", str(self.template), "--parameter", f"Ear={self.ear.address}")
        return self.cli(*words, *more)

    # Outside traffic

    def post(self, key: str, n: int, path: str = "/in", **more: Any) -> Reply:
        body = json.dumps({"key": key, "n": n, **more}).encode()
        return call(self.addresses["ingress"], path, body, signed(body))

    def send(self, key: str, count: int, start: int = 0, path: str = "/in") -> None:
        """`count` records of one key, each after the answer to the one before."""
        target = urllib.parse.urlsplit(self.addresses["ingress"])
        with contextlib.closing(http.client.HTTPConnection(target.netloc, timeout=WAIT_S)) as line:
            for n in range(start, start + count):
                body = json.dumps({"key": key, "n": n}).encode()
                line.request("POST", path, body, signed(body))
                answer = line.getresponse()
                content = answer.read()
                assert answer.status == 202, content

    @contextlib.contextmanager
    def traffic(self, keys: int, pause_s: float = 0.005, path: str = "/in") -> Iterator["Traffic"]:
        """Records of several keys for as long as the block lasts."""
        traffic = Traffic(self, keys, pause_s, path)
        with ThreadPoolExecutor(keys) as pool:
            streams = [pool.submit(traffic.run, f"k{number}") for number in range(keys)]
            try:
                yield traffic
            finally:
                traffic.is_over.set()
                for stream in streams:
                    stream.result()

    # The API

    def json_call(self, target: str, **members: Any) -> Reply:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
        return call(self.addresses["api"], "/", json.dumps(members).encode(), headers)

    def rest(self, method: str, path: str, body: Any = None) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return call(self.addresses["api"], path, data, headers, method)

    def host_of_url(self, function: str) -> str:
        """What a request to a function's URL has as its Host."""
        url = self.rest("GET", f"/2021-10-31/functions/{function}/url").json["FunctionUrl"]
        return urllib.parse.urlsplit(url).netloc

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Sample name → (labels, value), through Prometheus's own parser."""
        from prometheus_client.parser import text_string_to_metric_families

        text = call(self.addresses["ops"], "/metrics").body.decode()
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        return sum(
            value
            for found, value in self.metrics().get(name, [])
            if labels.items() <= found.items()
        )


class Traffic:
    """What a block of traffic had accepted."""

    def __init__(self, bed: Bed, keys: int, pause_s: float, path: str) -> None:
        self.accepted: list[tuple[str, int]] = []
        self.is_over = threading.Event()
        self._bed, self._pause_s, self._path = bed, pause_s, path

    def run(self, key: str) -> None:
        """Post one record after the other; one that was not answered 202 is posted again."""
        n = 0
        while not self.is_over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._bed.post(key, n, self._path).status == 202:
                    self.accepted.append((key, n))
                    n += 1
            time.sleep(self._pause_s)


@contextlib.contextmanager
def lone_bed(folder: Path) -> Iterator[Bed]:
    """A bed with an ear of its own, gone after it."""
    with contextlib.closing(Ear()) as ear, contextlib.closing(Bed(folder, ear)) as bed:
        yield bed


def first_sights(seen: list[tuple[str, int]]) -> dict[str, list[int]]:
    """Per key its records in the order of first sight."""
    order: dict[str, list[int]] = {}
    known: set[tuple[str, int]] = set()
    for key, n in seen:
        if (key, n) not in known:
            known.add((key, n))
            order.setdefault(key, []).append(n)
    return order


def assert_in_order(seen: list[tuple[str, int]]) -> None:
    for key, numbers in first_sights(seen).items():
        assert numbers == sorted(numbers), f"{key}: {numbers}"


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(text) for text in task.read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of a folder by what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
