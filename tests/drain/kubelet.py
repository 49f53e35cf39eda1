"""A kubelet and a Service, as far as a pod that is replaced meets them.

delete pod ─┬─ preStop ──────────┬─ SIGTERM ─────── … ─ SIGKILL
            └─ endpoints go away ┘                  ^ terminationGracePeriodSeconds
"""

import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from tests.integration.bed import Bed

PRE_STOP_S = 1.0
"""Instead of 5 s, so that a rehearsal is short; the Service takes half of it to follow."""

CLOSE_S = 5.0
"""What a grace period has beside preStop and drain."""


class Service:
    """Leads new connections to the pod while it is one of its endpoints; old ones stay."""

    def __init__(self) -> None:
        self.has_endpoint = threading.Event()


@dataclass
class Ending:
    """How a pod ended."""

    status: int
    deleted_at: float
    signalled_at: float
    ended_at: float
    was_killed: bool


class Kubelet:
    """Starts and replaces one pod."""

    def __init__(self, bed: Bed, service: Service, drain_s: float) -> None:
        self._bed = bed
        self._service = service
        self._grace_s = PRE_STOP_S + drain_s + CLOSE_S
        bed.environment["ROUTER_DRAIN_S"] = str(drain_s)

    def start(self) -> None:
        """Until the pod is ready, and an endpoint."""
        self._bed.start()
        self._service.has_endpoint.set()

    def delete(self) -> Ending:
        """As `kubectl delete pod` has it done."""
        deleted_at = time.monotonic()
        follows = threading.Timer(PRE_STOP_S / 2, self._service.has_endpoint.clear)
        follows.start()
        time.sleep(PRE_STOP_S)
        follows.join()
        signalled_at = time.monotonic()
        self._bed.signal(signal.SIGTERM)
        was_killed = False
        try:
            status = self._bed.wait(deleted_at + self._grace_s - time.monotonic())
        except subprocess.TimeoutExpired:
            was_killed = True
            self._bed.signal(signal.SIGKILL)
            status = self._bed.wait()
        return Ending(status, deleted_at, signalled_at, time.monotonic(), was_killed)
