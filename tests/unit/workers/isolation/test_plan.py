import msgspec
import pytest

from router import config
from router.model.errors import ConfigError
from router.model.function import FunctionVersion
from router.workers.isolation import plan as planning
from router.workers.isolation.plan import IsolationSettings, Planner, rung_of, settle
from router.workers.launcher import own_interpreter

DEFAULTS = IsolationSettings()
ALL = ["plain", "seccomp", "landlock", "mounts", "proc", "uid", "cgroup"]


def found(*mechanisms, **more):
    return {
        "mechanisms": list(mechanisms),
        "missing": {name: "a reason" for name in ALL if name not in mechanisms},
        "landlock_abi": 7,
        "user_namespace": False,
        "uid_first": 200_000,
        "uid_count": 4,
        "interpreter": "/usr/bin/python3",
        "prefixes": ["/usr"],
        **more,
    }


def function(name="orders"):
    return FunctionVersion(
        name=name,
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        runtime="python3.11",
        handler="app.handler",
        code_path="/code",
        code_hash="1",
    )


def planner(*mechanisms, hidden=(), settings=DEFAULTS, file_systems=None, **more):
    facts = settle(found(*mechanisms, **more), settings)
    return Planner(facts, settings, "/usr/bin/python3", hidden, file_systems)


@pytest.mark.parametrize(
    ("mechanisms", "rung"),
    [
        ([], 0),
        (["plain"], 1),
        (["plain", "cgroup"], 1),
        (["plain", "landlock"], 1),
        (["plain", "seccomp", "mounts"], 1),
        (["plain", "seccomp", "landlock"], 2),
        (["plain", "seccomp", "uid"], 1),  # own users do not hide what everybody may read
        (["plain", "seccomp", "uid", "mounts"], 3),
        (["plain", "seccomp", "uid", "landlock"], 3),
        (ALL, 3),
    ],
)
def test_rung_of(mechanisms, rung):
    assert rung_of(mechanisms) == rung
    assert settle(found(*mechanisms), IsolationSettings()).rung == rung


def test_a_forced_rung_leaves_out_what_is_above_it_and_says_so():
    facts = settle(found(*ALL), IsolationSettings(rung=1, cgroup=True))
    assert facts.mechanisms == ("plain", "cgroup")
    assert facts.missing["landlock"] == "works, but isolation.rung is 1"
    assert "functions can signal each other and the router" in facts.text


def test_the_highest_rung_says_that_there_is_none_above():
    assert "no higher rung is offered" in settle(found(*ALL), IsolationSettings()).text
    assert "no higher rung" not in settle(found(*ALL), IsolationSettings(rung=2)).text


def test_a_rung_that_cannot_be_had_is_refused_with_the_reasons():
    with pytest.raises(ConfigError, match=r"rung is 3, the highest that works here is 2.*uid: a"):
        settle(found("plain", "seccomp", "landlock"), IsolationSettings(rung=3))
    with pytest.raises(ConfigError, match="must be 0 to 3"):
        settle(found(*ALL), IsolationSettings(rung=4))


def test_a_required_mechanism_that_is_missing_is_refused():
    settings = IsolationSettings(require=("landlock", "uid"))
    assert settle(found(*ALL), settings).rung == 3
    with pytest.raises(ConfigError, match="no uid here: a reason"):
        settle(found("plain", "seccomp", "landlock"), settings)
    with pytest.raises(ConfigError, match="'selinux' is none of plain"):
        settle(found(*ALL), IsolationSettings(require=("selinux",)))


def test_a_network_that_cannot_be_closed_is_refused():
    closed = IsolationSettings(network="none")
    assert settle(found(*ALL), closed).rung == 3
    with pytest.raises(ConfigError, match="needs rung 2 and Landlock ABI 4"):
        settle(found(*ALL, landlock_abi=3), closed)
    with pytest.raises(ConfigError, match="needs rung 2"):
        settle(found("plain"), closed)
    with pytest.raises(ConfigError, match="open, embedded or none"):
        settle(found(*ALL), IsolationSettings(network="closed"))


