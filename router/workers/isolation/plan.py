"""The router's side of isolation: what this host can do, and what each environment is to do.

`probe` finds the facts once at start-up by trying (`probe.py`); a `Planner` turns them into the
plans that the zygote's children carry out (`ladder.py`). A plan names every step: a child that
cannot take one refuses to run the function.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from router import config
from router.model.errors import ConfigError
from router.model.function import FunctionVersion
from router.model.hosting import BARE
from router.workers.isolation import files

PROBE_S_MAX = 30
"""The probe takes about 0.1 s; on a host where it hangs the router does not start."""

RUNG_MAX = 3

RUNG_OF_MECHANISM = {
    "plain": 1,
    "cgroup": 1,
    "seccomp": 2,
    "landlock": 2,
    "mounts": 2,
    "proc": 2,
    "ipc": 2,
    "uid": 3,
}
"""The lowest rung that uses each mechanism."""

LANDLOCK_ABI_NETWORK = 4
LANDLOCK_ABI_SCOPE = 6

_UID_FIRST_CHOICES = (200_000, 40_000)
"""Above the users of any host; else inside what a container with 65,536 users has."""

_HOSTS = "/etc/hosts"
_TASK, _OPT, _TMP, _RUNTIME = "/var/task", "/opt", "/tmp", "/var/runtime"  # noqa: S108 - inside


class IsolationSettings(msgspec.Struct, frozen=True):
    """What the operator asks for."""

    rung: int | None = None
    """0 to 3; None is the highest that works."""
    require: tuple[str, ...] = ()
    """Mechanisms without which the router does not start."""
    network: str = "open"
    """`open`, `embedded` (the router's own services) or `none` (not even those)."""
    cgroup: bool = False
    """Whether control groups are to limit memory and processes; True requires that they work."""
    mounts: bool = True
    """Whether a private file view is wanted where it works."""
    uid_first: int = 0
    """First of the users for functions at rung 3; 0 is 200,000, or 40,000 where that is unknown."""
    uid_count: int = 10_000
    """How many users there are, so how many functions one router may run at rung 3."""

    @property
    def wants_groups(self) -> bool:
        """Whether `cgroup` is on: by its own setting, or because it is required."""
        return self.cgroup or "cgroup" in self.require


class Facts(msgspec.Struct, frozen=True):
    """What is in force on this host, and why it is not more."""

    rung: int
    mechanisms: tuple[str, ...]
    missing: dict[str, str]
    """Mechanism → why not, for people."""
    landlock_abi: int
    user_namespace: bool
    """The private file view is made by way of a user namespace."""
    uid_first: int
    uid_count: int
    interpreter: str
    """The interpreter behind the one probed: what environments are to be started with."""
    prefixes: tuple[str, ...]
    is_seen: bool = True
    """The router can look at the descriptors of environments: at who calls a Runtime API."""
    text: str = ""
    """The lines of `router doctor`."""

    @property
    def image_problem(self) -> str:
        """Why no unpacked image can be run here; empty where one can."""
        if "mounts" in self.mechanisms:
            return ""
        why = self.missing.get("mounts", f"isolation rung {self.rung} has none")
        return f"an image needs a private file view, which this host does not give: {why}"

    def is_function_uid(self, uid: int) -> bool:
        """Whether processes of this user are functions; never true below rung 3."""
        return "uid" in self.mechanisms and 0 <= uid - self.uid_first < self.uid_count


def asked_for(settings: config.IsolationSettings) -> IsolationSettings:
    """The settings as an operator writes them. Raises `ConfigError`."""
    return IsolationSettings(
        rung=None if settings.rung == "auto" else int(settings.rung),
        require=settings.require,
        network=settings.network,
        cgroup=settings.cgroup,
    )


def probe(interpreter: str, settings: IsolationSettings) -> Facts:
    """Find out by trying. Blocks for about 0.1 s: call it from a thread.

    Raises `ConfigError` when what the settings ask for cannot be had.
    """
    firsts = (settings.uid_first,) if settings.uid_first else _UID_FIRST_CHOICES
    options = {
        "uids": [(first, settings.uid_count) for first in firsts],
        "mounts": settings.mounts,
        "cgroup": settings.wants_groups,
        "router": os.getpid(),
    }
    script = str(Path(__file__).with_name("probe.py"))
    command = [interpreter, "-I", "-S", script, json.dumps(options)]
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, env={}, capture_output=True, timeout=PROBE_S_MAX, check=True
        )
        found = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigError(f"isolation probe with {interpreter} failed: {last}") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"isolation probe with {interpreter} failed: {error}") from error
    return settle(found, settings)


