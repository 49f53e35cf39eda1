import os
import subprocess
from pathlib import Path

import pytest
import structlog

from router.model.function import FunctionVersion
from router.model.hosting import BARE, Hosting
from router.model.runtimes import Family
from router.workers.environment import WRAPPER
from router.workers.runtimes import host, node
from router.workers.runtimes.choose import Runtimes

FOLDER = Path("/nowhere")
PATHS = {"task": "/var/task", "opt": "", "tmp": "/tmp", "runtime": "/var/runtime"}


@pytest.fixture
def function(tmp_path):
    def make(runtime, **fields):
        (tmp_path / "code").mkdir(exist_ok=True)
        facts = {
            "name": "f",
            "arn": "arn:aws:lambda:eu-west-1:000000000000:function:f",
            "handler": "app.handler",
            "code_path": str(tmp_path / "code"),
            "code_hash": "1",
        }
        return FunctionVersion(runtime=runtime, **(facts | fields))

    return make


@pytest.fixture
def installed(tmp_path):
    """A program that says it is version 20.1.2."""
    file = tmp_path / "bin/program"
    file.parent.mkdir()
    file.write_text("#!/bin/sh\necho v20.1.2\n")
    file.chmod(0o755)
    return str(file)


async def choose(hosting, function, user=None):
    return await Runtimes(hosting, FOLDER).program_of(function, user or {}, "/usr/bin/python3")


async def test_python_without_a_client_is_forked(function):
    assert await choose(BARE, function("python3.12")) is None


async def test_python_that_ships_its_client_speaks_the_runtime_api(function, tmp_path):
    asking = function("python3.12")
    (tmp_path / "code/awslambdaric").mkdir()
    (tmp_path / "code/awslambdaric/__main__.py").write_text("")
    program = await choose(BARE, asking)
    ((python, _, _, *arguments),) = program.commands_in(PATHS)
    assert python == "/usr/bin/python3"
    assert arguments == ["/var/task", "/opt", "/var/task", "awslambdaric", "app.handler"]
    assert program.variables_in(PATHS)["PYTHONPATH"] == "/var/runtime"


async def test_python_speaks_it_everywhere_with_a_client_of_the_router(function, tmp_path):
    hosting = Hosting(clients={"python": str(tmp_path)})
    program = await choose(hosting, function("python3.12"))
    ((*_, task, opt, client, _, _),) = program.commands_in(PATHS)
    assert (task, opt, client) == ("/var/task", "/opt", str(tmp_path))
    assert str(tmp_path) in program.read_only


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
async def test_an_own_runtime_is_its_bootstrap_and_takes_no_wrapper(function, runtime):
    program = await choose(BARE, function(runtime), {WRAPPER: "/opt/wrap"})
    assert program.commands_in(PATHS) == [["/var/task/bootstrap"], ["/opt/bootstrap"]]
    assert program.read_only == ()


async def test_node_runs_our_runtime(function, installed):
    hosting = Hosting(found={Family.NODEJS: installed})
    program = await choose(hosting, function("nodejs22.x", memory_mb=200))
    command, *others = program.commands_in(PATHS)
    assert not others
    assert command[0] == installed
    assert command[-2:] == ["/var/runtime/index.mjs", "app.handler"]
    assert "--max-old-space-size=180" in command
    assert program.runtime == node.FOLDER
    assert program.read_only == (installed,)
    assert program.variables_in(PATHS)["NODE_PATH"].startswith("/opt/nodejs/node22/node_modules:")


async def test_node_runs_the_official_client_when_the_function_brings_it(
    function, installed, tmp_path
):
    asking = function("nodejs20.x")
    script = tmp_path / "code/node_modules/aws-lambda-ric/bin/index.mjs"
    script.parent.mkdir(parents=True)
    script.write_text("")
    program = await choose(Hosting(found={Family.NODEJS: installed}), asking)
    wanted = "/var/task/node_modules/aws-lambda-ric/bin/index.mjs"
    assert program.commands_in(PATHS)[0][-2:] == [wanted, "app.handler"]


async def test_java_runs_the_client_with_the_code_behind_it(function, installed):
    hosting = Hosting(runtimes={"java21": installed}, clients={"java": "/jars"})
    program = await choose(hosting, function("java21", handler="pkg.App::handle"))
    command = program.commands_in(PATHS)[0]
    assert command[-4:] == [
        "-cp",
        "/jars/*:/var/task:/var/task/lib/*:/opt/java/lib/*",
        "com.amazonaws.services.lambda.runtime.api.client.AWSLambda",
        "pkg.App::handle",
    ]
    assert "-Djava.io.tmpdir=/tmp" in command
    assert "/jars" in program.read_only


@pytest.mark.parametrize("runtime", ["ruby3.4", "dotnet8"])
async def test_a_program_that_is_mapped_whole_gets_the_handler(function, installed, runtime):
    program = await choose(Hosting(runtimes={runtime: installed}), function(runtime))
    assert program.commands_in(PATHS) == [[installed, "app.handler"]]


async def test_another_version_than_asked_for_is_warned_of_once(function, installed):
    host.version_of.cache_clear()
    runtimes = Runtimes(Hosting(found={Family.NODEJS: installed}), FOLDER)
    with structlog.testing.capture_logs() as lines:
        for runtime in ("nodejs20.x", "nodejs22.x", "nodejs22.x"):
            await runtimes.program_of(function(runtime), {}, "/usr/bin/python3")
    assert lines == [
        {
            "event": "runtime_substituted",
            "log_level": "warning",
            "runtime": "nodejs22.x",
            "used": installed,
            "version": "20.1.2",
        }
    ]


async def wrapped(function, installed, wrapper):
    hosting = Hosting(runtimes={"ruby3.4": installed})
    program = await choose(hosting, function("ruby3.4"), {WRAPPER: str(wrapper)})
    (command,) = program.commands_in(PATHS)
    assert os.path.isfile(command[0])
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_wrapper_starts_the_runtime(function, installed, tmp_path):
    wrapper = tmp_path / "wrap"
    wrapper.write_text('#!/bin/sh\necho "wraps $@"\nexec "$@"\n')
    wrapper.chmod(0o755)
    done = await wrapped(function, installed, wrapper)
    assert done.stdout == f"wraps {installed} app.handler\nv20.1.2\n"


async def test_a_wrapper_that_is_not_there_or_no_program(function, installed, tmp_path):
    done = await wrapped(function, installed, tmp_path / "none")
    assert (done.returncode, done.stdout) == (127, f"{tmp_path}/none: does not exist\n")
    (tmp_path / "text").write_text("no program")
    done = await wrapped(function, installed, tmp_path / "text")
    assert (done.returncode, done.stdout) == (126, f"{tmp_path}/text: is not an executable\n")
