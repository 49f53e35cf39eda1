"""Queues: the queue shell on a queue engine. What it has done is known to the queue alone."""

from collections.abc import Callable
from typing import Any

from router.mapping.budget import Budget
from router.mapping.driver import Clock
from router.mapping.kinds.driven import Driven
from router.mapping.kinds.kind import Order
from router.mapping.queue_engine import QueueEngine
from router.mapping.queue_shell import QueueFormat, QueueShell, QueueSource, TurnTaker
from router.mapping.trace import TracedQueueEngine
from router.mapping.view import LaneView
from router.model.mapping_spec import MappingSpec


class QueueKind:
    """Implements `Kind`, for standard and FIFO queues."""

    def __init__(
        self,
        connect: Callable[[str], QueueSource],
        make_format: Callable[[str], QueueFormat],
        runner: TurnTaker,
        clock: Clock,
        budget: Budget,
        slots_max: int,
    ) -> None:
        """`connect` and `make_format` take a queue's ARN; `slots_max`: invocations at a time."""
        self._connect = connect
        self._make_format = make_format
        self._runner = runner
        self._clock = clock
        self._budget = budget
        self._slots_max = slots_max

    async def begin(self, order: Order) -> "QueueLife | None":
        """See `Kind.begin`."""
        spec = order.spec
        if not order.past.may_begin:
            return None
        source = self._connect(spec.source_arn)
        slots_max, receive_max, salt = self._slots_max, source.receive_max, order.trace_salt
        engine = (
            QueueEngine(spec, slots_max, receive_max)
            if salt is None
            else TracedQueueEngine(spec, slots_max, salt, receive_max)
        )
        shell = QueueShell(
            spec,
            engine,
            source=source,
            source_format=self._make_format(spec.source_arn),
            runner=self._runner,
            resolve=order.resolve,
            slowest=order.slowest,
            numbers=order.numbers,
            clock=self._clock,
            budget=self._budget,
            on_broken=order.on_broken,
        )
        shell.last_result, shell.last_error = order.last_result, order.last_error
        shell.start()
        return QueueLife(spec, shell, engine, self._clock)

    async def lag(self, spec: MappingSpec, looks: dict[str, Any]) -> int:
        """See `Kind.lag`: the messages that are in the queue."""
        arn = spec.source_arn
        if arn not in looks:
            looks[arn] = await self._connect(arn).backlog()
        return int(looks[arn])


class QueueLife(Driven[QueueShell, QueueEngine]):
    """Implements `Life`."""

    def __init__(
        self, spec: MappingSpec, shell: QueueShell, engine: QueueEngine, clock: Clock
    ) -> None:
        self._clock = clock
        self.spec = spec
        self.shell = shell
        self.engine = engine

    @property
    def transition_reason(self) -> str:
        """See `Dependent.transition_reason`: AWS tells of none for queues."""
        return ""

    @property
    def trouble(self) -> str:
        """See `Dependent.trouble`."""
        return self.shell.trouble

    def lanes(self) -> list[LaneView]:
        """See `Life.lanes`."""
        return self.engine.lanes(self._clock.now_ms())

    def can_become(self, spec: MappingSpec) -> bool:
        """See `Life.can_become`."""
        return spec.source_arn == self.spec.source_arn

    async def follow(self, spec: MappingSpec) -> None:
        """See `Life.follow`."""
        if self.spec != spec:
            self.shell.change_settings(spec)
            self.spec = spec
