"""What every life tells of the shell and the engine it runs, whatever kind its source is."""

from typing import Any, Generic, TypeVar

from router.mapping.driver import Driver
from router.mapping.queue_engine import QueueEngine
from router.mapping.stream_engine import StreamEngine
from router.mapping.tape import Tape
from router.mapping.trace import TracedEngine, TracedQueueEngine
from router.mapping.view import LastError

S = TypeVar("S", bound=Driver[Any, Any])
E = TypeVar("E", bound=StreamEngine | QueueEngine)


class Driven(Generic[S, E]):
    """The part of `Life` that is the same for all."""

    shell: S
    engine: E

    @property
    def last_result(self) -> str:
        """See `Life.last_result`."""
        return self.shell.last_result

    @property
    def last_error(self) -> LastError | None:
        """See `Life.last_error`."""
        return self.shell.last_error

    @property
    def in_flight(self) -> int:
        """See `Life.in_flight`."""
        return self.shell.in_flight

    @property
    def held_records(self) -> int:
        """See `Life.held_records`."""
        return self.engine.held_records

    @property
    def is_draining(self) -> bool:
        """See `Life.is_draining`."""
        return self.shell.is_draining

    @property
    def is_broken(self) -> bool:
        """See `Life.is_broken`."""
        return self.shell.is_broken

    @property
    def tape(self) -> Tape | None:
        """See `Life.tape`."""
        engine = self.engine
        return engine.tape if isinstance(engine, (TracedEngine, TracedQueueEngine)) else None

    def see_room(self) -> None:
        """See `Life.see_room`."""
        self.shell.see_room()

    def resume(self) -> None:
        """See `Life.resume`."""
        self.shell.resume()

    async def drain(self, timeout_s: float) -> bool:
        """See `Life.drain`."""
        return await self.shell.drain(timeout_s)

    async def stop(self) -> None:
        """See `Life.stop`."""
        await self.shell.stop()
