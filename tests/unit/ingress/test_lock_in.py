"""What the ingress process cannot do any more once it is locked in."""

import json
import subprocess
import sys

from router.workers.isolation import landlock

TRY = """
import json, os, socket, sys
from router.ingress.lock_in import lock_in

listening = socket.create_server(("127.0.0.1", 0))
locked, failed = lock_in(sys.argv[1:])
found = {"locked": locked, "failed": failed}


def attempt(name, step):
    try:
        step()
    except OSError as error:
        found[name] = error.errno
    else:
        found[name] = 0


attempt("read", lambda: open("/etc/passwd").close())
attempt("write", lambda: open("/tmp/ingress-lock-in", "w").close())
attempt("connect", lambda: socket.create_connection(listening.getsockname()))
attempt("mount", lambda: os.chroot("/"))
import encodings.idna  # its own code is within reach
print(json.dumps(found))
"""


def tried(*locks):
    command = [sys.executable, "-c", TRY, *locks]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)


def test_files_new_connections_and_privileges_are_out_of_reach():
    found = tried("plain", "landlock", "seccomp", "uid")
    assert found["locked"] == ["plain", *(["landlock"] if landlock.abi() else []), "seccomp"]
    assert found["mount"] != 0
    if landlock.abi():
        assert found["read"] != 0
        assert found["write"] != 0
    if landlock.abi() >= landlock.ABI_NETWORK:
        assert found["connect"] != 0


def test_nothing_is_given_up_that_is_not_asked_for():
    found = tried()
    assert found["locked"] == []
    assert found["read"] == 0
