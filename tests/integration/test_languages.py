"""Official clients of other languages, unmodified (acceptance list, line 13), and an extension.

Go on every run, where it is installed; Rust and AWS's client for Node.js, which take minutes to
build, with `TESTS_LONG`. What is built is kept beside the servers' jars.
"""

import hashlib
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from router.dispatch.response_stream import ResponseStream
from router.model.hosting import Hosting
from router.model.limits import MIB
from router.outcomes.http_reply import INTEGRATION, PRELUDE_END, prelude_head
from router.workers.pool import PoolSettings
from router.workers.runtimes import host
from tests.patience import until
from tests.servers import jars
from tests.servers.base import REQUIRED
from tests.sizes import size, sized
from tests.unit.workers.conftest import Bed, data, facts  # noqa: F401 - fixtures
from tests.unit.workers.extensions.test_environment import log_of
from tests.unit.workers.runtime_api.test_streaming import read

SOURCES = Path(__file__).with_name("languages")
EXAMPLE = Path(__file__).parents[2] / "examples" / "polyglot"
NODE_CLIENT = "3.3.0"
BUILD_S_MAX = 1_200


def kept(name: str, build, *sources: Path) -> Path:
    """A folder that `build` fills once for these sources."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = jars.cache().absolute() / f"{name}-{digest}"
    if not folder.is_dir():
        made = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        made.mkdir(parents=True)
        build(made)
        try:
            made.rename(folder)
        except OSError:  # another was faster
            shutil.rmtree(made)
    return folder


def run(command: list[object], folder: Path, **variables: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=BUILD_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def need(*programs: str) -> None:
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking and os.environ.get(REQUIRED):
        pytest.fail(f"needs {', '.join(lacking)}")
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")


@pytest.fixture
async def bed(data, facts):  # noqa: F811
    made = Bed(data, facts)
    made.hosting = Hosting(found=host.find())
    await made.open(PoolSettings())
    yield made
    await made.pool.close(0)


def function(bed: Bed, folder: Path, **fields: object):
    made = bed.function("", **({"memory_mb": 512, "timeout_ms": 60_000} | fields))
    shutil.copytree(folder, made.code_path, dirs_exist_ok=True)
    return made


async def ask(bed: Bed, made, case: str):
    return await bed.invoke(made, json.dumps({"case": case}).encode())


async def streamed(bed: Bed, made, case: str):
    """What is streamed, complete, and the reply."""
    stream = ResponseStream()
    reply = await bed.invoke(made, json.dumps({"case": case}).encode(), sink=stream)
    stream.end()
    return stream, reply


async def go(bed: Bed) -> None:
    need("go")
    source = SOURCES / "go"

    def build(folder: Path) -> None:
        command = ["go", "build", "-tags", "lambda.norpc", "-o", folder / "bootstrap", "."]
        run(command, source, CGO_ENABLED="0")

    made = function(
        bed,
        kept("go", build, source / "main.go", source / "go.mod"),
        runtime="provided.al2023",
        handler="bootstrap",
    )
    request_id = str(uuid.uuid4())
    reply = await bed.invoke(made, b"{}", request_id=request_id)
    assert json.loads(reply.payload) == f"{request_id} {made.arn}"
    reply = await ask(bed, made, "large")
    assert (reply.error_type, len(reply.payload)) == (None, 6 * MIB)
    assert (await ask(bed, made, "stream")).payload == b"one two"
    assert (await ask(bed, made, "middle")).error_type
    # Passed on as it is made, to who asks for that.
    stream, reply = await streamed(bed, made, "stream")
    assert (stream.content_type, reply.payload) == ("application/octet-stream", b"")
    assert await read(stream) == b"one two"
    stream, reply = await streamed(bed, made, "page")
    assert stream.content_type == INTEGRATION
    prelude, _, body = (await read(stream)).partition(PRELUDE_END)
    assert prelude_head(prelude).status == 201
    assert ("set-cookie", "a=1") in prelude_head(prelude).headers
    assert body == b"one two"
    stream, reply = await streamed(bed, made, "middle")
    assert (await read(stream), bool(reply.error_type)) == (b"one two ", True)
    stream, reply = await streamed(bed, made, "hello")
    assert not stream.has_begun
    assert json.loads(reply.payload).endswith(made.arn)
    reply = await ask(bed, made, "error")
    assert json.loads(reply.payload) == {"errorMessage": "refused", "errorType": "errorString"}
    assert len(bed.pids) == 1
    document = json.loads((await ask(bed, made, "panic")).payload)
    assert (document["errorMessage"], document["errorType"]) == ("out of luck", "string")
    assert any(frame["label"] == "handle" for frame in document["stackTrace"])
    assert (await ask(bed, made, "stream")).payload == b"one two"


SAYS = """
def handler(event, context):
    print("at work")
    return "done"
