"""Addresses of listeners: cut apart, and found out early whether they can be had."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping

from router.model.errors import ConfigError


def split(where: str) -> tuple[str, int]:
    """`HOST:PORT` as host and port; no host is all addresses."""
    host, _, port = where.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  ":8080" says so


def shown(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def naming(listener: str, where: str) -> Iterator[None]:
    """Say which listener could not have its port. Raises `ConfigError`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the {listener} listener cannot have {where}: {_why(error)}. "
            f"Set another with --{listener} HOST:PORT (port 0 is a free one)"
        ) from None


def check_free(listeners: Mapping[str, str]) -> None:
    """Try each address, so that one that is taken ends a start before anything is started.

    It is tried again when it is listened on: somebody may take it until then. Raises
    `ConfigError`.
    """
    with contextlib.ExitStack() as undo:
        for name, where in listeners.items():
            host, port = split(where)
            with naming(name, where):
                for family, kind, proto, _name, address in socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                ):
                    tried = undo.enter_context(socket.socket(family, kind, proto))
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if family == socket.AF_INET6:
                        tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    tried.bind(address)
                    tried.listen(1)  # only now is it ours alone


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)
