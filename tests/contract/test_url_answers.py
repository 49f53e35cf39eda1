"""Functions' URLs of a running router, asked by curl and requests (section 16, line 12)."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.parse

import pytest
import requests

from tests.contract.support import Agent
from tests.contract.test_running_router import router, zipped  # noqa: F401 - a fixture
from tests.patience import PATIENCE_S
from tests.servers.base import REQUIRED
from tests.unit.workers.runtime_api.test_bootstraps import PYTHON
from tests.unit.workers.runtime_api.test_streaming import STREAMING

ROLE = "arn:aws:iam::000000000000:role/any"

KINDS = """
import base64

KINDS = {
    "/object": {"hello": "world"},
    "/array": ["hello", 3, True],
    "/text": "hello",
    "/number": 7,
    "/nothing": None,
    "/response": {
        "statusCode": 201,
        "headers": {"X-One": "1", "Content-Type": "text/html", "Content-Length": "1"},
        "cookies": ["a=1; Secure", "b=2"],
        "body": "<p>hello",
    },
    "/bytes": {
        "statusCode": "200",
        "headers": {"content-type": "image/png"},
        "body": base64.b64encode(bytes(range(256))).decode(),
        "isBase64Encoded": True,
    },
    "/bare": {"statusCode": 204, "body": "HTTP/1.1 200 OK"},
    "/split": {"statusCode": 200, "headers": {"a": "1\\r\\nset-cookie: evil=1"}},
}


def handler(event, context):
    return KINDS[event["rawPath"]]
"""

STREAMS = """
const net = require("node:net");
const { once } = require("node:events");

async function gate(event) {
  const wire = net.connect(Number(event.queryStringParameters.gate), "127.0.0.1");
  await once(wire, "data");
  wire.destroy();
}

exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.rawPath === "/plain") { stream.end("plain"); return; }
  if (event.rawPath === "/early") throw new Error("before the first byte");
  const head = { statusCode: 207, headers: { "X-One": "1", "Content-Type": "text/event-stream" },
    cookies: ["a=1", "b=2"] };
  const body = awslambda.HttpResponseStream.from(stream, head);
  body.write("first");
  if (event.rawPath === "/broken") throw new Error("in the middle");
  await gate(event);
  body.end("second");
});
"""

PROGRAM = (
    PYTHON
    + STREAMING
    + """
def pieces(event):
    yield b"first"
    gate = int(event["queryStringParameters"]["gate"])
    socket.create_connection(("127.0.0.1", gate)).recv(1)
    for _ in range(128):
        yield b"x" * 65536

while True:
    id, event = take()
    stream(id, pieces(event), kind="text/plain")
"""
)


@pytest.fixture(scope="module")
def aws(router):  # noqa: F811  # the fixture
    agent = Agent(router["api"])
    yield agent
    agent.close()


def create(aws, name, files, runtime="python3.11", **more):
    aws(
        "lambda", "create_function", FunctionName=name, Runtime=runtime, Role=ROLE,
        Handler="app.handler", Timeout=60, Code={"ZipFile": zipped(files, ("bootstrap",))},
    )  # fmt: skip
    return url_of(aws, name, **more)


def url_of(aws, name, **more):
    params = {"FunctionName": name, "AuthType": "NONE", **more}
    return aws("lambda", "create_function_url_config", **params)["FunctionUrl"]


def curl(url, *options):
    """Status, headers and body as curl shows them; names below localhost are its own to know."""
    command = ["curl", "-sS", "-i", "--max-time", str(PATIENCE_S), *options, url]
    done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), [line.lower() for line in lines[1:]], body


def test_the_kinds_of_answers(aws):
    url = create(aws, "kinds", {"app.py": KINDS})
    for path, body in {
        "object": b'{"hello":"world"}',
        "array": b'["hello",3,true]',
        "text": b"hello",
        "number": b"7",
        "nothing": b"null",
    }.items():
        status, headers, shown = curl(url + path)
        assert (status, shown) == (200, body)
        assert "content-type: application/json" in headers
        assert f"content-length: {len(body)}" in headers
    status, headers, body = curl(url + "response")
    assert (status, body) == (201, b"<p>hello")
    assert {"content-type: text/html", "x-one: 1", "content-length: 8"} <= set(headers)
    cookies = [line for line in headers if line.startswith("set-cookie")]
    assert cookies == ["set-cookie: a=1; secure", "set-cookie: b=2"]
    status, headers, body = curl(url + "bytes")
    assert (status, body) == (200, bytes(range(256)))
    status, headers, body = curl(url + "bare")
    assert (status, body) == (204, b"")
    for path in ("raises", "split"):
        assert curl(url + path)[::2] == (502, b"Internal Server Error")
    status, headers, body = curl(url + "response", "--head")
    assert (status, body) == (201, b"")
    # One connection for all: nothing is left over between two answers.
    urls = [f"{url}{path}" for path in ("bare", "text", "response", "text")]
    done = subprocess.run(
        ["curl", "-sS", "-w", "<%{num_connects}>", *urls],
        capture_output=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == b"<1>hello<0><p>hello<0>hello<0>"


def test_who_may_not(aws):
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["POST"], "MaxAge": 9}
    create(aws, "guarded", {"app.py": KINDS})
    aws("lambda", "wait:function_active_v2", FunctionName="guarded")
    aws("lambda", "publish_version", FunctionName="guarded")
    aws("lambda", "create_alias", FunctionName="guarded", Name="live", FunctionVersion="1")
    url = url_of(aws, "guarded", Qualifier="live", Cors=cors, AuthType="NONE")
    asks = ("-X", "OPTIONS", "-H", "Origin: https://a.example")
    status, headers, body = curl(url, *asks, "-H", "Access-Control-Request-Method: POST")
    assert (status, body) == (200, b"")
    assert "access-control-allow-origin: https://a.example" in headers
    assert {"access-control-allow-methods: post", "access-control-max-age: 9"} <= set(headers)
    status, headers, body = curl(f"{url}text", "-H", "Origin: https://a.example")
    assert (status, body) == (200, b"hello")
    assert "access-control-allow-origin: https://a.example" in headers
    aws("lambda", "delete_alias", FunctionName="guarded", Name="live")
    status, headers, body = curl(f"{url}text")
    assert status == 403
    assert "x-amzn-errortype: accessdeniedexception" in headers
    where = urllib.parse.urlsplit(url)
    nobody = url.replace(where.hostname.partition(".")[0], "0" * 32)
    status, headers, body = curl(nobody)
    assert (status, body) == (403, b'{"Message":null}')
    aws("lambda", "delete_function_url_config", FunctionName="guarded")
    url = url_of(aws, "guarded", AuthType="AWS_IAM")
    status, headers, body = curl(f"{url}text")
    assert status == 403
    assert json.loads(body)["Message"].startswith("Forbidden. For troubleshooting Function URL")
    # As curl itself signs; this router takes any key.
    signed = ("--aws-sigv4", "aws:amz:us-east-1:lambda", "--user", "key:secret")
    assert curl(f"{url}text", *signed)[::2] == (200, b"hello")


@pytest.fixture
def gate():
    """Functions wait here until it is opened."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(PATIENCE_S)
        yield made