def settle(found: dict[str, Any], settings: IsolationSettings) -> Facts:
    """Choose the rung from what the probe found. Raises `ConfigError`."""
    works = [str(name) for name in found["mechanisms"]]
    reached = rung_of(works)
    wanted = reached if settings.rung is None else settings.rung
    if not 0 <= wanted <= RUNG_MAX:
        raise ConfigError(f"isolation.rung must be 0 to {RUNG_MAX}, not {wanted}")
    missing = dict(found["missing"])
    if reached < wanted:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise ConfigError(
            f"isolation.rung is {wanted}, the highest that works here is {reached}. {reasons}"
        )
    if "cgroup" in works and not settings.wants_groups:
        works.remove("cgroup")
        missing["cgroup"] = files.GROUPS_OFF
    used = tuple(name for name in works if RUNG_OF_MECHANISM[name] <= wanted)
    for name in works:
        if name not in used:
            missing[name] = f"works, but isolation.rung is {wanted}"
    _check_required(settings, used, missing)
    _check_network(settings, used, found["landlock_abi"])
    facts = msgspec.convert(
        {**found, "rung": wanted, "mechanisms": used, "missing": missing}, Facts
    )
    return msgspec.structs.replace(facts, text=describe(facts))


def rung_of(mechanisms: Sequence[str]) -> int:
    """The rung that these mechanisms together reach.

    Rung 3 without Landlock (kernels before 5.13) needs a private file view instead: own users alone
    do not keep a function from files that everybody may read.
    """
    has = set(mechanisms)
    if {"plain", "seccomp", "uid"} <= has and has & {"landlock", "mounts"}:
        return 3
    if {"plain", "seccomp", "landlock"} <= has:
        return 2
    return 1 if "plain" in has else 0


def describe(facts: Facts) -> str:
    """Lines for people: what is in force, what is not and why, what stays open."""
    lines = [f"isolation rung {facts.rung}: {', '.join(facts.mechanisms) or 'nothing'}"]
    lines += [f"  without {name}: {why}" for name, why in facts.missing.items()]
    has = set(facts.mechanisms)
    is_scoped = "landlock" in has and facts.landlock_abi >= LANDLOCK_ABI_SCOPE
    gaps = {
        "functions can read each other's files and the router's": not has & {"landlock", "mounts"},
        "functions can signal each other and the router": not (is_scoped or "uid" in has),
        "functions see each other's process names": "proc" not in has,
        "System V memory of a function outlives it": "ipc" not in has,
        "memory and processes are limited by watching, not by the kernel": "cgroup" not in has,
        "the api listener cannot tell functions from operators": "uid" not in has,
        "a Runtime API tells functions apart, but not two environments of one function "
        "(needs CAP_SYS_PTRACE)": not facts.is_seen,
    }
    lines += [f"  {gap}" for gap, is_open in gaps.items() if is_open]
    if facts.rung == RUNG_MAX:
        lines.append(
            "  no higher rung is offered: for strangers' code a machine each (docs/isolation.md)"
        )
    return "\n".join(lines)


