import errno
import socket

import pytest

from router.workers.isolation import landlock
from tests.unit.workers.isolation.inside import plan_for, run

TRY = """
import errno, socket
def attempt(name, act):
    try:
        act()
        result[name] = 0
    except OSError as error:
        result[name] = error.errno
"""


def test_only_what_is_granted_can_be_reached(tmp_path):
    (tmp_path / "secret").write_text("x")
    plan = plan_for(tmp_path, "plain", "landlock")
    (tmp_path / "task/code.py").write_text("x")
    code = (
        TRY
        + f"""
base = {str(tmp_path)!r}
attempt("read own code", lambda: open(base + "/task/code.py").close())
attempt("change own code", lambda: open(base + "/task/code.py", "w").close())
attempt("write /tmp", lambda: open(base + "/tmp/new", "w").close())
os.mkdir(base + "/tmp/a")
attempt("move in /tmp", lambda: os.rename(base + "/tmp/new", base + "/tmp/a/b"))
attempt("read secret", lambda: open(base + "/secret").close())
attempt("list", lambda: os.listdir(base))
attempt("etc", lambda: os.listdir("/etc"))
attempt("hosts", lambda: open("/etc/hosts").close())
attempt("null", lambda: open("/dev/null", "w").close())
attempt("import", lambda: __import__("json.tool"))
"""
    )
    denied = errno.EACCES
    assert run(code, plan) == {
        "read own code": 0,
        "change own code": denied,
        "write /tmp": 0,
        "move in /tmp": 0,
        "read secret": denied,
        "list": denied,
        "etc": denied,
        "hosts": 0,
        "null": 0,
        "import": 0,
    }


def test_a_closed_network_leaves_the_given_ports(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as given,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = [given.getsockname()[1], other.getsockname()[1]]
        plan = plan_for(tmp_path, "plain", "landlock", "seccomp", ports=ports[:1])
        code = (
            TRY
            + f"""
attempt("given", lambda: socket.create_connection(("127.0.0.1", {ports[0]})).close())
attempt("other", lambda: socket.create_connection(("127.0.0.1", {ports[1]})).close())
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())
attempt("unix", lambda: [end.close() for end in socket.socketpair()])
"""
        )
        assert run(code, plan) == {
            "given": 0,
            "other": errno.EACCES,
            "listen": errno.EACCES,
            "udp": errno.EPERM,
            "unix": 0,
        }


def test_closing_the_network_with_a_kernel_that_cannot_is_an_error():
    with pytest.raises(OSError, match="needs Landlock ABI 4, here is 3"):
        landlock.ruleset([], [80], 3)


@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_rulesets_of_older_abis_are_accepted(version, tmp_path):
    import os

    ports = [80] if version >= landlock.ABI_NETWORK else None
    os.close(landlock.ruleset([(str(tmp_path), landlock.CHANGE)], ports, version))


def test_a_grant_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        landlock.ruleset([(str(tmp_path / "missing"), landlock.READ)], None, landlock.abi())
