"""Which steps of the ladder work on this host, found out by taking them.

Run with the interpreter that will run functions, in a fresh process and never in the router:

    python -I -S probe.py '{"uids": [[200000, 10000]], "mounts": true, "cgroup": false,
                             "router": 1}'   →   one JSON object

Every mechanism is tried in a throw-away child, on top of those that worked before it; each child
then checks that what the mechanism is for is really refused.
"""

import contextlib
import errno
import importlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

_PACKAGE = "_router_isolation"
_ORDER = ("plain", "seccomp", "landlock", "mounts", "proc", "ipc", "uid", "cgroup")
_ANSWER_BYTES_MAX = 4096
_WORKED = "worked"
_GROUP_MEMORY_BYTES = 256 * 1024 * 1024
_GROUP_PIDS_MAX = 64

_NEEDS = {
    "uid": " (needs CAP_SETUID, CAP_SETGID and CAP_CHOWN)",
    "mounts": " (needs CAP_SYS_ADMIN or user namespaces, and Linux 5.12)",
    "proc": " (needs CAP_SYS_ADMIN outside of a user namespace, and Linux 5.8)",
    "ipc": " (needs CONFIG_IPC_NS)",
    "landlock": " (needs Linux 5.13 with landlock in lsm=)",
    "seccomp": " (needs CONFIG_SECCOMP_FILTER)",
}
_OWN_FILES = "read own files"
_UNREADABLE = " (other users must be able to read the interpreter and the functions' folders)"