class Planner:
    """Makes plans. State: which user each function was given."""

    def __init__(
        self,
        facts: Facts,
        settings: IsolationSettings,
        interpreter: str,
        hidden: Sequence[str] = (),
        file_systems: Mapping[str, str] | None = None,
    ) -> None:
        """`hidden`: folders no function may see, wherever they lie: data, secrets.

        `file_systems`: where functions see it → folder they may write to, when they ask for it.
        Raises `ConfigError` when one of them is inside a folder that every function reads.
        """
        self._facts = facts
        self._settings = settings
        self._mechanisms = [name for name in facts.mechanisms if name != "cgroup"]
        self._prefixes = list(dict.fromkeys((*facts.prefixes, str(Path(interpreter).parent))))
        self._hidden = [str(Path(path).resolve()) for path in hidden]
        self._has_view = "mounts" in facts.mechanisms
        self._file_systems = dict(file_systems or {})
        self._refuse_overlaps()
        self._uids: dict[str, int] = {}
        self._covered = self._cover([(path, path) for path in self._system_folders()])

    def host(self) -> dict[str, Any]:
        """For `ladder.prepare`."""
        return {
            "prefixes": self._prefixes,
            "mounts": self._has_view,
            "user_namespace": self._facts.user_namespace,
            "private_proc": "proc" in self._facts.mechanisms,
        }

    def environment(
        self,
        function: FunctionVersion,
        *,
        task: str,
        tmp: str,
        opt: str = "",
        runtime: str = "",
        root: str = "",
        read_only: Sequence[str] = (),
        ports: Sequence[int] = (),
        services: Sequence[int] = (),
        cgroup: Sequence[str] = (),
        hosts: str = "",
    ) -> dict[str, Any]:
        """For `ladder.enter`. Paths are absolute folders of the host; empty ones are not given.

        `root` is an unpacked image: all that is seen besides `tmp` and file systems.
        `read_only` are seen where they are. `ports` of this host stay reachable whatever the
        network is, `services` when it is embedded. `cgroup` comes from `Groups.make`. `hosts` is
        seen as /etc/hosts where there is a private file view.
        Raises `ConfigError` when a hidden folder would be seen, no user is left, a file system
        of the function has no folder, or no root can be changed.
        """
        binds = [] if root else [(task, _TASK), (opt, _OPT), (runtime, _RUNTIME)]
        binds = [(source, target) for source, target in binds if source]
        binds += [(path, path) for path in read_only]
        if root and (problem := self._facts.image_problem):
            raise ConfigError(problem)
        binds += [(hosts, _HOSTS)] if hosts and self._has_view and not root else []
        inside = {"task": _TASK, "opt": _OPT, "tmp": _TMP, "runtime": _RUNTIME}
        outside = {"task": task, "opt": opt, "tmp": tmp, "runtime": runtime}
        return {
            "mechanisms": self._mechanisms + ["cgroup"] * bool(cgroup),
            "uid": self.uid_of(function.name),
            "file_bytes_max": -1 if function.file_systems else function.ephemeral_mb << 20,
            "cgroup": list(cgroup),
            "binds": binds,
            "cover": self._cover([(root, "/")]) if root else self._covered + self._cover(binds),
            "root": root,
            "hosts": hosts,
            "read_only": list(read_only),
            "writable": [self._writable(path) for path in function.file_systems],
            "ports": self._reachable(ports, services),
            "tmp": tmp,
            "paths": inside if self._has_view else outside,
        }

    def uid_of(self, function_name: str) -> int | None:
        """The user of a function, the same as long as the router runs; None below rung 3.

        Raises `ConfigError` when every user of the range is taken.
        """
        if "uid" not in self._facts.mechanisms:
            return None
        given = self._uids.get(function_name)
        if given is not None:
            return given
        first, count = self._facts.uid_first, self._facts.uid_count
        if len(self._uids) >= count:
            raise ConfigError(f"isolation.uid_count: all {count} users are taken")
        taken = set(self._uids.values())
        digest = hashlib.sha256(function_name.encode()).digest()
        slot = int.from_bytes(digest[:8], "big") % count
        while first + slot in taken:  # an open address table: the next free slot
            slot = (slot + 1) % count
        self._uids[function_name] = first + slot
        return first + slot

    def _reachable(self, ports: Sequence[int], services: Sequence[int]) -> list[int] | None:
        match self._settings.network:
            case "open":
                return None
            case "embedded":
                return [*ports, *services]
        return list(ports)

    def _writable(self, path: str) -> tuple[str, str]:
        """Folder of the host and where the function sees it."""
        folder = self._file_systems.get(path, "")
        if not folder:
            raise ConfigError(BARE.problem("", (path,)))
        if not Path(folder).is_dir():
            raise ConfigError(f"file_systems: {folder} (for {path}) is not a folder")
        if not self._has_view and folder != path:
            raise ConfigError(
                f"file_systems: functions have no private file view on this host, so {path} must "
                f"be a folder of the host itself, not {folder}"
            )
        return folder, path

    def _refuse_overlaps(self) -> None:
        for path, folder in self._file_systems.items():
            root = Path(folder).resolve()
            for hidden in self._hidden:
                if root.is_relative_to(hidden) or Path(hidden).is_relative_to(root):
                    raise ConfigError(
                        f"file_systems: {folder} (for {path}) and {hidden} overlap: "
                        "functions may write to one and must not see the other"
                    )

    def _system_folders(self) -> list[str]:
        return files.outermost([*files.SYSTEM_FOLDERS, *self._prefixes])

    def _cover(self, binds: Sequence[tuple[str, str]]) -> list[str]:
        """Hidden folders as they would appear inside; Landlock alone cannot take them out."""
        found = []
        for source, target in binds:
            root = Path(source).resolve()
            for hidden in self._hidden:
                if Path(hidden).is_relative_to(root):
                    below = Path(hidden).relative_to(root)
                    found.append(str(Path(target) / below))
                    self._refuse_without_view(hidden, source)
        return found

    def _refuse_without_view(self, hidden: str, granted: str) -> None:
        if "landlock" in self._facts.mechanisms and not self._has_view:
            raise ConfigError(
                f"{hidden} lies within {granted}, which functions can read; "
                "this host allows no private file view, so move one of them"
            )


def _check_required(
    settings: IsolationSettings, used: Sequence[str], missing: dict[str, str]
) -> None:
    for name in settings.require:
        if name not in RUNG_OF_MECHANISM:
            known = ", ".join(RUNG_OF_MECHANISM)
            raise ConfigError(f"isolation.require: {name!r} is none of {known}")
    if settings.wants_groups and "cgroup" not in used:
        raise ConfigError(f"isolation.cgroup is on, but: {missing.get('cgroup', 'unknown')}")
    for name in settings.require:
        if name not in used:
            raise ConfigError(f"isolation.require: no {name} here: {missing.get(name, 'unknown')}")


def _check_network(settings: IsolationSettings, used: Sequence[str], abi: int) -> None:
    if settings.network == "open":
        return
    if settings.network not in ("embedded", "none"):
        raise ConfigError(
            f"isolation.network must be open, embedded or none, not {settings.network!r}"
        )
    if abi < LANDLOCK_ABI_NETWORK or not {"landlock", "seccomp"} <= set(used):
        raise ConfigError(
            f"isolation.network = {settings.network} needs rung 2 and Landlock ABI "
            f"{LANDLOCK_ABI_NETWORK} (Linux 6.7); here it is {abi}"
        )
