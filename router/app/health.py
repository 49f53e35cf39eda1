"""What the ingress process tells, as it concerns the probes."""

from router.ingress.front import Notices
from router.ops.server import Health
from router.telemetry.loop_watch import LoopWatch


class IngressNotices(Notices):
    """Not ready while nobody answers requests; stalls of either loop are one alarm."""

    def __init__(self, health: Health, watch: LoopWatch) -> None:
        self._health = health
        self._watch = watch

    def down(self, text: str) -> None:
        """As `Notices.down`."""
        self._health.block("ingress", text)

    def up(self) -> None:
        """As `Notices.up`."""
        self._health.clear("ingress")

    def stalled(self, late_s: float) -> None:
        """As `Notices.stalled`."""
        self._watch.note(late_s)
