"""READY: from a router's start to its `/ready`, beside a bare import of the same dependencies.

The router is the embedded one with a webhook, a function and a mapping, in its own process and the
ingress process's, from a template without the SAM transform. The baseline is a Python that imports
all the modules such a router has loaded but its own: what nobody who uses them can do without.

READY          wall time from exec to 200 on `/ready`, by 1 s
READY_cpu      CPU of the router's process until then, by the baseline's whole
READY_refused  wall time from exec to status 2 of the slowest of starts that are refused: a wrong
               setting, a broken template, a missing secret, a taken port, a folder in use; by 1 s
READY_rest     memory of the router at rest and all its processes (PSS), by 60 MB and 3 MB more
               for each of nine warm functions
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.cputime import cpu_s
from tests.ports import lasting_port

ROOT = Path(__file__).parents[2]
ROUNDS = 7
FUNCTIONS = 9
READY_S_MAX = 1.0
CPU_GOAL = 3.0
REST_MB = 60.0
WARM_MB = 3.0
WAIT_S = 120.0
REST_S = 3.0
"""After this time a router that started is at rest."""

HEAD = """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Hook:
    Type: Router::Webhook
    Properties:
      Path: /in
      Signature: {Scheme: github, Secret: "{{resolve:secretsmanager:bench}}"}
  Feed:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: !GetAtt Hook.Arn, FunctionName: !Ref F0}
"""
FUNCTION = """  F{number}:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: f{number}
      Role: arn:aws:iam::000000000000:role/r
      Code: {{ZipFile: "def handler(event, context): return 1"}}
      Handler: index.handler
      Runtime: python3.11
"""

LOADED = """
import sys
import router.cli.run, router.app.router, router.template.load
print(*(name for name in sys.modules if not name.startswith(("router", "__main__"))))
"""
IMPORT = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
"""


def run(*, is_quick: bool = False) -> dict:
    """All three."""
    rounds, functions = (1, 1) if is_quick else (ROUNDS, FUNCTIONS)
    loaded = subprocess.check_output([sys.executable, "-c", LOADED], cwd=ROOT, text=True).split()
    imports, starts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + (not is_quick)):
            imports.append(import_all(loaded))
            with router(Path(folder), f"start-{number}", 1) as (pid, began_s, _api, ops):
                until_ready(ops)
                starts.append((time.monotonic() - began_s, cpu_s(pid)))
        imports, starts = imports[-rounds:], starts[-rounds:]
        refused = refusals(Path(folder), rounds)
        rest = at_rest(Path(folder), functions, 0.1 if is_quick else REST_S)
    wall_s = [wall for wall, _cpu in starts]
    own_cpu_s, bare_cpu_s = [cpu for _wall, cpu in starts], [cpu for _wall, cpu in imports]
    bare_s = [wall for wall, _cpu in imports]
    is_steady = max(bare_cpu_s) <= 2 * min(bare_cpu_s)
    cpu = statistics.median(own_cpu_s) / statistics.median(bare_cpu_s)
    wall = statistics.median(wall_s) / READY_S_MAX
    return {
        "READY": {
            "ratio": round(wall, 3),
            "goal": 1,
            "ok": wall <= 1,
            "ok_best": min(wall_s) <= READY_S_MAX,
            "is_steady": is_steady,
            "import_s": round(statistics.median(bare_s), 3),
            "ready_s": round(statistics.median(wall_s), 3),
            "best": [round(min(bare_s), 3), round(min(wall_s), 3)],
        },
        "READY_cpu": {
            "ratio": round(cpu, 3),
            "goal": CPU_GOAL,
            "ok": cpu <= CPU_GOAL,
            "is_steady": is_steady,
            "import_cpu_s": round(statistics.median(bare_cpu_s), 3),
            "ready_cpu_s": round(statistics.median(own_cpu_s), 3),
        },
        "READY_refused": refused | {"is_steady": is_steady},
        "READY_rest": rest,
    }


