"""Ports for routers that are killed and come back where they were.

A port that the system chose may go to anybody else meanwhile; these lie below the range it chooses
from, and each process of the tests has its own.
"""

import itertools
import os
import socket

FIRST = 20_000
EACH = 1_000
"""For each process of a parallel run."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 12
_numbers = itertools.count(os.getpid())


def lasting_port() -> int:
    """One that nobody listens on now."""
    for number in itertools.islice(_numbers, EACH):
        port = FIRST + _worker * EACH + number % EACH
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free from {FIRST + _worker * EACH} on")
