"""Control groups of environments, from the router's side: make, remove, sweep after a crash."""

import contextlib
import os
import signal
from pathlib import Path

from router.workers.isolation import cgroup
from router.workers.isolation.plan import Facts

SWEEP_GROUPS_MAX = 10_000
"""Groups looked at by one sweep."""


class Groups:
    """One group per environment below one of this router. Only where `cgroup` is in force."""

    def __init__(self, facts: Facts) -> None:
        """Raises `cgroup.Unavailable` when the host changed its mind since the probe."""
        if "cgroup" not in facts.mechanisms:
            raise cgroup.Unavailable(facts.missing.get("cgroup", "not in force"))
        self._roots = cgroup.find_here()
        self._bases = cgroup.make_base(self._roots, _own_name())

    def make(self, name: str, memory_bytes: int, pids_max: int) -> tuple[str, ...]:
        """Make a group with limits; what it returns goes into the environment's plan.

        Raises `OSError`.
        """
        return cgroup.limit(self._bases, name, memory_bytes, pids_max)

    def remove(self, name: str) -> bool:
        """Kill what is left in a group and remove it; False while the killed are not gone yet."""
        return all(_empty(folder) for folder in self._folders(name))

    def oom_killed(self, name: str) -> bool:
        """Whether the kernel killed a process of the group because of its memory limit."""
        for folder in self._folders(name):
            for path in (folder / "memory.oom_control", folder / "memory.events"):
                with contextlib.suppress(OSError):
                    words = path.read_text().split()
                    counts = dict(zip(words[::2], words[1::2], strict=False))
                    if int(counts.get("oom_kill", "0")) > 0:
                        return True
        return False

    def sweep(self) -> int:
        """Kill and remove the groups of routers that are no more; returns how many groups."""
        removed = 0
        for root in set(self._roots.values()):
            for base in Path(root).glob(cgroup.BASE_PREFIX + "*"):
                if base.name == _own_name() or _is_alive(base.name):
                    continue
                inside = [path for path in base.iterdir() if path.is_dir()][:SWEEP_GROUPS_MAX]
                removed += sum(_empty(folder) for folder in inside)
                _empty(base)
        return removed

    def close(self) -> None:
        """Remove this router's own group once its environments are gone."""
        for base in set(self._bases.values()):
            for folder in [path for path in Path(base).iterdir() if path.is_dir()]:
                _empty(folder)
            _empty(Path(base))

    def _folders(self, name: str) -> list[Path]:
        return [Path(base) / name for base in dict.fromkeys(self._bases.values())]


def _own_name() -> str:
    return f"{cgroup.BASE_PREFIX}{os.getpid()}-{_started(os.getpid())}"


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot: with the pid it names one process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _is_alive(name: str) -> bool:
    pid, _, started = name.removeprefix(cgroup.BASE_PREFIX).partition("-")
    return pid.isdigit() and bool(started) and _started(int(pid)) == started


def _empty(folder: Path) -> bool:
    for pid in cgroup.processes(str(folder)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
