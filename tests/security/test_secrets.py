"""Nothing secret in a log line, metric, process title or error (`reliability.md` 7, issue's rule).

One router whose functions fail in every way there is, on the fast path and on the Runtime API,
with the log at its most talkative.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.bed import Bed, call, children_of, lone_bed, template, until
from tests.unit.workers.aws_client import put_client

PLANTED = {
    "a resolved secret": "canary-RESOLVED-5d1f",
    "a plain variable": "canary-PLAIN-0e4d",
    "a variable of the router": "canary-ROUTER-77ab",
    "an event": "canary-EVENT-91c2",
    "a client context": "canary-CONTEXT-3333",
    "a signature": "canary-SIGNATURE-8a8a",
    "a query": "canary-QUERY-4b1b",
}

PYTHON = """
import json, os, sys, time
if os.environ.get("BROKEN"): raise RuntimeError("not today")
def handler(event, context):
    do = event["do"]
    if do == "show": return dict(os.environ)
    if do == "raise": raise ValueError("no detail")
    if do == "exit": os._exit(3)
    if do == "late": time.sleep(60)
    if do == "memory": x = bytearray(b"x") * (1 << 30)
    if do == "set": return {1}
    if do == "large": return "x" * 7_000_000
    return 1
"""

NODE = """
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
if (process.env.BROKEN) throw new Error("not today");
exports.handler = async ({ do: what }) => {
  if (what === "show") return process.env;
  if (what === "raise") throw new Error("no detail");
  if (what === "exit") process.exit(3);
  if (what === "late") await pause(60000);
  const kept = [];
  while (what === "memory" && kept.length < 64) kept.push(Buffer.alloc(1 << 24, 1));
  if (what === "set") { const ring = {}; ring.ring = ring; return ring; }
  if (what === "large") return "x".repeat(7000000);
  return 1;
};
"""

BOOTSTRAP = "#!/bin/sh\nexit 7\n"

FUNCTION = """
  {name}:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: {name}
      Runtime: {runtime}
      Handler: app.handler
      Code: {code}
      Role: arn:aws:iam::000000000000:role/any
      Timeout: {timeout}
      MemorySize: 192
      Environment:
        Variables:
          RESOLVED: "{{{{resolve:secretsmanager:token}}}}"
          PLAIN: {plain}
{more}"""

RUNTIMES = {"fast": "python3.11", "client": "python3.11", "node": "nodejs20.x"}
WAYS = {
    name: runtime for name, runtime in RUNTIMES.items() if name != "node" or shutil.which("node")
}
FAILING = ("raise", "exit", "memory", "set", "large")


def declared(name: str, code: str, runtime: str, timeout: int = 60, **more: str) -> str:
    lines = "".join(f"          {key}: {json.dumps(value)}\n" for key, value in more.items())
    plain = PLANTED["a plain variable"]
    return FUNCTION.format(
        name=name, code=code, runtime=runtime, timeout=timeout, plain=plain, more=lines
    )


@pytest.fixture
def bed(tmp_path):
    with lone_bed(tmp_path) as bed:
        yield bed


def furnish(bed: Bed) -> None:
    bed.environment |= {
        "ROUTER_SECRET_TOKEN": PLANTED["a resolved secret"],
        "ROUTER_SECRET_OTHER": PLANTED["a variable of the router"],
        "ROUTER_LOG_LEVEL": "debug",
    }
    parts = []
    for way, runtime in WAYS.items():
        bed.code(NODE if way == "node" else PYTHON, way, "app.js" if way == "node" else "app.py")
        parts.append(declared(way.title(), way, runtime))
        parts.append(declared(f"{way.title()}Broken", way, runtime, BROKEN="yes"))
        parts.append(declared(f"{way.title()}Late", way, runtime, 1))
        wrapper = "/nowhere/canary"
        parts.append(
            declared(f"{way.title()}Wrapped", way, runtime, AWS_LAMBDA_EXEC_WRAPPER=wrapper)
        )
    put_client(bed.folder / "client")
    bed.code(BOOTSTRAP, "program", "bootstrap").chmod(0o755)
    parts.append(declared("Program", "program", "provided.al2023"))
    bed.code("#!/nowhere/sh\n", "unfit", "bootstrap").chmod(0o755)
    parts.append(declared("Unfit", "unfit", "provided.al2023"))
    folder = bed.folder / "secrets"
    folder.mkdir()
    (folder / "nobody").write_text("there when the router starts, and gone later")
    bed.environment["ROUTER_SECRETS_DIR"] = str(folder)
    missing = declared("Missing", "fast", "python3.11")
    parts.append(missing.replace("secretsmanager:token", "secretsmanager:nobody"))
    bed.write(template(*parts))


class Shown:
    """All that an operator or a caller gets to see, except what a function answers."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.texts: list[bytes] = []

    def invoke(self, name: str, do: str, **headers: str) -> bytes:
        """What it answered."""
        event = json.dumps({"do": do, "text": PLANTED["an event"]}).encode()
        context = "eyJjdXN0b20iOiB7fX0="
        path = f"/2015-03-31/functions/{name}/invocations?x={PLANTED['a query']}"
        given = {"X-Amz-Client-Context": context, "X-Amz-Log-Type": "Tail"} | headers
        reply = call(self._bed.addresses["api"], path, event, given)
        self.texts.append(str(reply.headers).encode())
        if do != "show":
            self.texts.append(reply.body)
        return reply.body

    def ask(self, path: str, body: object = None, method: str = "GET", **headers: str) -> None:
        data = None if body is None else json.dumps(body).encode()
        reply = call(self._bed.addresses["api"], path, data, headers, method)
        assert reply.status >= 400, reply
        self.texts.append(reply.body + str(reply.headers).encode())

    def command(self, *words: str) -> None:
        done = self._bed.cli(*words)
        self.texts.append((done.stdout + done.stderr).encode())

    def processes(self) -> None:
        """Titles of all, and variables of what runs no function."""
        assert self._bed.process is not None
        router = self._bed.process.pid
        for pid in (router, *self._bed.family()):
            for name in ("cmdline", "comm"):
                self._read(f"/proc/{pid}/{name}")
        for pid in children_of(router):
            self._read(f"/proc/{pid}/environ")

    def _read(self, path: str) -> None:
        try:
            self.texts.append(Path(path).read_bytes())
        except OSError:
            return


