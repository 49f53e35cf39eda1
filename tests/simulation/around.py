"""What stands around an engine and looks like it to the shell."""

from router.mapping import engine as e


class AroundEngine:
    """Passes on what it does not care about."""

    def __init__(self, engine: e.Engine) -> None:
        self._engine = engine

    def next_wakeup_ms(self) -> int | None:
        """As the engine."""
        return self._engine.next_wakeup_ms()

    @property
    def held_bytes(self) -> int:
        """As the engine."""
        return self._engine.held_bytes

    @property
    def is_drained(self) -> bool:
        """As the engine."""
        return self._engine.is_drained
