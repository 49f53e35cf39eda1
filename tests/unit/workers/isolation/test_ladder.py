import os
import signal

import pytest

from router.workers.isolation import ladder
from tests.unit.workers.isolation.inside import plan_for, run


def test_enter_before_prepare_is_refused(tmp_path):
    with pytest.raises(ladder.IsolationFailed, match="before prepare"):
        ladder.enter(plan_for(tmp_path))


def test_rung_0_closes_what_is_not_kept_and_leads_its_session(tmp_path):
    code = """
result["open"] = sorted(map(int, os.listdir("/proc/self/fd")))[:3]
try:
    os.fstat(extra)
except OSError as error:
    result["extra"] = error.errno
result["leader"] = os.getsid(0) == os.getpid()
result["is_batch"] = os.sched_getscheduler(0) == os.SCHED_BATCH
"""
    assert run(code, plan_for(tmp_path)) == {
        "open": [0, 1, 2],
        "extra": 9,
        "leader": True,
        "is_batch": True,
    }


def test_rung_1_limits_and_gives_up_privileges(tmp_path):
    code = """
import resource
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
result["leader"] = os.getsid(0) == os.getpgid(0) == os.getpid()
result["privileges"] = [status[name].strip() for name in ("NoNewPrivs", "CapEff", "CapPrm")]
result["core"] = resource.getrlimit(resource.RLIMIT_CORE)
result["files"] = resource.getrlimit(resource.RLIMIT_NOFILE)
result["address_space"] = resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
try:
    with open(plan["tmp"] + "/big", "wb", buffering=0) as file:
        os.lseek(file.fileno(), 1 << 20, os.SEEK_SET)
        file.write(b"x")
except OSError as error:
    result["big"] = error.strerror
"""
    assert run(code, plan_for(tmp_path, "plain")) == {
        "leader": True,
        "privileges": ["1", "0" * 16, "0" * 16],
        "core": [0, 0],
        "files": [1024, 1024],
        "address_space": True,
        "big": "File too large",
    }


def test_environments_die_with_the_zygote(tmp_path):
    """The death signal is set, and holds after the change of user that would clear it."""
    code = """
import ctypes
signal = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signal), 0, 0, 0)
result["signal"] = signal.value
"""
    (tmp_path / "task").mkdir()
    assert run(code, plan_for(tmp_path, "plain", "seccomp")) == {"signal": int(signal.SIGKILL)}


@pytest.mark.parametrize(
    ("mechanisms", "change", "step"),
    [
        (("plain",), {"paths": {"task": "/nowhere", "tmp": "/tmp"}}, "read own files"),
        (("plain", "landlock"), {"read_only": ["/nowhere"]}, "Landlock rules"),
        (("plain", "cgroup"), {"cgroup": ["/nowhere/cgroup.procs"]}, "join control groups"),
        (("plain", "uid"), {"uid": 2**32 - 1}, "change user"),
    ],
)
def test_a_step_that_fails_stops_the_start_and_is_named(tmp_path, mechanisms, change, step):
    plan = plan_for(tmp_path, *mechanisms)
    if "paths" in change:
        change = {"paths": plan["paths"] | change["paths"]}
    result = run("result['ran'] = True", plan | change)
    assert "ran" not in result
    assert result["error"].startswith("IsolationFailed: isolation step")
    assert step in result["error"] or os.getuid() != 0


def test_a_process_can_hide_from_others_of_its_user_and_come_back(tmp_path):
    code = """
import ctypes, sys
plain = sys.modules["_router_isolation.plain"]
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
result["at_first"] = dumpable()
plain.hide_from_peers()
result["hidden"] = dumpable()
plain.be_inspectable()
result["again"] = dumpable()
"""
    assert run(code, plan_for(tmp_path, "plain")) == {"at_first": 1, "hidden": 0, "again": 1}


def test_a_zygote_that_is_gone_stops_the_start(tmp_path):
    """The parent is checked after the death signal is set, so no moment is left open."""
    code = 'import sys; sys.modules["_router_isolation.plain"].die_with(os.getpid())'
    result = run(code, plan_for(tmp_path))
    assert result == {"error": "OSError: the parent process has ended"}
