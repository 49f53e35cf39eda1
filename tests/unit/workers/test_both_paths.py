"""One handler, two ways to run it: the fast path and AWS's own client on the Runtime API.

Whatever a handler can see and whatever its caller gets must be the same. Where the two differ the
fast path is wrong: the other one is AWS's code.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.model.function import FunctionVersion, InvokeReply
from tests.patience import PATIENCE_S
from tests.unit.workers.aws_client import put_client

from .conftest import Bed

pytestmark = pytest.mark.slow

WARNING = re.compile(r"\[WARNING\]\t<time>\t\tLAMBDA_WARNING: .*\n\n")
REPEATED = re.compile(r"repeated \d+ more")
FOLDER = re.compile(r"/\S*/code/[0-9a-f]{32}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STREAM = re.compile(r"[0-9a-f]{32}")
REPORT = re.compile(r"\t(Duration|Billed Duration|Max Memory Used|Init Duration): [\d.]+ ")
INIT = re.compile(r"Init Duration: [\d.]+ ms")
ADDRESS = re.compile(r"0x[0-9a-f]+")
FRAME_LINE = re.compile(r'(File "<frozen [\w.]+>"), line \d+')


def give_client(function: FunctionVersion) -> FunctionVersion:
    """The function with AWS's client in its folder, as a function that brings its own."""
    put_client(Path(function.code_path))
    return function


def masked(text: str) -> str:
    text = UUID.sub("<uuid>", TIME.sub("<time>", text))
    text = FOLDER.sub("/var/task", text)
    text = REPEATED.sub("repeated <n> more", text)
    text = STREAM.sub("<stream>", REPORT.sub(r"\t\1: <n> ", ADDRESS.sub("<address>", text)))
    return FRAME_LINE.sub(r"\1, line <n>", INIT.sub("Init Duration: <n> ms", text))


def without_warning(log: str) -> str:
    """Less the line about updates of the runtime, which a router has none of."""
    return WARNING.sub("", log)


def seen(reply: InvokeReply) -> dict[str, object]:
    """What a caller gets, without what differs from run to run."""
    return {
        "payload": masked(reply.payload.decode()),
        "error_type": reply.error_type,
        "log": without_warning(masked(reply.log_tail.decode())),
        "is_cold": reply.init_ms is not None,
    }


class Pair:
    """The same function on both paths."""

    def __init__(self, bed: Bed, source: str, **fields: object) -> None:
        fields = {"timeout_ms": int(PATIENCE_S * 1_000), "memory_mb": 512} | fields
        self._bed = bed
        self.fast = bed.function(source, **fields)
        self.client = give_client(bed.function(source, **fields))

    async def replies(
        self, *payloads: bytes, **fields: object
    ) -> Iterator[tuple[InvokeReply, InvokeReply]]:
        """What both answer to one event after another."""
        fast = [await self._bed.invoke(self.fast, payload, **fields) for payload in payloads]
        client = [await self._bed.invoke(self.client, payload, **fields) for payload in payloads]
        return zip(fast, client, strict=True)

    async def compare(self, *payloads: bytes, **fields: object) -> list[dict[str, object]]:
        """The same is seen of both."""
        found = []
        for fast, client in await self.replies(*payloads, **fields):
            assert seen(fast) == seen(client)
            found.append(seen(fast))
        return found

    async def results(self, name: str, **fields: object) -> tuple[Any, Any]:
        """What both return, for what may differ in a known way."""
        ((fast, client),) = await self.replies(do(name), **fields)
        assert (fast.error_type, client.error_type) == (None, None), (fast, client)
        return json.loads(masked(fast.payload.decode())), json.loads(
            masked(client.payload.decode())
        )


def do(name: str, **extra: object) -> bytes:
    return json.dumps({"do": name, **extra}).encode()