class _Probe:
    """Tries plans in children. Knows what worked so far."""

    def __init__(self, options: dict[str, Any], scratch: str) -> None:
        self._ladder = _load("ladder")
        self._cgroup = _load("cgroup")
        self._scratch = scratch
        self._options = options
        self._joins: list[str] = []
        self._ipc = os.stat("/proc/self/ns/ipc").st_ino
        self.mechanisms: list[str] = []
        self.missing: dict[str, str] = {}
        self.user_namespace = False
        self.uids = (0, 0)
        self.prefixes = sorted({sys.base_prefix, sys.base_exec_prefix})
        self.interpreter = os.path.realpath(sys.executable)

    def run(self) -> dict[str, Any]:
        for mechanism in _ORDER:
            text = self._try(mechanism)
            if text is None:
                self.mechanisms.append(mechanism)
            else:
                self.missing[mechanism] = text
        return {
            "mechanisms": self.mechanisms,
            "missing": self.missing,
            "is_seen": self._is_seen(),
            "landlock_abi": _load("landlock").abi(),
            "user_namespace": self.user_namespace,
            "uid_first": self.uids[0],
            "uid_count": self.uids[1],
            "interpreter": self.interpreter,
            "prefixes": self.prefixes,
        }

    def _is_seen(self) -> bool:
        """Whether the router can look at an environment's descriptors, as its Runtime API does."""
        ready, tell = os.pipe()
        wait, go = os.pipe()

        def as_environment(_: int) -> str:
            mechanisms = [name for name in self.mechanisms if name != "cgroup"]
            self._ladder.enter(self._plan(mechanisms), keep_fds=(0, 1, 2, tell, wait))
            os.write(tell, str(os.getpid()).encode())
            os.read(wait, 1)
            return ""

        zygote = os.fork()
        if zygote == 0:
            os.close(go)
            with contextlib.suppress(Exception):
                self._ladder.prepare(self._host(self.mechanisms))
                _in_child(as_environment)
            os._exit(0)
        os.close(tell)
        pid = os.read(ready, 20).decode()
        try:
            return bool(pid) and bool(os.readlink(f"/proc/{pid}/fd/{wait}"))
        except OSError:
            return False
        finally:
            for fd in (ready, wait, go):
                os.close(fd)
            os.waitpid(zygote, 0)

    def _host(self, mechanisms: list[str]) -> dict[str, Any]:
        """What a zygote prepares."""
        return {
            "prefixes": self.prefixes,
            "mounts": "mounts" in mechanisms,
            "user_namespace": self.user_namespace,
            "private_proc": "proc" in mechanisms,
        }

    def _try(self, mechanism: str) -> str | None:
        """Take one more step; None when it worked, else why not."""
        if mechanism == "mounts":
            if not self._options["mounts"]:
                return "switched off by a setting"
            return self._first_of((False, True), self._use_user_namespace, mechanism)
        if mechanism in ("proc", "ipc") and "mounts" not in self.mechanisms:
            return "comes with a private file view only"
        if mechanism == "uid":
            ranges = [(first, count) for first, count in self._options["uids"]]
            return self._first_of(ranges, self._use_uids, mechanism)
        if mechanism == "cgroup":
            return self._try_groups() if self._options["cgroup"] else self._look_at_groups()
        return self._attempt(mechanism)

    def _first_of(self, choices: Any, use: Callable[[Any], None], mechanism: str) -> str | None:
        reasons = []
        for choice in choices:
            use(choice)
            text = self._attempt(mechanism)
            if text is None:
                return None
            reasons.append(text)
        use(None)
        return "; ".join(dict.fromkeys(reasons))

    def _use_user_namespace(self, choice: object) -> None:
        self.user_namespace = bool(choice)

    def _use_uids(self, choice: tuple[int, int] | None) -> None:
        self.uids = choice or (0, 0)

    def _look_at_groups(self) -> str:
        """Whether groups could be made, without making one: what is off changes no host."""
        try:
            folders = self._cgroup.find_here().values()
        except (self._cgroup.Unavailable, OSError) as error:
            return f"off, and not available: {error}"
        closed = [folder for folder in folders if not os.access(folder, os.W_OK)]
        if closed:
            return f"off, and not available: {closed[0]} cannot be written"
        return str(_load("files").GROUPS_OFF)

    def _try_groups(self) -> str | None:
        name = f"{self._cgroup.BASE_PREFIX}probe-{os.getpid()}"
        bases: dict[str, str] = {}
        try:
            family = (self._options["router"],)
            bases = self._cgroup.make_base(self._cgroup.find_here(), name, family)
            limits = (_GROUP_MEMORY_BYTES, _GROUP_PIDS_MAX)
            self._joins = list(self._cgroup.limit(bases, "try", *limits))
            return self._attempt("cgroup")
        except (self._cgroup.Unavailable, OSError) as error:
            return str(error)
        finally:
            for folder in dict.fromkeys(bases.values()):
                for path in (f"{folder}/try", folder):
                    with contextlib.suppress(OSError):
                        os.rmdir(path)

    def _attempt(self, mechanism: str) -> str | None:
        """Be zygote and environment, in two forks; None when all went well."""
        mechanisms = [*self.mechanisms, mechanism]

        def as_zygote() -> str:
            self._ladder.prepare(self._host(mechanisms))
            return _in_child(lambda answer_fd: self._as_environment(mechanisms, answer_fd))

        text = _in_child(lambda _: as_zygote())
        if text == _WORKED:
            return None
        return text + (_UNREADABLE if _OWN_FILES in text else _NEEDS.get(mechanism, ""))

    def _as_environment(self, mechanisms: list[str], answer_fd: int) -> str:
        self._ladder.enter(self._plan(mechanisms), keep_fds=(0, 1, 2, answer_fd))
        for mechanism in mechanisms:
            self._check(mechanism)
        return _WORKED

    def _plan(self, mechanisms: list[str]) -> dict[str, Any]:
        task, tmp = f"{self._scratch}/task", tempfile.mkdtemp(dir=self._scratch)
        is_private = "mounts" in mechanisms
        return {
            "mechanisms": mechanisms,
            "uid": self.uids[0] if "uid" in mechanisms else None,
            "file_bytes_max": 1 << 20,
            "cgroup": self._joins,
            "binds": [(task, "/var/task")],
            "cover": [],
            "read_only": [],
            "root": "",
            "writable": [],
            "ports": None,
            "tmp": tmp,
            "paths": {
                "task": "/var/task" if is_private else task,
                "tmp": "/tmp" if is_private else tmp,  # noqa: S108
                "opt": "",
                "runtime": "",
            },
        }

    def _check(self, mechanism: str) -> None:
        """Do what the mechanism is there to refuse."""
        if mechanism == "seccomp":
            _refused("unshare", lambda: _load("libc").unshare(0x0400_0000))
        elif mechanism in ("landlock", "mounts"):
            secret = f"{self._scratch}/secret"
            _refused("reading a file not listed", lambda: os.close(os.open(secret, os.O_RDONLY)))
        elif mechanism == "proc":
            _refused("seeing another process", lambda: os.stat(f"/proc/{os.getppid()}"))
        elif mechanism == "ipc":
            if os.stat("/proc/self/ns/ipc").st_ino == self._ipc:
                raise OSError("still shares System V memory with the host")
        elif mechanism == "cgroup":
            with open("/proc/self/cgroup") as file:
                if self._cgroup.BASE_PREFIX + "probe" not in file.read():
                    raise OSError("did not move to the new group")


def _in_child(act: Callable[[int], str]) -> str:
    """What `act` answers in a fork, or the text of its error."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = act(write)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            text = str(error) or type(error).__name__
        os.write(write, text.encode()[:_ANSWER_BYTES_MAX])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    return text or f"the trial process ended with status {status}"


def _refused(what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOENT):
            return
        raise
    raise OSError(f"{what} was not refused")


def _load(name: str) -> Any:
    """A neighbour of this file, as a module of a package nothing else is called like."""
    if _PACKAGE not in sys.modules:
        folder = os.path.dirname(os.path.abspath(__file__))
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, f"{folder}/__init__.py", submodule_search_locations=[folder]
        )
        if spec is None or spec.loader is None:
            raise ImportError(folder)
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.{name}")


def main() -> None:
    """Probe and print."""
    scratch = tempfile.mkdtemp(prefix="router-probe-")
    try:
        os.chmod(scratch, 0o755)  # noqa: S103 - the trial users walk through it
        os.mkdir(f"{scratch}/task", 0o755)
        with open(f"{scratch}/secret", "w") as file:
            file.write("a file no function may read")
        found = _Probe(json.loads(sys.argv[1]), scratch).run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
