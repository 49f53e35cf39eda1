"""The image starts as a container is to be run: another user, no privilege, read-only root.

It is put together by the Dockerfile's own steps (`deploy/rootfs`), so a file that the router or a
function needs and the Dockerfile forgets shows here.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.deploy.tools import ROOT, passes, tool
from tests.patience import PATIENCE_S
from tests.ports import lasting_port
from tests.senders import proof

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("image")]
"""The first one builds: packages are fetched and compiled."""

SECRET = "what GitHub signs with"
KEYS = {"aws_access_key_id": "operator", "aws_secret_access_key": "for this test only"}

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Hook:
    Type: Router::Webhook
    Properties:
      Path: /hook
      Signature: {Scheme: github, Secret: "{{resolve:secretsmanager:hook}}"}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: facts
      CodeUri: ./functions/facts
      Handler: app.handler
      Runtime: python3.11
      MemorySize: 256
      Environment: {Variables: {TZ: Asia/Tokyo}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: !GetAtt Hook.Arn, FunctionName: !Ref Function}
  Seen:
    Type: AWS::SQS::Queue
    Properties: {QueueName: seen}
"""

CODE = """
import json, os, ssl, subprocess, tempfile, time
import boto3

def tried(write):
    try:
        write()
    except OSError as error:
        return error.strerror
    return "allowed"

def handler(event, context):
    context = ssl.create_default_context()
    facts = {
        "body": event["Records"][0]["body"],
        "user": os.getuid(),
        "zone": time.strftime("%Z"),
        "authorities": len(context.get_ca_certs()) > 100,
        "code": tried(lambda: open(__file__, "a")),
        "tmp": tried(lambda: tempfile.TemporaryFile().close()),
        "shell": tried(lambda: subprocess.run(["/bin/sh", "-c", "true"])),
    }
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="seen")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(facts))
"""


