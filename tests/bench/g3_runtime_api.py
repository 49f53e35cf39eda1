"""G3: the router's CPU for an event by the Runtime API, beside the same client on aiohttp.

Both serve AWS's own client in a real process, a 1 KB echo, one event at a time. Ours is the call a
mapping driver makes, with timeouts, metrics, log capture and the check of the peer; theirs is the
thinnest server one would write. The fast path is measured along: the third number of the goal.
"""

import asyncio
import importlib.metadata
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
from aiohttp import web

from router.dispatch.dispatcher import Dispatcher
from router.workers.launcher import own_interpreter
from tests.bench import workers_bed as bed

ROUNDS = 7
CALLS = 1_000
GOAL = 0.65
GOAL_FAST = 0.25
CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")


def run(*, is_quick: bool = False) -> dict:
    """CPU of the router by event, as a ratio."""
    sizes = (1, 20) if is_quick else (ROUNDS, CALLS)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(measure(*sizes))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(*sizes))


async def measure(rounds: int, calls: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        code = bed.write_code(Path(folder))
        fast = bed.function(code)
        version = msgspec.structs.replace(fast, name="client", code_path=with_client(code))
        pool, _, isolation = await bed.open_pool(Path(folder), boto3=False)
        dispatcher = Dispatcher(pool, 100)
        dispatcher.register("mapping")
        thin = ThinServer()
        ours, base, native = [], [], []
        try:
            await thin.start(version.code_path)
            for _ in range(rounds + 1):
                base.append(await cpu_us(thin.invoke, calls))
                ours.append(await cpu_us(lambda: invoke(dispatcher, version), calls))
                native.append(await cpu_us(lambda: invoke(dispatcher, fast), calls))
        finally:
            await thin.stop()
            await pool.close(0)
    ours, base, native = ours[1:], base[1:], native[1:]  # the first round warms up
    ratio, ratio_fast = min(ours) / min(base), min(native) / min(ours)
    return {
        "G3": {
            "ratio": round(ratio, 3),
            "goal": GOAL,
            "ok": ratio <= GOAL and ratio_fast <= GOAL_FAST,
            "fast_path_ratio": round(ratio_fast, 3),
            "fast_path_goal": GOAL_FAST,
            "cpu_us": round(min(ours), 1),
            "baseline_cpu_us": round(min(base), 1),
            "fast_path_cpu_us": round(min(native), 1),
            "median_ratio": round(statistics.median(ours) / statistics.median(base), 2),
            "is_steady": max(base) <= 2 * min(base),
            "calls": rounds * calls,
            "isolation": isolation,
            **bed.machine(),
        }
    }


def with_client(code: Path) -> str:
    """A copy of the code with AWS's client in it."""
    target = code.with_name("client")
    shutil.copytree(code, target)
    for name in CLIENT:
        for file in importlib.metadata.distribution(name).files or ():
            if ".." not in file.parts:
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), place)
    return str(target)


async def cpu_us(call, calls: int) -> float:
    """This process's CPU by call, in µs."""
    cpu = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - cpu) / calls * 1e6


async def invoke(dispatcher: Dispatcher, version: bed.FunctionVersion) -> None:
    reply = await dispatcher.invoke_for("mapping", bed.request(version))
    assert reply.error_type is None


class ThinServer:
    """Next and response on aiohttp, and nothing else."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[bytes]] = {}
        self._count = 0

    async def start(self, code: str) -> None:
        application = web.Application(client_max_size=7 * 1024 * 1024)
        root = "/2018-06-01/runtime/invocation"
        application.router.add_get(f"{root}/next", self._next)
        application.router.add_post(f"{root}/{{id}}/response", self._response)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._process = await asyncio.create_subprocess_exec(
            *(own_interpreter(), "-m", "awslambdaric", "app.echo"),
            cwd=code,
            env={
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
                "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
                "PATH": os.environ["PATH"],
            },
        )

    async def _next(self, _request: web.Request) -> web.Response:
        request_id = await self._events.get()
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn",
        }
        return web.Response(body=bed.PAYLOAD, headers=headers)

    async def _response(self, request: web.Request) -> web.Response:
        self._answers.pop(request.match_info["id"]).set_result(await request.read())
        return web.json_response({"status": "OK"}, status=202)

    async def invoke(self) -> None:
        self._count += 1
        request_id = f"{self._count:036d}"
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        self._events.put_nowait(request_id)
        assert await answer

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._runner.cleanup()


if __name__ == "__main__":
    print(json.dumps(run()))
