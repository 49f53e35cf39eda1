"""Sockets that listen, made before anybody accepts on them.

They are made apart from the server, so that a port stays the router's own while the process that
accepts on it is started again: what connects meanwhile waits in the kernel.
"""

import asyncio
import contextlib
import socket
from typing import Final

BACKLOG: Final = 1024
"""Connections the kernel may hold before they are accepted."""

SEND_BUFFER_BYTES: Final = 64 << 10
"""What the kernel holds for a client that does not read; by itself it would take megabytes."""


async def listen(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of a host, all of them on a port. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with contextlib.ExitStack() as undo:
        sockets = []
        for family, _type, _protocol, _name, address in dict.fromkeys(infos):
            sockets.append(undo.enter_context(socket.socket(family, socket.SOCK_STREAM)))
            _listen(sockets[-1], address)
        undo.pop_all()
    return sockets


def _listen(listening: socket.socket, address: tuple[object, ...]) -> None:
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listening.family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # What is accepted inherits it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listening.bind(address)
    listening.listen(BACKLOG)
