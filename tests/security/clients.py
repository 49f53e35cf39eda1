"""What a function can do to its Runtime API, besides what any bad function does.

Bodies of Python handlers under AWS's own client, which then goes on with what they made of it, and
of handlers for Node.js under the router's runtime. Body → error types that are right.
"""

from tests.unit.workers.bad_functions import EXIT, STOPPED_OR_LATE

PRELUDE = """
import contextlib, ctypes, http.client, json, os, signal, socket, struct, sys, threading, time
PATH = "/2018-06-01/runtime/"
def where():
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    return host, int(port)
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(*where(), timeout=30)
    connection.request(method, PATH + path, body, headers)
    return connection.getresponse().status
def raw():
    return socket.create_connection(where(), 5)
def begin(context, length, more=""):
    made = raw()
    made.sendall(
        f"POST {PATH}invocation/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n"
        f"{more}Content-Length: {length}\\r\\n\\r\\n{{".encode()
    )
    return made
def flood(act, end):
    def run():
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                act()
    threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
kept = []
def handler(event, context):
    mine = f"invocation/{context.aws_request_id}/"
    host, port = where()
    if event == "good":
        return "fine"
"""

FLOOD_S = 0.3

UNLESS_IN_ITS_OWN_WAY = (None, *STOPPED_OR_LATE)
"""A flood may keep the function's own answer from being heard."""

TRUNCATED = "Runtime.TruncatedResponse"

ANSWERS: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "answers before it returns": (
        "assert call('POST', mine + 'response', b'\"fine\"') == 202; return 'again'",
        (None,),
    ),
    "answers what was not asked": (
        (
            "for other in ('0', context.aws_request_id[:-1], '../' + context.aws_request_id):\n"
            "        assert call('POST', f'invocation/{other}/response', b'1') in (400, 404)\n"
            "    return 1"
        ),
        (None,),
    ),
    "asks while it has an event": ("assert call('GET', 'invocation/next') == 200", (None,)),
    "reports a failed start in an invocation": (
        "assert call('POST', 'init/error', b'{}') == 403",
        (None,),
    ),
    "answers when its time is over": (
        (
            "if os.fork() == 0:\n"
            "        os.setsid()\n        time.sleep(1.2)\n"
            "        call('POST', mine + 'response', b'\"late\"')\n        os._exit(0)\n"
            "    time.sleep(45)"
        ),
        ("Sandbox.Timedout",),
    ),
    "never ends its answer": (
        ("made = begin(context, 999)\n    while True: made.send(b'x'); time.sleep(0.05)"),
        ("Sandbox.Timedout", EXIT),
    ),
    "closes one half in an answer": (
        "made = begin(context, 999); made.shutdown(socket.SHUT_WR); time.sleep(45)",
        (TRUNCATED,),
    ),
    "resets in an answer": (
        (
            "made = begin(context, 999)\n"
            "    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
            "    time.sleep(0.2); made.close(); time.sleep(2); os._exit(1)"
        ),
        (TRUNCATED, EXIT),  # gone before it was looked at: nobody knows who it was
    ),
    "an answer of 40 MB in chunks": (
        (
            "made = raw()\n"
            "    made.sendall(f'POST {PATH}{mine}response HTTP/1.1\\r\\nHost: x\\r\\n'.encode())\n"
            "    made.sendall(b'Transfer-Encoding: chunked\\r\\n\\r\\n')\n"
            "    for _ in range(40): made.sendall(b'f4240\\r\\n' + b'x' * 1_000_000 + b'\\r\\n')\n"
            "    made.sendall(b'0\\r\\n\\r\\n'); made.recv(99)"
        ),
        ("Function.ResponseSizeTooLarge",),
    ),
    "an error with a cause of a megabyte": (
        (
            "many = {'Lambda-Runtime-Function-XRay-Error-Cause': 'x' * 1_000_000}\n"
            "    assert call('POST', mine + 'error', b'{\"errorType\": \"Odd\"}', many) == 202"
        ),
        ("Odd",),
    ),
    "closes all its descriptors": (
        "os.closerange(0, 1024); time.sleep(45)",
        ("Sandbox.Timedout",),
    ),
}

