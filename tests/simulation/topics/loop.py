"""The virtual loop for several routers at once: each has a life of its own.

Whatever a router does runs in its context; when it dies nothing of it makes another step.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from tests.simulation.loop import Action, VirtualLoop


class LifeOf:
    """One router from its start to its end."""

    def __init__(self, router: Any) -> None:
        self.router = router
        self.is_over = False
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)


LIFE: contextvars.ContextVar[LifeOf | None] = contextvars.ContextVar("life", default=None)


class _Handle(asyncio.Handle):
    def _run(self) -> None:
        life = self._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or not life.is_over:
            super()._run()  # type: ignore[misc]


class LoopOfLives(VirtualLoop):
    """Forgets what belongs to a life that is over."""

    def later(self, after_ms: int, action: Action, *, is_of_life: bool = True) -> None:
        """See `VirtualLoop.later`; whose life it is of says the context."""
        life = LIFE.get() if is_of_life else None
        if life is None:
            super().later(after_ms, action, is_of_life=False)
        else:
            super().later(after_ms, lambda: life.is_over or action(), is_of_life=False)  # type: ignore[func-returns-value]

    def call_soon(
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        if not self._is_over:
            self._ready.append(handle)
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A commit that is shielded goes on when nobody waits for it any more, and may fail."""
        if not isinstance(context.get("exception"), KafkaError):
            super().call_exception_handler(context)

    def run_as(self, life: LifeOf, coro: Any) -> "asyncio.Task[Any]":
        """A task of this router."""
        return life.context.copy().run(self.create_task, coro)