HANDLER = r"""
import collections, decimal, enum, json, logging, os, sys, time, typing

class Odd(Exception):
    pass

class Unprintable(Exception):
    def __str__(self): raise ValueError("no")

def deep(n): return deep(n + 1)

def boom(text):
    raise ValueError(text)

def chained():
    try:
        boom("first")
    except ValueError as error:
        raise Odd("second") from error

def handler(event, context):
    what = event.get("do") if isinstance(event, dict) else None
    if what is None:
        return event
    return globals()["do_" + what](event, context)

def do_raise(event, context): boom(event.get("text", "nope"))
def do_chain(event, context): chained()
def do_odd(event, context): raise Odd({"a": 1}, 2)
def do_empty(event, context): raise Odd
def do_lines(event, context): raise Odd("two\nlines\r\nand more")
def do_unicode(event, context): raise Odd("caf\u00e9 \u2028 \U0001f600")
def do_unprintable(event, context): raise Unprintable()
def do_recursion(event, context): deep(0)
def do_assert(event, context): assert event is None, "told so"
def do_key(event, context): return {}["missing"]
def do_group(event, context): raise ExceptionGroup("many", [ValueError(1), TypeError(2)])
def do_compile(event, context): exec("x = = 1")
class Named(typing.NamedTuple):
    a: int
    b: object

class Colour(enum.IntEnum):
    RED = 1

class Text(str): pass
class Number(int): pass
class Many(list): pass
class Pairs(dict): pass
class Real(float): pass

def do_bytes_inside(event, context): return {"a": [b"caf\xc3\xa9"]}
def do_not_json(event, context): return {"a": b"\xff"}
def do_bytes_key(event, context): return {b"a": 1}
def do_named(event, context): return [Named(1, Named(2, (3,))), {"a": Named(1, b"x")}]
def do_enum(event, context): return {"a": Colour.RED, Colour.RED: [Colour.RED]}
def do_subclasses(event, context):
    return [Text("a"), Number(2), Many([1]), Pairs(a=Real(1.5)), collections.OrderedDict(a=1), True]
def do_separators(event, context): return "\u2028 \u2029 \x7f / < > & \x00 \" \\"
def do_lone_decimal(event, context): return [decimal.Decimal(n) for n in ("1E+3", "-0", "Infinity")]
def do_floats(event, context): return [1.0, 1e16, 1e-7, 123456789.123456789, -0.0, 5e-324]
def do_dates(event, context): return __import__("datetime").datetime(2026, 1, 1)
def do_import(event, context): import nowhere_to_be_found
def do_json(event, context): json.loads("{")
def do_blank(event, context): raise Odd("   ")
def do_nameless(event, context): eval("1/0")
def do_local(event, context):
    class Local(Exception): pass
    raise Local("x")
def do_set(event, context): return {1, 2}
def do_bytes(event, context): return b"raw \xff bytes"
def do_none(event, context): return None
def do_string(event, context): return "caf\u00e9 \U0001f600"
def do_big(event, context): return 2 ** 200
def do_nan(event, context): return [float("nan"), float("inf"), -float("inf"), 1e400, 0.1 + 0.2]
def do_surrogate(event, context): return "\ud800"
def do_keys(event, context): return {1: 1, None: 2, True: 3, 1.5: 4}
def do_tuple_key(event, context): return {(1, 2): 3}
def do_decimal(event, context): return {"d": decimal.Decimal("1.10"), "n": decimal.Decimal("NaN")}
def do_tuple(event, context): return (1, (2, 3))
def do_circular(event, context):
    found = []
    found.append(found)
    return found
def do_nested(event, context):
    found = []
    for _ in range(100000): found = [found]
    return found
def do_size(event, context): return "x" * (event["size"] - 2)
def do_generator(event, context): return (n for n in range(3))
def do_print(event, context):
    print("one"); print("two\nthree"); print("no newline", end=""); sys.stdout.flush()
    print("err", file=sys.stderr)
def do_log(event, context):
    logging.getLogger().setLevel("DEBUG")
    logging.info("info %s", 1)
    logging.getLogger("named").warning("two\nlines")
    logging.debug("extra", extra={"a": 1})
    try: boom("logged")
    except ValueError: logging.exception("caught")
    logging.getLogger().setLevel("WARNING")
    logging.info("not seen")
def do_bad_log(event, context):
    try:
        logging.getLogger().warning("%d", "x")
    except Exception as error:
        return repr(error)
def do_root_level(event, context):
    logging.getLogger().setLevel("INFO")
    logging.getLogger("botocore").info("seen %s", {"a": 1})
    logging.critical(""); logging.error("tab\tcr\rend")
def do_trace(event, context): return os.environ.get("_X_AMZN_TRACE_ID")
def do_client_context(event, context):
    found = context.client_context
    return None if found is None else repr(found)
def do_context_log(event, context):
    context.log("a"); context.log("b\n"); context.log(3)
def do_context(event, context):
    shown = {name: str(getattr(context, name)) for name in dir(context)
             if not name.startswith("_") and not callable(getattr(context, name))}
    return {
        "shown": shown, "type": type(context).__name__, "text": repr(context),
        "left": 0 < context.get_remaining_time_in_millis() <= 60000,
        "w3c": context.w3c() if hasattr(context, "w3c") else None,
        "callable": sorted(name for name in dir(context)
                           if not name.startswith("_") and callable(getattr(context, name))),
        "identity": repr(context.identity),
        "client": repr(context.client_context) if context.client_context is None else {
            "custom": context.client_context.custom, "env": context.client_context.env,
            "client": repr(context.client_context.client), "text": repr(context.client_context),
            "names": list(type(context.client_context).__slots__)},
    }
def do_environment(event, context): return dict(os.environ)
def do_place(event, context):
    return {"cwd": os.getcwd(), "path": sys.path[:3], "name": __name__,
            "file": __file__, "main": bool(getattr(sys.modules.get("__main__"), "__file__", None)),
            "encoding": [sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding()],
            "recursion": sys.getrecursionlimit(),
            "switch": sys.getswitchinterval(), "locale": __import__("locale").getlocale()}
def do_process(event, context):
    import signal, resource, threading
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)
    return {"stdin": os.read(0, 10).decode(), "threads": threading.active_count(),
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "umask": os.umask(0o022),
            "signals": [str(signal.getsignal(number)) for number in numbers],
            "leader": os.getpid() == os.getpgrp()}
def do_logging(event, context):
    root = logging.getLogger()
    return {"level": root.level, "handlers": [type(h).__name__ for h in root.handlers],
            "gmtime": logging.Formatter.converter.__name__,
            "filters": [[type(f).__name__ for f in h.filters] for h in root.handlers],
            "format": [h.formatter._fmt for h in root.handlers],
            "dates": [h.formatter.datefmt for h in root.handlers],
            "converter": [h.formatter.converter.__name__ for h in root.handlers]}
def do_count(event, context):
    global counted
    counted = globals().get("counted", 0) + 1
    path = os.environ.get("TMPDIR", "/tmp") + "/counted"
    with open(path, "a+") as file:
        file.write("x")
    return [counted, os.path.getsize(path)]
def do_exit(event, context): sys.exit(event["status"])
def do_os_exit(event, context): os._exit(event["status"])
def do_kill(event, context): os.kill(os.getpid(), event["signal"])
def do_sleep(event, context): time.sleep(event["s"])
def do_generator_exit(event, context): raise GeneratorExit
def do_interrupt(event, context): raise KeyboardInterrupt("ctrl")
"""


