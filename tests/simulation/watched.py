"""The engine as the shell sees it, with a checker listening at the door."""

from collections.abc import Callable
from typing import Any

import msgspec

from router.mapping import engine as e
from tests.simulation.around import AroundEngine
from tests.simulation.checker import Checker
from tests.simulation.shard_state import Violation

BUSY_TICKS_MAX = 200
"""Ticks in a row at one virtual moment that bring nothing: the engine is spinning."""


class WorldAround(msgspec.Struct, frozen=True, kw_only=True):
    """What the door needs of the world."""

    checker: Checker
    note: Callable[[Any], None]
    """Remember a step for the report of a failure."""
    aim_at_age: Callable[[], None]
    """Before a tick: the wall clock may move to where a record is just too old."""
    heard: Callable[[e.Event], None]
    """After the engine heard something: a crash may fall there."""
    wall_ms: Callable[[], int]
    fail: Callable[[Exception], None]
    """End the run with this: the shell would take it for a reason to start again."""


class Watched(AroundEngine):
    """Implements `engine.Engine` around an engine."""

    def __init__(self, engine: e.Engine, around: WorldAround) -> None:
        super().__init__(engine)
        self._around = around
        self._busy_ticks = 0
        self._busy_ms = -1

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """As the engine; everything said is checked."""
        try:
            return self._handle(event, now_ms, wall_ms)
        except Exception as error:
            self._around.fail(error)
            raise

    def _handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        around, checker = self._around, self._around.checker
        if isinstance(event, e.Tick):
            around.aim_at_age()
            wall_ms = around.wall_ms()
        checker.heard(event, now_ms)
        around.note(event)
        commands = self._engine.handle(event, now_ms, wall_ms)
        for command in commands:
            around.note(command)
        if commands:
            checker.said(commands, now_ms, wall_ms)
        else:
            self._see_spinning(event, now_ms)
        checker.drained(self._engine.is_drained)
        around.heard(event)
        return commands

    def _see_spinning(self, event: e.Event, now_ms: int) -> None:
        if not isinstance(event, e.Tick) or now_ms != self._busy_ms:
            self._busy_ticks, self._busy_ms = 0, now_ms
        self._busy_ticks += 1
        if self._busy_ticks > BUSY_TICKS_MAX:
            raise Violation("L3", "the engine asks for ticks and does nothing")
