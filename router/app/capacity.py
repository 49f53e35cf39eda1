"""What this machine takes at a time: invocations, connections, bytes."""

import os
import resource
from pathlib import Path

import msgspec

from router.config import IngressSettings
from router.model.limits import MIB

ENVIRONMENT_BYTES = 64 << 20
"""Memory one environment is counted with."""

MEMORY_SHARE = 0.6
CONCURRENCY_MIN = 16
CONCURRENCY_MAX = 1_000
"""AWS's account limit."""

CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


REQUESTS_SHARE = 1 / 16
REQUESTS_BYTES_MIN = 16 * MIB
REQUESTS_BYTES_MAX = 128 * MIB
"""Bytes of requests under way: a sixteenth of the memory, within these."""

BUFFER_SHARE = 1 / 8
BUFFER_BYTES_MIN = 32 * MIB
BUFFER_BYTES_MAX = 4_096 * MIB
"""Bytes that mappings hold: an eighth of the memory, within these. Five hundred that are far behind
then have a full fetch each, and more would not make them faster."""

FILES_WANTED = 65_536
"""Open files the router asks the kernel for, when its hard limit allows."""

FILES_KEPT = 64
"""Kept for the store, the listeners, the zygotes and who asks how the router is."""

API_CONNECTIONS_SHARE = 1 / 32
API_CONNECTIONS_MIN = 16
API_CONNECTIONS_MAX = 1_024
"""Connections of the API, and as many of the functions' own listener: a share of open files."""

FILES_PER_ENVIRONMENT = 3
CONNECTIONS_MIN = 16


def memory_bytes() -> int:
    """Memory this process may use: the control group's limit (v2, v1), its own or the host's."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        host = min(host, own)
    for name in CGROUP_FILES:
        try:
            text = Path(name).read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(host, int(text))
    return host


def concurrency_default() -> int:
    """min(1000, max(16, 0.6 × memory / 64 MiB)) (`design.md` 7a)."""
    fitting = int(memory_bytes() * MEMORY_SHARE / ENVIRONMENT_BYTES)
    return min(CONCURRENCY_MAX, max(CONCURRENCY_MIN, fitting))


def buffer_bytes_default() -> int:
    """What all mappings together may hold where nothing is said."""
    return min(BUFFER_BYTES_MAX, max(BUFFER_BYTES_MIN, int(memory_bytes() * BUFFER_SHARE)))


def raise_open_files() -> int:
    """Use what the hard limit allows; the soft one is often 1,024. Returns what is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def api_connections_fitting(files: int) -> int:
    """Open connections of each of the two listeners that speak AWS, as far as files reach."""
    fitting = int(files * API_CONNECTIONS_SHARE)
    return min(API_CONNECTIONS_MAX, max(API_CONNECTIONS_MIN, fitting))


def has_ingress_process(settings: IngressSettings) -> bool:
    """Whether the listener gets a process of its own: it pays where another processor runs it."""
    if settings.processes >= 0:
        return settings.processes > 0
    return len(os.sched_getaffinity(0)) > 1


def ingress_fitting(settings: IngressSettings, files: int, environments: int) -> IngressSettings:
    """The listener's settings, as far as open files and memory reach.

    Connections from outside leave files for the store and for environments, so that a flood of
    them cannot stop the work that was accepted. At most half of the files go to environments here.
    """
    kept = FILES_KEPT + 2 * api_connections_fitting(files)
    kept += min(environments * FILES_PER_ENVIRONMENT, files // 2)
    buffered = int(memory_bytes() * REQUESTS_SHARE)
    return msgspec.structs.replace(
        settings,
        connections_max=min(settings.connections_max, max(CONNECTIONS_MIN, files - kept)),
        buffered_bytes_max=settings.buffered_bytes_max
        or min(REQUESTS_BYTES_MAX, max(REQUESTS_BYTES_MIN, buffered)),
    )
