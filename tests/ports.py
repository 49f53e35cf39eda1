"""Ports for routers that are killed and come back where they were.

A port that the system chose may go to anybody else meanwhile; these lie below the range it chooses
from, and belong to the process of the tests that asked until it ends, whether anybody listens on
them or not: other processes of this run and of others on the machine pass them over.
"""

import os
import socket

FIRST, COUNT = 20_000, 10_000

_held: list[socket.socket] = []


def lasting_port() -> int:
    """One that nobody listens on now, and nobody else will."""
    for number in range(COUNT):
        port = FIRST + (os.getpid() * 7 + number) % COUNT
        # The kernel lets go of such a name when the process ends, whatever it dies of.
        name = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                name.bind(f"\0router-tests-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                name.close()
                continue
        _held.append(name)
        return port
    raise AssertionError(f"no port is free from {FIRST} on")
