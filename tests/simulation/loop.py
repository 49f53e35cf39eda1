"""An event loop whose time is a number: production tasks run in it as they are.

No thread, no socket, no clock. What is due at one virtual moment comes in an order drawn from
the run's generator, and a task's own steps in the order asyncio promises, so that a seed always
means the same run.
"""

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any

from tests.simulation.shard_state import Violation

Action = Callable[[], None]

TURNS_MAX = 200_000
"""Turns of the loop at one virtual moment: who needs more will never end."""

TASKS_KEPT = 5_000
"""Tasks remembered before those that are done are forgotten."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as tasks, futures, timers and `asyncio.timeout` need."""

    def __init__(self, rng: random.Random, late_ms_max: int = 0) -> None:
        self.now_ms = 0
        self.steps = 0
        self.failure: BaseException | None = None
        """Stops the run at once."""
        self.late_ms_max = late_ms_max
        """How much too late a timer of the router may come."""
        self._rng = rng
        self._life = 0
        self._heap: list[tuple[int, float, int, int | None, Action]] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._order = 0
        self._tasks: list[asyncio.Task[Any]] = []
        """Kept beyond their life: a dying coroutine's `finally` must not wake another one."""
        self._is_over = False
        self._busy = 0
        """Things done since time last moved."""

    # What the world wants

    def later(self, after_ms: int, action: Action, *, is_of_life: bool = True) -> None:
        """Do it then; what belongs to a router's life is forgotten when it dies."""
        self._order += 1
        life = self._life if is_of_life else None
        entry = (self.now_ms + after_ms, self._rng.random(), self._order, life, action)
        heappush(self._heap, entry)

    async def pause(self, after_ms: int) -> None:
        """Let virtual time pass in a task."""
        done = self.create_future()
        self.later(after_ms, lambda: done.done() or done.set_result(None))
        await done

    def die(self) -> None:
        """`kill -9`: no task of this life makes another step."""
        self._life += 1
        self._ready.clear()

    def end(self) -> None:
        """The run is over; what still waits is put away without another step."""
        self.die()
        self._is_over = True
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False
                task.get_coro().close()
        self._tasks.clear()
        self._heap.clear()

    def run_until(self, end_ms: int, is_over: Callable[[], bool]) -> None:
        """Run to a moment, or until it is over. Raises whatever failed on the way."""
        heap, ready = self._heap, self._ready
        asyncio._set_running_loop(self)
        try:
            while True:
                turns = 0
                while ready:
                    turns += 1
                    if turns > TURNS_MAX:
                        raise Violation("L3", f"the router spins at {self.now_ms}")
                    handle = ready.popleft()
                    if not handle.cancelled():
                        handle._run()
                    if self.failure is not None:
                        raise self.failure
                if is_over() or not heap or heap[0][0] > end_ms:
                    break
                before_ms = self.now_ms
                self.now_ms, _, _, life, action = heappop(heap)
                self._busy = 0 if self.now_ms > before_ms else self._busy + 1
                if self._busy > TURNS_MAX:
                    raise Violation("L3", f"nothing but this moment: {self.now_ms}")
                if life is None or life == self._life:
                    self.steps += 1
                    action()
                    if self.failure is not None:
                        raise self.failure
            if not is_over():
                self.now_ms = end_ms
        finally:
            asyncio._set_running_loop(None)

    # What asyncio wants

    def time(self) -> float:
        return self.now_ms / 1000

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **_: Any) -> "asyncio.Task[Any]":
        if len(self._tasks) >= TASKS_KEPT:
            self._tasks = [task for task in self._tasks if not task.done()]
        task = asyncio.Task(coro, loop=self)
        self._tasks.append(task)
        return task

    def call_soon(
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._is_over:
            self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        late_ms = self._rng.randint(0, self.late_ms_max) if self.late_ms_max and delay > 0 else 0
        self.later(
            max(0, round(delay * 1000)) + late_ms,
            lambda: None if handle.cancelled() else handle._run(),
        )
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task that ended by an error nobody looked at; tasks of a dead life say nothing."""
        if (error := context.get("exception")) is not None and self.failure is None:
            self.failure = error