@pytest.mark.timeout(600)
def test_no_secret_shows_however_functions_fail(bed):
    furnish(bed)
    bed.start()
    shown = Shown(bed)
    planted = dict(PLANTED)
    for way in WAYS:
        name = way.title()
        variables = json.loads(shown.invoke(name, "show"))
        assert variables["RESOLVED"] == PLANTED["a resolved secret"]
        assert variables["PLAIN"] == PLANTED["a plain variable"]
        for variable in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            if variables.get(variable):
                planted[f"{variable} of {way}"] = variables[variable]
        shown.processes()
        for do in FAILING:
            assert b"errorType" in shown.invoke(name, do), do
        assert b"errorType" in shown.invoke(f"{name}Late", "late")
        shown.invoke(name, "raise", **{"X-Amz-Invocation-Type": "Event"})
        shown.invoke(f"{name}Broken", "good")
        shown.invoke(f"{name}Wrapped", "good")
    (bed.folder / "secrets" / "nobody").unlink()
    for name in ("Program", "Unfit", "Missing"):
        shown.invoke(name, "good")
    refused_by_the_api(shown)
    shown.processes()
    shown.texts.append(call(bed.addresses["ops"], "/metrics").body)
    for words in (("doctor",), ("plan", str(bed.template)), ("mappings", "list")):
        shown.command(*words)
    until(lambda: b"no detail" in b"".join(logs(bed)))
    assert bed.stop() == 0
    shown.texts += [bed.log.read_bytes(), *logs(bed)]
    for what, secret in planted.items():
        for text in shown.texts:
            assert secret.encode() not in text, (what, text[-2000:])
    stored = b"".join(path.read_bytes() for path in bed.data.rglob("router.db*"))
    assert PLANTED["a resolved secret"].encode() not in stored


def refused_by_the_api(shown: Shown) -> None:
    base = "/2015-03-31/functions"
    secret = {"Variables": {"1BAD": PLANTED["a plain variable"]}}
    shown.ask(f"{base}/Fast/configuration", {"Environment": secret}, "PUT")
    reserved = {"Variables": {"AWS_REGION": "x", "PLAIN": PLANTED["a plain variable"]}}
    shown.ask(f"{base}/Fast/configuration", {"Environment": reserved}, "PUT")
    large = {"Variables": {"PLAIN": PLANTED["a plain variable"] * 300}}
    shown.ask(f"{base}/Fast/configuration", {"Environment": large}, "PUT")
    shown.texts.pop()  # AWS's own text has what was sent, for who sent it
    odd = {"Variables": {"PLAIN": [PLANTED["a plain variable"]]}}
    shown.ask(f"{base}/Fast/configuration", {"Environment": odd}, "PUT")
    shown.ask(f"{base}/Nobody/invocations", {"text": PLANTED["an event"]}, "POST")
    context = {"X-Amz-Client-Context": f"{{{PLANTED['a client context']}"}
    shown.ask(f"{base}/Fast/invocations", {"do": "good"}, "POST", **context)
    credential = f"AKIA/20260101/us-east-1/lambda/aws4_request, Signature={PLANTED['a signature']}"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}"}
    shown.ask(f"{base}/Nobody", None, "GET", **signed)
    shown.ask(f"{base}/Nobody?X-Amz-Security-Token={PLANTED['a query']}")


def logs(bed: Bed) -> list[bytes]:
    return [path.read_bytes() for path in (bed.data / "logs").rglob("*") if path.is_file()]
