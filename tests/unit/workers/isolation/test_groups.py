"""Finding control groups in both versions' texts, and real groups where the host has them."""

import os
import subprocess
import sys

import pytest

from router.model.errors import ConfigError
from router.workers.isolation import cgroup, files
from router.workers.isolation.groups import Groups
from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter

V1_OWN = "8:pids:/\n4:memory:/pod/abc\n3:cpuset:/\n0::/\n"
V1_MOUNTS = (
    "30 1 0:30 / /cg/memory rw - cgroup cgroup rw,memory\n"
    "31 1 0:31 / /cg/pids rw - cgroup cgroup rw,pids\n"
    "32 1 0:32 / / rw - ext4 /dev/sda rw\n"
)


def test_version_1_has_a_folder_for_each_controller():
    assert cgroup.find(V1_OWN, V1_MOUNTS) == {"memory": "/cg/memory/pod/abc", "pids": "/cg/pids"}


def test_a_mount_that_shows_a_part_of_the_tree_is_read_from_there():
    mounts = V1_MOUNTS.replace("0:30 / /cg/memory", "0:30 /pod /cg/memory")
    assert cgroup.find(V1_OWN, mounts)["memory"] == "/cg/memory/abc"


def test_version_2_has_one_folder(tmp_path):
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/cgroup.controllers").write_text("cpu memory pids\n")
    mounts = f"30 1 0:30 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    assert cgroup.find("0::/pod\n", mounts) == {
        "memory": f"{tmp_path}/pod",
        "pids": f"{tmp_path}/pod",
    }


def test_no_controllers_no_groups(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    mounts = f"30 1 0:30 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    with pytest.raises(cgroup.Unavailable, match="no control group for memory and pids"):
        cgroup.find("0::/\n", mounts)


def test_version_2_moves_the_router_to_a_leaf_of_its_own(tmp_path):
    """A tree of plain files: what would be written, without a kernel that acts on it."""
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.type").write_text("domain")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    roots = {"memory": str(tmp_path), "pids": str(tmp_path)}
    assert cgroup.make_base(roots, "event-router-1") == dict.fromkeys(
        roots, f"{tmp_path}/event-router-1"
    )
    assert (tmp_path / "event-router/cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_version_2_does_not_move_processes_of_others(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.type").write_text("domain")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    with pytest.raises(cgroup.Unavailable, match="also holds processes of others"):
        cgroup.make_base({"memory": str(tmp_path)}, "event-router-1")
    assert not (tmp_path / "event-router").exists()


def test_limits_of_version_2(tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("cgroup.controllers", "memory.swap.max", "memory.oom.group"):
        (tmp_path / "one" / name).write_text("")
    bases = {"memory": str(tmp_path), "pids": str(tmp_path)}
    joins = cgroup.limit(bases, "one", 1 << 27, 100)
    assert joins == (f"{tmp_path}/one/cgroup.procs",)
    read = {path.name: path.read_text() for path in (tmp_path / "one").iterdir()}
    assert read["memory.max"] == str(1 << 27)
    assert read["memory.swap.max"] == "0"
    assert read["memory.oom.group"] == "1"
    assert read["pids.max"] == "100"


def test_real_groups_kill_over_the_limit_and_are_swept():
    """Where the host has no writable groups, asking for them anyway says so."""
    off = probe(own_interpreter(), IsolationSettings())
    if off.missing["cgroup"] != files.GROUPS_OFF:
        with pytest.raises(cgroup.Unavailable, match="off"):
            Groups(off)
        with pytest.raises(ConfigError, match=r"isolation\.cgroup is on, but:"):
            probe(own_interpreter(), IsolationSettings(cgroup=True))
        return
    facts = probe(own_interpreter(), IsolationSettings(cgroup=True))
    groups = Groups(facts)
    try:
        joins = groups.make("hungry", 48 << 20, 16)
        code = (
            "import sys\nfor path in sys.argv[1:]: open(path, 'w').write('0')\nb'x' * (200 << 20)"
        )
        done = subprocess.run([sys.executable, "-c", code, *joins], check=False, timeout=30)
        assert done.returncode == -9
        assert groups.oom_killed("hungry")
        joins = groups.make("idle", 64 << 20, 16)
        assert not groups.oom_killed("idle")
        sleeper = subprocess.Popen(["sleep", "60"])
        for path in joins:
            with open(path, "w") as file:
                file.write(str(sleeper.pid))
        groups.remove("idle")
        assert sleeper.wait(timeout=60) == -9
        assert groups.remove("idle")
        assert groups.remove("hungry")
        assert groups.remove("never made")
        assert groups.sweep() == 0
    finally:
        groups.close()
    assert not any(os.path.exists(base) for base in groups._bases.values())


def test_version_2_a_probe_moves_the_router_that_started_it(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.type").write_text("domain")
    (tmp_path / "cgroup.procs").write_text(f"{os.getppid()}\n{os.getpid()}\n")
    cgroup.make_base({"memory": str(tmp_path)}, "event-router-1", (os.getppid(),))
    assert (tmp_path / "event-router/cgroup.procs").read_text() == str(os.getpid())


def test_version_2_a_router_in_its_leaf_makes_groups_beside_it(tmp_path):
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/cgroup.controllers").write_text("memory pids\n")
    mounts = f"30 1 0:30 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    assert cgroup.find("0::/pod/event-router\n", mounts)["memory"] == f"{tmp_path}/pod"
