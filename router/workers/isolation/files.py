"""Which files of the host a function may see besides its own: listed here, one by one.

Never whole `/etc`, `/run`, `/var` or a mounted secret: what is not in these lists is not there.
"""

import os

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")

SYSTEM_FILES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/crypto-policies/back-ends",
    "/sys/devices/system/cpu",
)

USER_FILES = ("/etc/passwd", "/etc/group")
"""Real ones without a private file view; in one they are made up (`mounts.py`)."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}

GROUPS_OFF = "available, off (isolation.cgroup = true turns it on; ADR 4)"
"""Why control groups are not in force where they would be."""


def outermost(paths: list[str]) -> list[str]:
    """`paths` that exist and lie below no other of them, sorted."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        inside = any(path == root or path.startswith(root.rstrip("/") + "/") for root in kept)
        if not inside and os.path.exists(path):
            kept.append(path)
    return kept
