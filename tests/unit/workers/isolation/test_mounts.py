"""The private file view, by root or by way of a user namespace, whichever this host allows."""

import os
from pathlib import Path

import pytest

from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter
from tests.unit.workers.isolation.inside import plan_for, run


@pytest.fixture(scope="module")
def facts():
    found = probe(own_interpreter(), IsolationSettings())
    assert "mounts" in found.mechanisms, found.text
    return found


@pytest.fixture
def inside(facts, tmp_path):
    host = {
        "prefixes": list(facts.prefixes),
        "mounts": True,
        "user_namespace": facts.user_namespace,
        "private_proc": "proc" in facts.mechanisms,
    }

    def go(code, **more):
        return run(code, plan_for(tmp_path, "plain", "landlock", "mounts", **more), host)

    return go


def test_only_the_listed_exists(inside):
    code = """
import json.tool, ssl
result["root"] = os.listdir("/")
result["etc"] = os.listdir("/etc")
result["here"] = os.getcwd()
places = [line.split()[4] for line in open("/proc/self/mountinfo")]
result["old"] = [place for place in places if place.startswith("/proc/driver")]
"""
    result = inside(code)
    assert result.pop("here") == "/"
    assert result.pop("old") == []
    assert not {"home", "run", "mnt", "srv", "boot"} & set(result["root"])
    assert {"usr", "var", "tmp", "opt", "dev", "etc", "proc"} <= set(result["root"])
    assert "shadow" not in result["etc"]
    assert {"passwd", "group"} <= set(result["etc"])


def test_tmp_is_the_given_folder_and_nothing_else_can_be_written(inside, tmp_path):
    code = """
import errno
open("/tmp/left", "w").write("x")
for path in "/new /etc/passwd /var/task/new /var/new /usr/new /dev/new /opt/new".split():
    try:
        open(path, "w").close()
    except OSError as error:
        result[path] = errno.errorcode[error.errno]
"""
    result = inside(code)
    assert (tmp_path / "tmp/left").read_text() == "x"
    assert len(result) == 7
    assert set(result.values()) <= {"EACCES", "EROFS"}


def test_devices_and_standard_streams_work(inside):
    code = """
open("/dev/null", "wb", buffering=0).write(b"x")
result["zero"] = list(open("/dev/zero", "rb", buffering=0).read(2))
result["random"] = len(open("/dev/urandom", "rb", buffering=0).read(8))
result["stderr"] = os.path.exists("/dev/stderr")
"""
    assert inside(code) == {"zero": [0, 0], "random": 8, "stderr": True}


def test_the_host_sees_none_of_it(inside):
    before = Path("/proc/self/mountinfo").read_text()
    inside("result['ok'] = True")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_hidden_folders_are_empty(inside, tmp_path):
    (tmp_path / "task/.router").mkdir(parents=True)
    (tmp_path / "task/.router/router.db").write_text("events")
    result = inside(
        "result['seen'] = [os.listdir('/var/task'), os.listdir('/var/task/.router')]",
        cover=["/var/task/.router", "/var/task/not-there"],
    )
    assert result == {"seen": [[".router"], []]}


def test_more_paths_are_seen_where_they_are_even_below_tmp(inside, tmp_path):
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "module.py").write_text("x")
    below_tmp = Path("/tmp") / f"router-test-{os.getpid()}"
    below_tmp.mkdir()
    (below_tmp / "module.py").write_text("x")
    paths = [str(extra), str(below_tmp)]
    binds = [(str(tmp_path / "task"), "/var/task"), *((path, path) for path in paths)]
    try:
        code = f"result['seen'] = [os.listdir(path) for path in {paths!r}]"
        assert inside(code, binds=binds) == {"seen": [["module.py"], ["module.py"]]}
    finally:
        (below_tmp / "module.py").unlink()
        below_tmp.rmdir()


def test_a_folder_that_is_gone_fails_the_start(inside):
    result = inside("result['ran'] = True", binds=[("/nowhere", "/var/task")])
    assert "private file view" in result["error"]
    assert "ran" not in result


def test_the_functions_user_has_a_name(facts, tmp_path):
    if "uid" not in facts.mechanisms:
        assert os.getuid() != 0
        return
    host = {
        "prefixes": list(facts.prefixes),
        "mounts": True,
        "user_namespace": False,
        "private_proc": True,
    }
    uid = facts.uid_first + 7
    plan = plan_for(tmp_path, "plain", "landlock", "mounts", "uid", uid=uid)
    (tmp_path / "task").chmod(0o755)
    code = """
import ctypes, getpass, pwd
result["user"] = [os.getuid(), os.getgid(), os.getgroups(), pwd.getpwuid(os.getuid()).pw_dir]
result["own"] = os.stat("/tmp").st_uid
result["reopen"] = len(os.listdir("/proc/self/fd")) > 2
signal = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signal), 0, 0, 0)
result["signal"] = signal.value
"""
    result = run(code, plan, host)
    assert result == {
        "user": [uid, uid, [], "/tmp"],
        "own": uid,
        "reopen": True,
        "signal": 9,
    }