def opened(gate):
    wire, _ = gate.accept()
    with wire:
        wire.sendall(b"!")


def test_curl_reads_what_a_function_of_node_has_not_ended(aws, gate):
    """The function ends only after its first bytes have been read."""
    if shutil.which("node") is None:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)("no node on PATH")
    url = create(
        aws, "streams", {"app.js": STREAMS}, runtime="nodejs22.x", InvokeMode="RESPONSE_STREAM"
    )
    command = ["curl", "-sS", "-N", "-i", f"{url}?gate={gate.getsockname()[1]}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reading:
        read = b""
        while not read.endswith(b"\r\n\r\nfirst"):
            piece = os.read(reading.stdout.fileno(), 4096)
            assert piece, read
            read += piece
        opened(gate)
        rest = reading.stdout.read()
        assert reading.wait(PATIENCE_S) == 0
    head = read.decode().lower()
    assert head.startswith("http/1.1 207 ")
    for line in ("content-type: text/event-stream", "x-one: 1", "set-cookie: a=1",
                 "set-cookie: b=2", "transfer-encoding: chunked"):  # fmt: skip
        assert line in head
    assert rest == b"second"
    assert curl(f"{url}plain")[::2] == (200, b"plain")
    assert curl(f"{url}early")[::2] == (502, b"Internal Server Error")
    done = subprocess.run(
        ["curl", "-sS", f"{url}broken"], capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (18, b"first")  # transfer closed, data outstanding


def test_requests_reads_what_a_program_of_its_own_has_not_ended(aws, router, gate):  # noqa: F811  # so too
    """More than 6 MB, by path, for a program that speaks the Runtime API."""
    url = create(
        aws, "program", {"bootstrap": PROGRAM}, "provided.al2023", InvokeMode="RESPONSE_STREAM"
    )
    name = urllib.parse.urlsplit(url).hostname.partition(".")[0]
    where = f"{router['ingress']}/lambda-url/{name}/?gate={gate.getsockname()[1]}"
    with requests.get(where, stream=True, timeout=PATIENCE_S) as answer:
        pieces = answer.iter_content(None)
        assert answer.headers["content-type"] == "text/plain"
        assert next(pieces) == b"first"
        opened(gate)
        assert b"".join(pieces) == b"x" * 65536 * 128
    # Whoever asks for the whole of it gets no more than a whole answer may be.
    aws("lambda", "update_function_url_config", FunctionName="program", InvokeMode="BUFFERED")
    threaded = subprocess.Popen(
        [sys.executable, "-c", f"import requests; print(requests.get({where!r}).status_code)"],
        stdout=subprocess.PIPE,
    )
    with threaded:
        opened(gate)
        assert threaded.stdout.read().strip() == b"502"


def test_bytes_in_are_base64_and_text_is_not(aws):
    code = "def handler(event, context):\n    return [event['body'], event['isBase64Encoded']]\n"
    url = create(aws, "bodies", {"app.py": code})
    shown = curl(url, "-H", "Content-Type: text/plain", "--data-binary", "hello")[2]
    assert json.loads(shown) == ["hello", False]
    shown = curl(url, "-H", "Content-Type: image/png", "--data-binary", "hello")[2]
    assert json.loads(shown) == [base64.b64encode(b"hello").decode(), True]
