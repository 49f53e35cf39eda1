"""One handler, three ways to run it.

On the fast path, by the code of the fast path asking the Runtime API (as with extensions), and by
AWS's own client. Whatever a handler can see and whatever its caller gets must be the same. Where
they differ ours are wrong: the last one is AWS's code.
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


def name_the_api(function: FunctionVersion) -> FunctionVersion:
    """The function with a file that might be an extension within it: it asks the Runtime API."""
    Path(function.code_path, "mention.py").write_text("# AWS_LAMBDA_RUNTIME_API\n")
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


class Ways:
    """The same function on every path, AWS's last."""

    def __init__(self, bed: Bed, source: str, **fields: object) -> None:
        fields = {"timeout_ms": int(PATIENCE_S * 1_000), "memory_mb": 512} | fields
        self._bed = bed
        self.functions = (
            bed.function(source, **fields),
            name_the_api(bed.function(source, **fields)),
            give_client(bed.function(source, **fields)),
        )

    async def replies(
        self, *payloads: bytes, **fields: object
    ) -> Iterator[tuple[InvokeReply, InvokeReply, InvokeReply]]:
        """What all answer to one event after another."""
        answered = [
            [await self._bed.invoke(function, payload, **fields) for payload in payloads]
            for function in self.functions
        ]
        return zip(*answered, strict=True)

    async def compare(self, *payloads: bytes, **fields: object) -> list[dict[str, object]]:
        """The same is seen of all."""
        found = []
        for fast, asking, client in await self.replies(*payloads, **fields):
            assert seen(fast) == seen(client)
            assert seen(asking) == seen(client)
            found.append(seen(fast))
        return found

    async def results(self, name: str, **fields: object) -> list[Any]:
        """What all return, for what may differ in a known way."""
        (replies,) = await self.replies(do(name), **fields)
        assert [reply.error_type for reply in replies] == [None] * 3, replies
        return [json.loads(masked(reply.payload.decode())) for reply in replies]


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
def ways(bed: Bed) -> Ways:
    return Ways(bed, HANDLER)


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
    ways = Ways(bed, HANDLER, runtime=runtime)
    events = [b"{}", b"[1, 2.50, null]", b'"caf\xc3\xa9"', b"0", b"1e400", b"9" * 40, b"-0.0"]
    await ways.compare(*events, *map(do, RESULTS))


@pytest.mark.parametrize("runtime", ["python3.11", "python3.12"])
async def test_errors(bed: Bed, runtime: str):
    ways = Ways(bed, HANDLER, runtime=runtime)
    for found in await ways.compare(*map(do, ERRORS)):
        assert found["error_type"] is not None


async def test_a_result_of_six_megabytes_and_one_byte_more(ways: Ways):
    most = 6 * 1024 * 1024 + 100
    (whole,) = await ways.compare(do("size", size=most))
    assert whole["error_type"] is None
    # Less the log: what the client says of a refused answer comes once the invocation is over.
    (replies,) = await ways.replies(do("size", size=most + 1))
    for reply in replies:
        assert reply.error_type == "Function.ResponseSizeTooLarge"
        assert reply.payload == replies[-1].payload


async def test_bytes_pass_as_they_are(ways: Ways):
    (replies,) = await ways.replies(do("bytes"))
    assert [reply.payload for reply in replies] == [b"raw \xff bytes"] * 3


async def test_output(ways: Ways):
    await ways.compare(*map(do, ("print", "log", "bad_log", "context_log", "root_level", "raise")))


async def test_context(ways: Ways):
    fast, asking, client = await ways.results("context")
    assert fast == asking == client
    context = b'{"custom":{"a":1},"env":{"b":"2"},"client":{"app_title":"t","other":1},"w3c":'
    for w3c in (b'{"traceparent":"00-1","other":"x","baggage":7}', b"7", b"null", b"{}"):
        fast, asking, client = await ways.results("context", client_context=context + w3c + b"}")
        assert fast == asking == client
    await ways.compare(do("context"), client_context=b"not JSON")
    for odd in (b"{}", b"null", b'{"client":{}}', b'{"custom":7}'):
        await ways.compare(do("client_context"), client_context=odd)


async def test_trace(ways: Ways):
    for trace in ("Root=1-2-3;Sampled=1", None):
        assert await ways.results("trace", trace_id=trace) == [trace] * 3


async def test_variables(ways: Ways):
    fast, asking, client = await ways.results("environment")
    for variables in (asking, client):
        assert variables.pop("AWS_LAMBDA_RUNTIME_API")  # nobody to ask on the fast path
    for variables in (fast, asking, client):
        variables.pop("LC_CTYPE", None)  # a new interpreter sets it where the locale is missing
        variables.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert fast == asking == client


@pytest.mark.parametrize("name", ["place", "process", "logging"])
async def test_surroundings(ways: Ways, name: str):
    fast, asking, client = await ways.results(name)
    assert fast == asking == client


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
    ways = Ways(bed, HANDLER, runtime="python3.12")  # which cannot write half a surrogate pair
    events = [do("count"), *(event for end in ENDS for event in (end, do("count")))]
    for replies, event in zip(await ways.replies(*events), events, strict=True):
        for reply in replies:
            assert masked(reply.payload.decode()) == masked(replies[-1].payload.decode()), event
            assert reply.error_type == replies[-1].error_type, event
            assert (reply.error_type is None) == (event == do("count"))


async def test_timeout(bed: Bed):
    ways = Ways(bed, HANDLER, timeout_ms=3_000)
    count, slow, again = await ways.compare(do("count"), do("sleep", s=30), do("count"))
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
    ways = Ways(bed, source, handler=handler)
    for function in ways.functions:
        folder = Path(function.code_path)
        (folder / "broken.py").write_text("x = = 1\n")
        (folder / "other.py").write_text("import nowhere_to_be_found\n")
        (folder / "folder").mkdir()
        (folder / "folder" / "inner.py").write_text(INNER)
    if "exit" in name or "base" in name:  # the traceback on stderr shows whose code runs below
        (replies,) = await ways.replies(b"{}")
        for reply in replies:
            assert masked(reply.payload.decode()) == masked(replies[-1].payload.decode())
            assert reply.error_type == replies[-1].error_type
    else:
        await ways.compare(b"{}")