def test_paths_inside_and_outside_a_view():
    where = {"task": "/code", "tmp": "/run/1", "runtime": "/boto"}
    seen = planner(*ALL).environment(function(), **where)
    assert seen["paths"] == {
        "task": "/var/task",
        "opt": "/opt",
        "tmp": "/tmp",
        "runtime": "/var/runtime",
    }
    assert seen["binds"] == [("/code", "/var/task"), ("/boto", "/var/runtime")]
    plain = planner("plain").environment(function(), **where)
    assert plain["paths"] == where | {"opt": ""}


def test_groups_are_joined_only_when_given():
    where = {"task": "/code", "tmp": "/run/1"}
    assert (
        "cgroup"
        not in planner(*ALL, settings=IsolationSettings(cgroup=True)).environment(
            function(), **where
        )["mechanisms"]
    )
    plan = planner(*ALL).environment(function(), **where, cgroup=("/g/cgroup.procs",))
    assert "cgroup" in plan["mechanisms"]


def test_ports_matter_only_when_the_network_is_not_open():
    where = {"task": "/code", "tmp": "/run/1", "ports": (9001,)}
    assert planner(*ALL).environment(function(), **where)["ports"] is None
    closed = planner(*ALL, settings=IsolationSettings(network="embedded"))
    assert closed.environment(function(), **where)["ports"] == [9001]


def test_users_are_stable_distinct_and_end_with_the_range():
    plans = planner(*ALL)
    given = [plans.uid_of(f"function-{number}") for number in range(4)]
    assert sorted(given) == [200_000, 200_001, 200_002, 200_003]
    assert [plans.uid_of(f"function-{number}") for number in range(4)] == given
    with pytest.raises(ConfigError, match="all 4 users are taken"):
        plans.uid_of("function-4")
    assert planner("plain").uid_of("function-0") is None


def test_function_users_are_told_apart_only_at_rung_3():
    facts = settle(found(*ALL), IsolationSettings())
    assert facts.is_function_uid(200_003)
    assert not facts.is_function_uid(200_004)
    assert not facts.is_function_uid(0)
    assert not settle(found("plain"), IsolationSettings()).is_function_uid(200_003)


def test_hidden_folders_are_covered_in_a_view(tmp_path):
    code = tmp_path / "project"
    data = code / ".router"
    data.mkdir(parents=True)
    where = {"task": str(code), "tmp": str(tmp_path / "t")}
    assert planner(*ALL, hidden=[str(data)]).environment(function(), **where)["cover"] == [
        "/var/task/.router"
    ]
    outside = planner(*ALL, hidden=[str(tmp_path / "elsewhere")])
    assert outside.environment(function(), **where)["cover"] == []


def test_hidden_folders_in_sight_are_refused_where_nothing_can_cover_them(tmp_path):
    plans = planner("plain", "seccomp", "landlock", hidden=[str(tmp_path / "code/data")])
    with pytest.raises(ConfigError, match="no private file view"):
        plans.environment(function(), task=str(tmp_path / "code"), tmp="/run/1")
    with pytest.raises(ConfigError, match="which functions can read"):
        planner("plain", "seccomp", "landlock", hidden=["/usr/local/router"])


def test_a_probe_that_cannot_run_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="isolation probe with /nowhere/python failed"):
        planning.probe("/nowhere/python", IsolationSettings())
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ConfigError, match="failed: broken"):
        planning.probe(str(broken), IsolationSettings())


@pytest.mark.parametrize(
    "settings", [IsolationSettings(cgroup=True), IsolationSettings(require=("cgroup",))]
)
def test_groups_that_are_asked_for_are_used_or_refused(settings):
    assert "cgroup" in settle(found(*ALL), settings).mechanisms
    with pytest.raises(ConfigError, match=r"isolation\.cgroup is on, but: a reason"):
        settle(found(*ALL[:-1]), settings)
    with pytest.raises(ConfigError, match=r"works, but isolation\.rung is 0"):
        settle(found(*ALL), msgspec.structs.replace(settings, rung=0))


