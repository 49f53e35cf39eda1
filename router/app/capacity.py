"""How many invocations this machine takes at a time."""

import os
from pathlib import Path

ENVIRONMENT_BYTES = 64 << 20
"""Memory one environment is counted with."""

MEMORY_SHARE = 0.6
CONCURRENCY_MIN = 16
CONCURRENCY_MAX = 1_000
"""AWS's account limit."""

CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int:
    """Memory this process may use: the control group's limit (v2, v1) or the host's."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
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
