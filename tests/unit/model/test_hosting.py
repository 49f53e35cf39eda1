import pytest

from router.model.hosting import BARE, Hosting
from router.model.runtimes import RUNTIMES, Family

FOUND = Hosting(
    found={Family.NODEJS: "/usr/bin/node", Family.JAVA: "/usr/bin/java"}, clients={"java": "/jars"}
)


@pytest.mark.parametrize("runtime", ["python3.8", "python3.15", "provided", "provided.al2023"])
def test_what_needs_nothing_of_the_host(runtime):
    assert BARE.problem(runtime, ()) == ""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_runs_or_the_setting_is_named(runtime):
    for hosting in (BARE, FOUND, Hosting(is_strict=True)):
        problem = hosting.problem(runtime, ())
        assert not problem or f"ROUTER_RUNTIMES={runtime}=/path/to/" in problem
    assert Hosting(is_strict=True, runtimes={runtime: "/p"}, clients={"java": "/j"}).problem(
        runtime, ()
    ) == ("")


def test_a_program_on_the_path_runs_every_version_of_its_family():
    assert FOUND.problem("nodejs16.x", ()) == ""
    assert FOUND.program("nodejs26.x") == "/usr/bin/node"
    assert FOUND.problem("java25", ()) == ""


def test_a_mapped_program_comes_before_one_on_the_path():
    hosting = Hosting(found=FOUND.found, runtimes={"nodejs22.x": "/opt/node22/bin/node"})
    assert hosting.program("nodejs22.x") == "/opt/node22/bin/node"
    assert hosting.program("nodejs20.x") == "/usr/bin/node"


def test_nothing_is_guessed_where_it_is_strict():
    hosting = Hosting(is_strict=True, runtimes={"nodejs20.x": "/n"})
    assert hosting.problem("nodejs20.x", ()) == ""
    assert "runs only what is mapped" in hosting.problem("nodejs22.x", ())


def test_java_needs_its_client():
    problem = Hosting(found=FOUND.found).problem("java17", ())
    assert "com.amazonaws" in problem
    assert "ROUTER_RUNTIME_CLIENTS=java=" in problem


@pytest.mark.parametrize("runtime", ["ruby3.4", "dotnet8"])
def test_a_runtime_without_a_client_of_ours_takes_a_whole_program(runtime):
    assert "a program that gets the handler and speaks the Runtime API" in BARE.problem(runtime, ())


def test_a_name_that_is_no_runtime():
    assert "has no interpreter" in BARE.problem("custom", ())