@pytest.fixture
def pair(bed: Bed) -> Pair:
    return Pair(bed, HANDLER)


RESULTS = (
    *("none", "string", "big", "nan", "keys", "tuple_key", "decimal", "tuple"),
    *("circular", "nested", "generator", "set", "bytes_inside", "bytes_key", "named", "enum"),
    *("subclasses", "separators", "lone_decimal", "floats", "dates", "not_json"),
)
ERRORS = (
    *("raise", "chain", "odd", "empty", "lines", "unicode", "recursion", "assert", "key"),
    *("group", "compile", "import", "json", "blank", "nameless", "local"),
)


@pytest.mark.parametrize("runtime", ["python3.11", "python3.12"])
async def test_results(bed: Bed, runtime: str):
    pair = Pair(bed, HANDLER, runtime=runtime)
    events = [b"{}", b"[1, 2.50, null]", b'"caf\xc3\xa9"', b"0", b"1e400", b"9" * 40, b"-0.0"]
    await pair.compare(*events, *map(do, RESULTS))


@pytest.mark.parametrize("runtime", ["python3.11", "python3.12"])
async def test_errors(bed: Bed, runtime: str):
    pair = Pair(bed, HANDLER, runtime=runtime)
    for found in await pair.compare(*map(do, ERRORS)):
        assert found["error_type"] is not None


async def test_a_result_of_six_megabytes_and_one_byte_more(pair: Pair):
    most = 6 * 1024 * 1024 + 100
    (whole,) = await pair.compare(do("size", size=most))
    assert whole["error_type"] is None
    # Less the log: what the client says of a refused answer comes once the invocation is over.
    ((fast, client),) = await pair.replies(do("size", size=most + 1))
    assert fast.error_type == client.error_type == "Function.ResponseSizeTooLarge"
    assert fast.payload == client.payload


async def test_bytes_pass_as_they_are(pair: Pair):
    ((fast, client),) = await pair.replies(do("bytes"))
    assert fast.payload == client.payload == b"raw \xff bytes"


async def test_output(pair: Pair):
    await pair.compare(*map(do, ("print", "log", "bad_log", "context_log", "root_level", "raise")))