"""


async def go_extension(bed: Bed) -> None:
    """An external one, by net/http and nothing else; it listens by Lambda's name for that."""
    need("go")
    source = SOURCES / "extension"

    def build(folder: Path) -> None:
        (folder / "extensions").mkdir()
        program = folder / "extensions" / "watcher"
        run(["go", "build", "-o", program, "."], source, CGO_ENABLED="0")

    built = kept("go-extension", build, source / "main.go", source / "go.mod")
    layers = shutil.copytree(built, bed.data / "layers")
    made = bed.function(SAYS, layers_path=str(layers))
    request_id = str(uuid.uuid4())
    reply = await bed.invoke(made, b"{}", request_id=request_id)
    assert (reply.error_type, reply.payload) == (None, b'"done"')

    await until(lambda: "heard platform.report" in log_of(bed))
    bed.pool.retire("f")
    await until(lambda: not bed.pids)
    lines = log_of(bed)
    assert '"functionName":"f"' in lines.partition("registered ")[2].partition("\n")[0]
    heard = ("platform.initStart", "platform.start", "function at work", "platform.runtimeDone")
    assert all(f"heard {what}" in lines for what in heard), lines
    assert f"told INVOKE {request_id}" in lines
    assert "told SHUTDOWN spindown" in lines


async def rust(bed: Bed) -> None:
    need("cargo")
    source = EXAMPLE / "rust"

    def build(folder: Path) -> None:
        target = folder / "cargo"
        run(["cargo", "build", "--quiet", "--release", "--target-dir", target], source)
        (target / "release" / "bootstrap").rename(folder / "bootstrap")
        shutil.rmtree(target)

    folder = kept("rust", build, source / "Cargo.toml", source / "src" / "main.rs")
    made = function(bed, folder, runtime="provided.al2023", handler="bootstrap")
    reply = await bed.invoke(made, b'{"name": "Ada"}')
    assert json.loads(reply.payload)["greeting"] == "Hello, Ada!"
    assert json.loads((await bed.invoke(made)).payload)["errorMessage"] == "nobody to greet"


NODE_SOURCE = """
exports.handler = async ({ case: name }) => {
  if (name === "large") return "x".repeat(6 * 1024 * 1024 - 2);
  if (name === "deep") { const dig = () => dig(); dig(); }
  if (name === "fail") throw new TypeError("refused");
  return name;
};
"""


async def node(bed: Bed) -> None:
    need("npm", "make", "g++", "cmake", "autoconf", "automake", "libtoolize", "python3")

    def build(folder: Path) -> None:
        run(["npm", "install", "--no-audit", "--no-fund", f"aws-lambda-ric@{NODE_CLIENT}"], folder)

    made = function(
        bed, kept(f"node-client-{NODE_CLIENT}", build), runtime="nodejs20.x", handler="app.handler"
    )
    Path(made.code_path, "app.js").write_text(NODE_SOURCE)
    reply = await ask(bed, made, "hello")
    assert (reply.error_type, reply.payload) == (None, b'"hello"')
    document = json.loads((await ask(bed, made, "fail")).payload)
    assert (document["errorType"], document["errorMessage"]) == ("TypeError", "refused")
    assert any("node_modules/aws-lambda-ric/" in frame for frame in document["trace"])
    assert len((await ask(bed, made, "large")).payload) == 6 * MIB
    document = json.loads((await ask(bed, made, "deep")).payload)
    assert document["errorMessage"] == "Maximum call stack size exceeded"
    assert len(bed.pids) == 1


CLIENTS = size((go, go_extension), (go, go_extension, rust, node))


@sized(300, 1_800)
@pytest.mark.parametrize("check", CLIENTS, ids=[check.__name__ for check in CLIENTS])
async def test_official_clients(bed, check):
    await check(bed)
