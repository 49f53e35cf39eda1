"""What every driver of an engine does: tell it facts, set about its commands, keep time, drain.

It decides nothing. Every command is answered by exactly one event, failure included; nothing
else in the router may retry a batch. What the commands of an engine mean is its shell's
(`shell.py` for streams, `queue_shell.py` for queues).
"""

import asyncio
import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from router.mapping import engine as e
from router.mapping.budget import COPIES, Budget
from router.mapping.view import LastError
from router.model.mapping_spec import MappingSpec

log = structlog.get_logger()

BROKEN = "PROBLEM: Internal error; the mapping starts again"

Event = TypeVar("Event")
Command = TypeVar("Command")
Event_contra = TypeVar("Event_contra", contravariant=True)
Command_co = TypeVar("Command_co", covariant=True)


class Clock(Protocol):
    """Time: monotonic decides, wall only for ages and stamps."""

    def now_ms(self) -> int:
        """Monotonic milliseconds."""

    def wall_ms(self) -> int:
        """Epoch milliseconds."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Monotonic milliseconds."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


class Deciding(Protocol[Event_contra, Command_co]):
    """An engine of any kind: see `engine.Engine`."""

    def handle(self, event: Event_contra, now_ms: int, wall_ms: int, /) -> Sequence[Command_co]:
        """See `Engine.handle`."""

    def next_wakeup_ms(self) -> int | None:
        """See `Engine.next_wakeup_ms`."""

    @property
    def held_bytes(self) -> int:
        """See `Engine.held_bytes`."""

    @property
    def is_drained(self) -> bool:
        """See `Engine.is_drained`."""


class Driver(ABC, Generic[Event, Command]):
    """One running mapping. Begin it, then `drain`, then `stop`."""

    def __init__(
        self,
        spec: MappingSpec,
        engine: Deciding[Event | e.Common, Command],
        clock: Clock,
        budget: Budget,
        on_broken: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._clock = clock
        self._budget = budget
        self._held_bytes = 0
        """Of the engine, as the budget knows it."""
        self._room_bytes: int | None = None
        """As the engine knows it."""
        self._on_broken = on_broken
        self._log = log.bind(mapping=spec.name)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms: int | None = None
        self._is_over = False
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self.in_flight = 0
        """Invocations running."""
        self.last_error: LastError | None = None
        """What went wrong last, also in the life before."""

    # What a kind of engine needs said

    @abstractmethod
    async def _answer(self, command: Command) -> Event:
        """Carry out a command."""

    @abstractmethod
    def _is_wait(self, command: Command) -> bool:
        """Whether it waits for records: such a command has a task of its own."""

    @abstractmethod
    def _cut_short(self, command: Command) -> Event:
        """The answer of such a command that was ended before it had one."""

    @property
    @abstractmethod
    def last_result(self) -> str:
        """LastProcessingResult."""

    @last_result.setter
    @abstractmethod
    def last_result(self, text: str) -> None:
        """As it was before a restart."""

    # Life

    def went_wrong(self, text: str) -> None:
        """Something failed that people may ask about."""
        self.last_error = LastError(text, self._clock.wall_ms())

    def resume(self) -> None:
        """Take up work again; a `drain` that waits ends."""
        self._is_draining = False
        self._feed(e.Resumed())
        self._is_idle.set()

    def begin_drain(self) -> None:
        """Start nothing new, and read nothing more."""
        self._is_draining = True
        self._feed(e.DrainRequested())
        self._end_waits()
        self._see_idle()

    def _end_waits(self) -> None:
        """End commands that wait for records: what they would bring stays in the source."""
        for wait in self._waits:
            wait.cancel()

    def see_room(self) -> None:
        """Tell the engine when all mappings together leave it more or less than before."""
        if (room_bytes := self._budget.room_bytes) != self._room_bytes:
            self._room_bytes = room_bytes
            self._feed(e.RoomChanged(room_bytes))

    @property
    def is_draining(self) -> bool:
        """Whether it starts nothing new."""
        return self._is_draining

    @property
    def is_broken(self) -> bool:
        """Whether it ended by a contradiction; `stop` it before another one begins."""
        return self._is_over

    async def drain(self, timeout_s: float) -> bool:
        """Begin a drain and wait for its end.

        False when time ran out first, or when it was resumed (then `is_draining` is false).
        """
        if self._is_over:
            return True
        self.begin_drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return self._is_draining

    async def stop(self) -> None:
        """End at once; what was not stored will be repeated after a start."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hold(0)
        self._is_idle.set()  # nothing ends a drain that waits any more

    # The loop

    def _feed(self, event: Event | e.Common) -> None:
        """Tell the engine a fact and set about what it asks for."""
        for command in self._tell(event):
            self._set_about(command)

    def _tell(self, event: Event | e.Common) -> Sequence[Command]:
        """Tell the engine a fact; what it asks for."""
        if self._is_over:
            return ()
        try:
            commands = self._engine.handle(event, self._clock.now_ms(), self._clock.wall_ms())
        except Exception as error:  # noqa: BLE001  a contradiction, or whatever an engine did wrong
            self._break(error)
            return ()
        if (held_bytes := self._engine.held_bytes) != self._held_bytes:
            self._hold(held_bytes)
        self._arm()
        if self._is_draining:
            self._see_idle()
        return commands

    def _hold(self, held_bytes: int) -> None:
        """Let the budget know what the engine holds."""
        self._budget.held_bytes += COPIES * (held_bytes - self._held_bytes)
        self._held_bytes = held_bytes

    def _break(self, error: Exception) -> None:
        """The engine met a contradiction: stop here and start again from what is stored."""
        self._is_over = True
        self._is_idle.set()  # nobody else ends a drain that waits
        self.last_result = BROKEN
        self.went_wrong(f"internal error: {error}")
        # First: it starts again even where its log line cannot be written.
        self._on_broken()
        self._log.error("mapping_broken", error=str(error), exc_info=error)

    def _arm(self) -> None:
        wakeup_ms = self._engine.next_wakeup_ms()
        if wakeup_ms == self._timer_at_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at_ms = wakeup_ms
        if wakeup_ms is not None:
            delay_s = max(0, wakeup_ms - self._clock.now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_at_ms = None
        self._feed(e.Tick())

    def _see_idle(self) -> None:
        if self._engine.is_drained:
            self._is_idle.set()
        else:
            self._is_idle.clear()

    def _set_about(self, command: Command) -> None:
        task = asyncio.get_running_loop().create_task(self._carry_out(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._is_wait(command):
            self._waits.add(task)
            task.add_done_callback(functools.partial(self._wait_ended, command))

    def _wait_ended(self, command: Command, task: "asyncio.Task[None]") -> None:
        """A drain ends waits, also before they begin: each is answered, as if nothing came."""
        self._waits.discard(task)
        if task.cancelled():
            self._feed(self._cut_short(command))

    async def _carry_out(self, command: Command) -> None:
        """Answer a command. What follows from it goes on in the same task: a lane keeps its own."""
        is_wait = self._is_wait(command)
        following: Command | None = command
        del command  # with its records: the task may go on for as long as the mapping is busy
        while following is not None:
            try:
                event = await self._answer(following)
            except Exception as error:  # noqa: BLE001  one command's surprise must not end the router
                self._break(error)
                return
            following = self._go_on(event, is_wait=is_wait)

    def _go_on(self, event: Event, *, is_wait: bool) -> Command | None:
        """Tell the engine; the command that the same task goes on with."""
        following: Command | None = None
        for asked in self._tell(event):
            # A task that waits ends with its wait, so that a drain cancels nothing else.
            if following is None and not is_wait and not self._is_wait(asked):
                following = asked
            else:
                self._set_about(asked)
        return following