async def test_context(pair: Pair):
    fast, client = await pair.results("context")
    assert fast == client
    context = b'{"custom":{"a":1},"env":{"b":"2"},"client":{"app_title":"t","other":1},"w3c":'
    for w3c in (b'{"traceparent":"00-1","other":"x","baggage":7}', b"7", b"null", b"{}"):
        fast, client = await pair.results("context", client_context=context + w3c + b"}")
        assert fast == client
    await pair.compare(do("context"), client_context=b"not JSON")
    for odd in (b"{}", b"null", b'{"client":{}}', b'{"custom":7}'):
        await pair.compare(do("client_context"), client_context=odd)


async def test_trace(pair: Pair):
    for trace in ("Root=1-2-3;Sampled=1", None):
        fast, client = await pair.results("trace", trace_id=trace)
        assert fast == client == trace


async def test_variables(pair: Pair):
    fast, client = await pair.results("environment")
    assert client.pop("AWS_LAMBDA_RUNTIME_API")  # nobody to ask on the fast path
    for variables in (fast, client):
        variables.pop("LC_CTYPE", None)  # a new interpreter sets it where the locale is missing
        variables.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert fast == client


@pytest.mark.parametrize("name", ["place", "process", "logging"])
async def test_surroundings(pair: Pair, name: str):
    fast, client = await pair.results(name)
    assert fast == client


ENDS = (
    *(do("exit", status=status) for status in (0, 1, 3, 300, -1, None, "told so")),
    *(do("os_exit", status=status) for status in (0, 1, 127)),
    *(do("kill", signal=number) for number in (9, 11, 15)),
    do("interrupt"),
    do("unprintable"),
    do("surrogate"),
    do("generator_exit"),
)


async def test_ends(bed: Bed):
    """Each but the first finds a new environment: globals are gone, files are kept."""
    pair = Pair(bed, HANDLER, runtime="python3.12")  # which cannot write half a surrogate pair
    events = [do("count"), *(event for end in ENDS for event in (end, do("count")))]
    for (fast, client), event in zip(await pair.replies(*events), events, strict=True):
        assert masked(fast.payload.decode()) == masked(client.payload.decode()), event
        assert fast.error_type == client.error_type
        assert (fast.error_type is None) == (event == do("count"))


async def test_timeout(bed: Bed):
    pair = Pair(bed, HANDLER, timeout_ms=3_000)
    count, slow, again = await pair.compare(do("count"), do("sleep", s=30), do("count"))
    assert slow["error_type"] == "Sandbox.Timedout"
    assert (count["payload"], again["payload"], again["is_cold"]) == ("[1, 1]", "[1, 2]", True)


BROKEN = {
    "import failure": ("app.handler", "import nowhere_to_be_found\n"),
    "inner import failure": ("app.handler", "import other\n"),
    "no module": ("nothing.handler", ""),
    "handler missing": ("app.nothing", ""),
    "no dot": ("handler", ""),
    "syntax error": ("app.handler", "def handler(:\n    pass\n"),
    "inner syntax error": ("app.handler", "import broken\n"),
    "built-in": ("sys.handler", ""),
    "raises": ("app.handler", "def deep():\n    raise ValueError('at once')\ndeep()\n"),
    "base exception": ("app.handler", "raise KeyboardInterrupt\n"),
    "exits": ("app.handler", "import sys\nsys.exit(4)\n"),
    "exits well": ("app.handler", "import sys\nsys.exit(0)\n"),
    "empty handler": (".", ""),
    "slashes": ("folder/inner.handler", ""),
    "dots": ("folder.inner.handler", ""),
    "recursion": ("app.handler", "def f(): f()\nf()\n"),
    "unicode": ("app.handler", "raise ValueError('caf\\u00e9\\nmore')\n"),
    "prints": ("app.handler", "print('at start')\nimport logging\nlogging.error('x')\n1/0\n"),
}
INNER = "def handler(event, context): return __name__\n"


@pytest.mark.parametrize("name", BROKEN)
async def test_beginnings(bed: Bed, name: str):
    handler, source = BROKEN[name]
    pair = Pair(bed, source, handler=handler)
    for function in (pair.fast, pair.client):
        folder = Path(function.code_path)
        (folder / "broken.py").write_text("x = = 1\n")
        (folder / "other.py").write_text("import nowhere_to_be_found\n")
        (folder / "folder").mkdir()
        (folder / "folder" / "inner.py").write_text(INNER)
    if "exit" in name or "base" in name:  # the traceback on stderr shows whose code runs below
        ((fast, client),) = await pair.replies(b"{}")
        assert masked(fast.payload.decode()) == masked(client.payload.decode())
        assert fast.error_type == client.error_type
    else:
        await pair.compare(b"{}")