def import_all(names: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a Python that imports all of it."""
    began_s = time.monotonic()
    before = os.times()
    subprocess.run([sys.executable, "-c", IMPORT, *names], cwd=ROOT, check=True)
    after = os.times()
    spent_s = after.children_user - before.children_user
    spent_s += after.children_system - before.children_system
    return time.monotonic() - began_s, spent_s


def refusals(folder: Path, rounds: int) -> dict:
    """How long starts take that end with status 2."""
    place = folder / "refused"
    place.mkdir()
    good, broken = place / "template.yaml", place / "broken.yaml"
    good.write_text(HEAD + FUNCTION.format(number=0))
    broken.write_text(good.read_text().replace("Scheme: github", "Scheme: githup"))
    found: dict[str, list[float]] = {}
    with router(folder, "holder", 1) as (_pid, _began_s, api, ops):
        until_ready(ops)
        cases = {
            "setting": (["--api", "nowhere"], good, "s"),
            "template": ([], broken, "s"),
            "secret": ([], good, ""),
            "port": (["--api", api.removeprefix("http://")], good, "s"),
            "folder": (["--data", str(folder / "holder" / "data")], good, "s"),
        }
        for _ in range(rounds):
            for name, (more, template, secret) in cases.items():
                found.setdefault(name, []).append(refusal_s(place, more, template, secret))
    medians = {name: statistics.median(each) for name, each in found.items()}
    slowest = max(medians.values())
    return {
        "ratio": round(slowest / READY_S_MAX, 3),
        "goal": 1,
        "ok": slowest <= READY_S_MAX,
        "ok_best": max(map(min, found.values())) <= READY_S_MAX,
        "seconds_of": {name: round(median, 3) for name, median in medians.items()},
    }


def refusal_s(place: Path, more: list[str], template: Path, secret: str) -> float:
    """Wall seconds of one start, which must end with status 2 and one line."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("ROUTER_")}
    began_s = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "router", "run", template, "--data", place / "data",
            "--ingress", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--api", "127.0.0.1:0", *more,
        ],
        cwd=ROOT, env=kept | {"ROUTER_SECRET_BENCH": secret} if secret else kept,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    spent_s = time.monotonic() - began_s
    if done.returncode != 2 or done.stderr.count("\n") != 1:
        raise RuntimeError(f"status {done.returncode}: {done.stderr}")
    return spent_s


def at_rest(folder: Path, functions: int, rest_s: float) -> dict:
    """Memory of a router with its functions warm, and before they were."""
    with router(folder, "rest", functions) as (pid, _began_s, api, ops):
        until_ready(ops)
        time.sleep(rest_s)
        before_mb, parts = pss_mb(pid)
        for number in range(functions):
            path = f"{api}/2015-03-31/functions/f{number}/invocations"
            with urllib.request.urlopen(path, b"{}", WAIT_S) as reply:
                assert reply.read() == b"1"
        time.sleep(rest_s)
        after_mb, _parts = pss_mb(pid)
    limit_mb = REST_MB + WARM_MB * functions
    return {
        "ratio": round(after_mb / limit_mb, 3),
        "goal": 1,
        "ok": after_mb <= limit_mb and before_mb <= REST_MB,
        "functions": functions,
        "rest_mb": round(before_mb, 1),
        "warm_mb": round(after_mb, 1),
        "warm_mb_each": round((after_mb - before_mb) / functions, 2),
        "processes_mb": parts,
    }


@contextlib.contextmanager
def router(folder: Path, name: str, functions: int) -> Iterator[tuple[int, float, str, str]]:
    """A router that begins to start: its pid, the time, and where API and probes will be."""
    place = folder / name
    place.mkdir()
    template = place / "template.yaml"
    template.write_text(HEAD + "".join(FUNCTION.format(number=n) for n in range(functions)))
    api, ops = (f"127.0.0.1:{lasting_port()}" for _ in range(2))
    kept = {key: text for key, text in os.environ.items() if not key.startswith("ROUTER_")}
    with (place / "log").open("wb") as log:
        began_s = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable, "-m", "router", "run", template, "--data", place / "data",
                "--api", api, "--ops", ops, "--ingress", "127.0.0.1:0",
            ],
            cwd=ROOT, env=kept | {"ROUTER_SECRET_BENCH": "s"}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process.pid, began_s, f"http://{api}", f"http://{ops}"
    finally:
        process.terminate()
        process.wait(WAIT_S)


def until_ready(ops: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        with (
            contextlib.suppress(OSError),  # refused, or 503
            urllib.request.urlopen(f"{ops}/ready", timeout=WAIT_S),
        ):
            return
        time.sleep(0.005)
    raise RuntimeError("the router did not become ready")


def pss_mb(pid: int) -> tuple[float, dict[str, float]]:
    """Memory of a process and all below it, shared pages shared out; and of each by its name."""
    todo, parts = [pid], {}
    while todo:
        one = todo.pop()
        with contextlib.suppress(OSError, AttributeError):
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
            words = Path(f"/proc/{one}/cmdline").read_bytes().decode().split("\0")
            name = next((word for word in words[1:] if not word.startswith("-")), "?")
            parts[f"{one} {Path(name).name}"] = round(int(found[1]) / 1024, 1)
    return sum(parts.values()), parts


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
