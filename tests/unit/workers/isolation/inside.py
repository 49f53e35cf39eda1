"""Runs code in a locked-in child, as a zygote would: `run(code, ...)` returns what it leaves."""

import json
import subprocess
from pathlib import Path

import router.workers.isolation
from router.workers.launcher import own_interpreter

FOLDER = Path(router.workers.isolation.__file__).parent

ZYGOTE = """
import importlib, json, os, sys, types
folder, host, plan, code = json.loads(sys.stdin.read())
package = types.ModuleType("_router_isolation")
package.__path__ = [folder]
sys.modules["_router_isolation"] = package
ladder = importlib.import_module("_router_isolation.ladder")
ladder.prepare(host)
extra = os.open("/dev/null", os.O_RDONLY)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    result = {}
    try:
        ladder.enter(plan, keep_fds=(0, 1, 2, write))
        exec(code, {"result": result, "os": os, "extra": extra, "plan": plan})
    except BaseException as error:
        result["error"] = f"{type(error).__name__}: {error}"
    os.write(write, json.dumps(result).encode())
    os._exit(0)
os.close(write)
with os.fdopen(read) as file:
    answer = file.read()
_, status = os.waitpid(pid, 0)
print(answer or json.dumps({"status": status}))
"""


def run(code, plan, host=None):
    """`code` sees `result` (a dict to fill), `os`, `plan` and `extra`, a descriptor not kept."""
    default = {"prefixes": [], "mounts": False, "user_namespace": False, "private_proc": False}
    message = json.dumps([str(FOLDER), default | (host or {}), plan, code])
    done = subprocess.run(
        [own_interpreter(), "-I", "-S", "-c", ZYGOTE],
        input=message,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def plan_for(base, *mechanisms, **more):
    """A plan for a function in `base/task` with `base/tmp`."""
    for name in ("task", "tmp"):
        (base / name).mkdir(exist_ok=True)
    task, tmp = str(base / "task"), str(base / "tmp")
    has_view = "mounts" in mechanisms
    inside = {"task": "/var/task", "opt": "/opt", "tmp": "/tmp", "runtime": "/var/runtime"}
    outside = {"task": task, "opt": "", "tmp": tmp, "runtime": ""}
    return {
        "mechanisms": list(mechanisms),
        "uid": None,
        "file_bytes_max": 1 << 20,
        "cgroup": [],
        "binds": [(task, "/var/task")],
        "cover": [],
        "read_only": [],
        "root": "",
        "hosts": "",
        "writable": [],
        "ports": None,
        "tmp": tmp,
        "paths": inside if has_view else outside,
        **more,
    }