class Container:
    """A router started from the image, on ports of this machine."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        names = ("api", "ingress", "ops")
        self.ports = {name: lasting_port() for name in names}
        etc = folder / "etc"
        code = etc / "functions/facts"
        code.mkdir(parents=True)
        (etc / "secrets").mkdir()
        (folder / "data").mkdir()
        (etc / "template.yaml").write_text(TEMPLATE)
        (code / "app.py").write_text(CODE)
        (etc / "secrets/hook").write_text(SECRET)
        key, secret = KEYS.values()
        (etc / "router.toml").write_text(f'[access_keys]\n{key} = "{secret}"\n')
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for parent in folder.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o055)

    def start(self) -> None:
        """As `docker run --read-only --cap-drop ALL` would."""
        settings = [f"--env=ROUTER_{n.upper()}=127.0.0.1:{p}" for n, p in self.ports.items()]
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "deploy.rootfs", "start", self.image, *settings,
                f"--data={self.folder}/data", f"--etc={self.folder}/etc",
                "--env=ROUTER_ISOLATION_REQUIRE=landlock,seccomp",
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.until(self.is_healthy)

    def _read(self) -> None:
        with self.process.stdout as output:
            self.lines.extend(output)

    def until(self, is_true) -> None:
        """Wait, as long as it runs."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            assert self.process.poll() is None, "it ended:\n" + "".join(self.lines)
            assert time.monotonic() < deadline, "never:\n" + "".join(self.lines)
            time.sleep(0.05)

    def is_healthy(self) -> bool:
        """By the probe from outside."""
        try:
            return self.get("ops", "/ready")[0] == 200
        except OSError:
            return False

    def get(self, listener: str, path: str, body: bytes | None = None, **headers):
        """One request; status and text."""
        url = f"http://127.0.0.1:{self.ports[listener]}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def execute(self, *command: str) -> subprocess.CompletedProcess:
        """As `docker exec` would."""
        return subprocess.run(
            [
                sys.executable, "-m", "deploy.rootfs", "exec", self.image, str(self.pid()), "--",
                *command,
            ],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def pid(self) -> int:
        """Of the router, as this machine counts: the child of the child of what was started."""
        pid = self.process.pid
        for _ in range(2):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    def sqs(self):
        """A client with the operator's key."""
        return boto3.client(
            "sqs", endpoint_url=f"http://127.0.0.1:{self.ports['api']}", region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}), **KEYS,
        )  # fmt: skip

    def stop(self) -> int:
        """SIGTERM; its status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.reader.join()


@pytest.fixture
def container(image, tmp_path):
    made = Container(image, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def everything_in(root: Path) -> dict[str, tuple]:
    found = {}
    for path in root.rglob("*"):
        facts = path.lstat()
        found[str(path.relative_to(root))] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


def test_the_router_works_in_a_read_only_root_as_another_user(image, container):
    """S1 too: SIGTERM ends it with 0, as the first process of its namespace."""
    before = everything_in(image / "rootfs")
    body = json.dumps({"number": 1}).encode()
    headers = proof("github", body, SECRET) | {"Content-Type": "application/json"}
    status, _ = container.get("ingress", "/hook", body, **headers)
    assert status == 202
    assert container.get("ingress", "/hook", body, **proof("github", body, "guessed"))[0] == 401

    sqs = container.sqs()
    url = sqs.get_queue_url(QueueName="seen")["QueueUrl"]
    got: list[dict] = []
    container.until(
        lambda: got or got.extend(sqs.receive_message(QueueUrl=url).get("Messages", []))
    )
    facts = json.loads(got[0]["Body"])
    user = os.stat(container.folder / "data").st_uid
    assert facts == {
        "body": body.decode(),
        "user": 10001,
        "zone": "JST",
        "authorities": True,
        "code": "Permission denied",
        "tmp": "allowed",
        "shell": "No such file or directory",
    }
    assert user == (10001 if os.geteuid() == 0 else os.geteuid())

    _, metrics = container.get("ops", "/metrics")
    (line,) = (text for text in metrics.splitlines() if text.startswith("router_isolation_info{"))
    assert 'rung="2"' in line
    assert 'mechanisms="plain+seccomp+landlock"' in line
    health = container.execute("router", "health")
    assert (health.returncode, health.stdout) == (0, "ready\n"), health.stderr
    status = Path(f"/proc/{container.pid()}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    mounts = Path(f"/proc/{container.pid()}/mounts").read_text().splitlines()
    writable = {line.split()[1] for line in mounts if line.split()[3].startswith("rw")}
    kernel = {place for place in writable if place.startswith(("/dev", "/proc", "/sys"))}
    assert writable - kernel == {"/tmp", "/var/lib/router"}

    assert container.stop() == 0
    assert everything_in(image / "rootfs") == before
    levels = [json.loads(line)["level"] for line in container.lines]
    assert set(levels) <= {"info"}, container.lines


def test_nobody_can_log_in_or_install_anything(image):
    root = image / "rootfs"
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 1000
    programs = {path.name for path in files if path.parent.name in {"bin", "sbin"}}
    assert {name for name in programs if not name.startswith("python3")} == {"router"}
    assert not [path for path in files if path.stat().st_mode & 0o6022]
    assert not [path for path in root.rglob("pip") if path.is_dir()]
    assert not list(root.rglob("ensurepip"))
    # Bytecode was made beforehand: a read-only root cannot keep any.
    router = root / "opt/router/lib"
    sources = {path for path in router.rglob("router/**/*.py") if "__pycache__" not in str(path)}
    assert len(list(router.rglob("router/**/*.pyc"))) >= len(sources) > 100


def test_the_image_says_what_it_is_made_of(image):
    """CycloneDX's own schema; every locked package that is installed is listed."""
    (file,) = (image / "rootfs/usr/share/sbom").iterdir()
    told = json.loads(file.read_text())
    names = {part["name"] for part in told["components"]}
    assert {"aiokafka", "botocore", "cpython", "uvloop"} <= names
    assert "pip" not in names
    check = (
        "import sys; from cyclonedx.schema import SchemaVersion;"
        "from cyclonedx.validation.json import JsonStrictValidator as V;"
        "error = V(SchemaVersion.V1_6).validate_str(sys.stdin.read());"
        "sys.exit(str(error) if error else 0)"
    )
    done = subprocess.run(
        [tool("python"), "-c", check], input=file.read_text(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_has_no_faults_known_to_hadolint():
    passes(tool("hadolint"), "--failure-threshold", "info", ROOT / "deploy/Dockerfile")