def test_groups_that_are_off_are_not_claimed():
    facts = settle(found(*ALL), DEFAULTS)
    assert "cgroup" not in facts.mechanisms
    assert "without cgroup: available, off" in facts.text
    assert "limited by watching, not by the kernel" in facts.text


def test_a_router_that_cannot_look_at_its_functions_says_so(tmp_path):
    python = own_interpreter()
    without_ptrace = tmp_path / "python"
    without_ptrace.write_text(
        f"#!{python} -IS\nimport ctypes, os, sys\n"
        "ctypes.CDLL(None).prctl(24, 19, 0, 0, 0)\n"  # PR_CAPBSET_DROP, CAP_SYS_PTRACE
        f"os.execv({python!r}, [{python!r}, *sys.argv[1:]])\n"
    )
    without_ptrace.chmod(0o755)
    assert "CAP_SYS_PTRACE" not in planning.probe(python, DEFAULTS).text
    facts = planning.probe(str(without_ptrace), DEFAULTS)
    is_blind = "uid" in facts.mechanisms  # functions of the router's own user are seen all the same
    assert facts.is_seen != is_blind
    assert ("needs CAP_SYS_PTRACE" in facts.text) == is_blind


def test_a_probe_leaves_groups_alone_that_are_off():
    facts = planning.probe(own_interpreter(), DEFAULTS)
    assert "cgroup" not in facts.mechanisms
    assert "off" in facts.missing["cgroup"]


@pytest.mark.parametrize("text", ["auto", "0", "3"])
def test_settings_as_written(text):
    asked = planning.asked_for(config.IsolationSettings(rung=text, cgroup=True))
    assert asked.rung == (None if text == "auto" else int(text))
    assert asked.wants_groups


def test_file_systems_in_a_view_and_without_one(tmp_path):
    where = {"task": "/code", "tmp": "/run/1"}
    writer = msgspec.structs.replace(function(), file_systems=("/mnt/ledger",))
    ledger = {"/mnt/ledger": str(tmp_path)}
    plan = planner(*ALL, file_systems=ledger).environment(writer, **where)
    assert plan["writable"] == [(str(tmp_path), "/mnt/ledger")]
    assert planner(*ALL, file_systems=ledger).environment(function(), **where)["writable"] == []
    with pytest.raises(ConfigError, match=r"no private file view.*so /mnt/ledger must be"):
        planner("plain", file_systems=ledger).environment(writer, **where)
    with pytest.raises(ConfigError, match="ROUTER_FILE_SYSTEMS=/mnt/ledger="):
        planner(*ALL).environment(writer, **where)
    gone = {"/mnt/ledger": str(tmp_path / "gone")}
    with pytest.raises(ConfigError, match="is not a folder"):
        planner(*ALL, file_systems=gone).environment(writer, **where)


def test_files_in_a_file_system_may_be_larger_than_tmp(tmp_path):
    where = {"task": "/code", "tmp": "/run/1"}
    ledger = {"/mnt/ledger": str(tmp_path)}
    writer = msgspec.structs.replace(function(), file_systems=("/mnt/ledger",))
    plans = planner(*ALL, file_systems=ledger)
    assert plans.environment(writer, **where)["file_bytes_max"] == -1
    assert plans.environment(function(), **where)["file_bytes_max"] == 512 << 20


@pytest.mark.parametrize("folder", ["data", "data/inside", "."])
def test_a_file_system_may_not_overlap_with_what_is_hidden(tmp_path, folder):
    (tmp_path / "data/inside").mkdir(parents=True)
    with pytest.raises(ConfigError, match="overlap"):
        planner(
            *ALL,
            hidden=[str(tmp_path / "data")],
            file_systems={"/mnt/ledger": str(tmp_path / folder)},
        )