FLOODS = {
    "thousands of connections": (
        "made = socket.socket(); made.setblocking(False); made.connect_ex((host, port))\n"
        "        kept.append(made) if len(kept) < 900 else kept.clear()"
    ),
    "connections opened and closed": "raw().close()",
    "heads that never end": (
        "made = raw(); kept.append(made)\n        made.sendall(b'GET /' + b'x' * 3_000_000)"
    ),
    "one byte at a time": (
        "made = raw()\n"
        "        for byte in b'GET / HTTP/1.1\\r\\nHost: x\\r\\nA: ' + b'y' * 3000:\n"
        "            made.send(bytes([byte]))"
    ),
    "bodies nobody wants": (
        "made = raw()\n"
        "        made.sendall(f'POST {PATH}invocation/none/response HTTP/1.1\\r\\n'.encode())\n"
        "        made.sendall(b'Host: x\\r\\nContent-Length: 900000000\\r\\n\\r\\n')\n"
        "        for _ in range(300): made.sendall(bytes(1_000_000))"
    ),
    "small requests whose answers it never reads": (
        "made = raw()\n"
        "        ping = b'GET /2018-06-01/ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'\n"
        "        for _ in range(300): made.sendall(ping * 1000)"
    ),
    "asks for the same event without reading it": (
        "made = raw()\n"
        "        for _ in range(300):\n"
        "            made.sendall(f'GET {PATH}invocation/next HTTP/1.1\\r\\n\\r\\n'.encode() * 99)"
    ),
    "tiny chunks": (
        "made = raw()\n"
        "        made.sendall(f'POST {PATH}init/error HTTP/1.1\\r\\nHost: x\\r\\n'.encode())\n"
        "        made.sendall(b'Transfer-Encoding: chunked\\r\\n\\r\\n')\n"
        "        made.sendall(b'1\\r\\nx\\r\\n' * 100_000)"
    ),
    "very many headers": (
        "made = raw()\n        made.sendall(b'GET / HTTP/1.1\\r\\n' + b'A: b\\r\\n' * 100_000)"
    ),
    "half closed": (
        "made = raw(); made.sendall(b'GET /'); made.shutdown(socket.SHUT_WR); kept.append(made)\n"
        "        if len(kept) > 900: kept.clear()"
    ),
}
"""What two threads do over and over while an invocation runs."""

PYTHON = ANSWERS | {
    name: (
        (
            f"def act():\n        {act}\n"
            f"    flood(act, time.monotonic() + {FLOOD_S}); kept.clear(); return 1"
        ),
        UNLESS_IN_ITS_OWN_WAY,
    )
    for name, act in FLOODS.items()
}

NODE_PRELUDE = """
const fs = require("fs"), http = require("http"), os = require("os");
const { spawn } = require("child_process"), { Worker } = require("worker_threads");
const api = "http://" + process.env.AWS_LAMBDA_RUNTIME_API + "/2018-06-01/runtime/";
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const call = (method, path, body) => new Promise((resolve, reject) => {
  const asked = http.request(api + path, { method, agent: false }, (answer) => {
    answer.resume();
    answer.on("end", () => resolve(answer.statusCode));
  });
  asked.on("error", reject);
  asked.end(body);
});
exports.handler = async (event, context) => {
  if (event === "good") return "fine";
"""

NODE: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "infinite loop": ("while (true) {}", ("Sandbox.Timedout",)),
    "microtasks without end": (
        "const spin = () => Promise.resolve().then(spin); await spin();",
        ("Sandbox.Timedout",),
    ),
    "process.exit": ("process.exit(0);", (EXIT,)),
    "process.abort": ("process.abort();", (EXIT,)),
    "kills itself": ("process.kill(process.pid, 'SIGKILL'); await pause(45000);", (EXIT,)),
    "kills its parent": (
        "process.kill(process.ppid, 'SIGKILL'); await pause(45000);",
        (EXIT, "EPERM", "ESRCH", "Error"),
    ),
    "an exception nobody caught": (
        "setTimeout(() => { throw new Error('late'); }, 1); await pause(45000);",
        ("Runtime.UncaughtException", "Error"),
    ),
    "too much on the heap": (
        "const kept = []; while (true) kept.push(new Array(100000).fill(kept.length + 0.5));",
        (EXIT, "Runtime.OutOfMemory"),
    ),
    "too much beside the heap": (
        (
            "const kept = []; for (let n = 0; n < 128; n++) kept.push(Buffer.alloc(1 << 24, 1));"
            " await pause(45000);"
        ),
        ("Runtime.OutOfMemory",),
    ),
    "workers that never end": (
        "for (let n = 0; n < 4; n++) new Worker('while (true) {}', { eval: true }); return 1;",
        (None,),
    ),
    "leaves processes": (
        (
            "for (let n = 0; n < 5; n++)"
            " spawn('/bin/sleep', ['60'], { detached: true, stdio: 'ignore' }).unref();"
            " await pause(100); process.exit(1);"
        ),
        (EXIT,),
    ),
    "answers before it returns": (
        (
            "if (await call('POST', `invocation/${context.awsRequestId}/response`, '1') !== 202)"
            " throw new Error('refused'); return 'again';"
        ),
        (None,),
    ),
    "answers what was not asked": (
        (
            "if (await call('POST', 'invocation/0/response', '1') !== 400)"
            " throw new Error('let in'); return 1;"
        ),
        (None,),
    ),
    "closes its descriptors": (
        (
            "for (let fd = 0; fd < 64; fd++) { try { fs.closeSync(fd); } catch {} }"
            " await pause(45000);"
        ),
        STOPPED_OR_LATE,
    ),
    "breaks what its runtime needs": (
        (
            "JSON.stringify = undefined; Buffer.from = undefined; Promise.prototype.then = null;"
            " Object.prototype.toString = null; return 1;"
        ),
        (None, "TypeError", "Runtime.UnhandledPromiseRejection", *STOPPED_OR_LATE),
    ),
    "100 MB of output": (
        "for (let n = 0; n < 1000; n++) process.stdout.write('x'.repeat(99999) + '\\n'); return 1;",
        (None, "Sandbox.Timedout", "Runtime.OutOfMemory"),
    ),
}
