"""A router without a clock: the production shell, dispatcher, courier and store in a made-up world.

Everything random comes from one generator, seeded with the run's seed: first all options, then
all choices. Engine, shell, dispatcher, outbox and courier are the production ones, in an event
loop whose time is virtual; the stream, the function and the faults are not.
Two phases: *safety*, with the faults the options ask for; then *liveness*, without faults, in
which everything must settle within the longest back-off + the longest windows + 60 s.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from router.mapping.shard import RunAhead
from router.model import limits
from router.model.mapping_spec import MappingSpec
from tests.simulation.checker import Checker
from tests.simulation.durable import Store
from tests.simulation.function import FakeFunction
from tests.simulation.letters import Letters
from tests.simulation.lives import Lives
from tests.simulation.loop import VirtualLoop
from tests.simulation.options import Options
from tests.simulation.parts import Parts
from tests.simulation.shard_state import Violation
from tests.simulation.stream import FakeStream
from tests.simulation.troubles import Troubles
from tests.simulation.window_book import AHEAD_MS

EPOCH_MS = 1_790_000_000_000
MINUTE_MS = 60_000
SETTLE_MS = limits.BACKOFF_MS_MAX + 60_000
"""Liveness: what is allowed on top of the longest window."""
LETTERS_MS = 5 * 3_600_000
"""On-failure records: twenty attempts with waits of up to 19 minutes."""
STEPS_KEPT = 50


class World:
    """Time, and everything that happens in it."""

    def __init__(self, options: Options, rng: random.Random, parts: Parts) -> None:
        self.options = options
        self.rng = rng
        self.parts = parts
        self.loop = VirtualLoop(rng, options.tick_late_ms_max)
        self.wall_skew_ms = 0
        self.wall_skew_ms_max = 0
        self.trace: deque[tuple[int, Any]] = deque(maxlen=STEPS_KEPT)
        self.spec = options.spec
        self.window_ms_max = 0
        self.has_had_windows = False
        self.note_windows()
        self.seen: set[str] = set()
        self.store = Store(self.wall_ms, parts.progress, parts.outbox)
        self.letters = Letters(self.store, self.seen)
        self.function = FakeFunction(options, rng)
        self.run_ahead = RunAhead(options.run_ahead_records, options.run_ahead_bytes)
        self.checker = Checker(
            self.seen,
            self.wall_ms,
            tick_ms=options.tick_late_ms_max + 1,
            run_ahead=(options.run_ahead_records, options.run_ahead_bytes),
        )
        self.stream = FakeStream(options, rng, self.loop, self.wall_ms, self._appended)
        self.is_calm = False
        self.lives = Lives(self)
        self.troubles = Troubles(self)

    @property
    def records(self) -> int:
        """That the stream offered."""
        return sum(len(book.records) for book in self.checker.books.values())

    @property
    def duplicates(self) -> int:
        """Records handed over again."""
        return self.checker.duplicates

    # The clock, as the shell asks for it

    def now_ms(self) -> int:
        """Monotonic."""
        return self.loop.now_ms

    def wall_ms(self) -> int:
        """What the wall clock says now."""
        self.wall_skew_ms_max = max(self.wall_skew_ms_max, self.wall_skew_ms)
        return EPOCH_MS + self.loop.now_ms + self.wall_skew_ms

    # Phases

    def run(self) -> None:
        """Both phases."""
        try:
            self._build()
            self.loop.run_until(self.options.minutes * MINUTE_MS, lambda: False)
            self._calm_down()
            budget_ms = SETTLE_MS + self.window_ms_max + self.checker.backlog * 6
            self._run_for(budget_ms, lambda: self.lives.is_up and self.checker.is_settled)
            self.checker.check_settled()
            self._deliver_letters()
            self._end()
        finally:
            self.loop.end()
            self.store.close()

    def _build(self) -> None:
        options = self.options
        for index in range(options.shards):
            self.new_shard(f"shardId-{index:012}", ())
        names = list(self.stream.shards)
        self.loop.later(0, self.lives.start, is_of_life=False)
        for _ in range(options.starts_with):
            self.stream.append(self.rng.choice(names))
        self.loop.later(1, self.stream.arrive, is_of_life=False)
        self.troubles.plan()

    def _calm_down(self) -> None:
        """No more faults, no more records; whoever is down or paused comes back."""
        is_near = self.wall_skew_ms_max - self.wall_skew_ms <= AHEAD_MS
        if self.has_had_windows and is_near:  # no window waits for that long: the clock is mended
            self.wall_skew_ms = self.wall_skew_ms_max
        self.is_calm = self.function.is_calm = self.stream.is_calm = True
        self.loop.late_ms_max = 0
        self.letters.is_destination_up = not self.options.is_destination_missing
        self.lives.calm_down()
        self.loop.later(0, lambda: self.lives.change_room(None), is_of_life=False)

    def _deliver_letters(self) -> None:
        """What was given up while its destination was down arrives, or is given up as well."""
        self.letters.is_unhurried = True
        self._run_for(LETTERS_MS, lambda: not self.letters.waiting)
        self.letters.check_end()

    def _end(self) -> None:
        self.lives.drain(lambda: None)
        self._run_for(MINUTE_MS, lambda: not self.lives.is_ending)
        self.store.load(self.spec.uuid)
        if self.lives.is_ending:
            raise Violation("S1", "settled, but does not end its drain")
        if self.options.is_fault_free:
            self.seen.add("fault_free")
            if self.checker.duplicates:
                raise Violation("D12", f"{self.checker.duplicates} duplicates without a fault")

    def _run_for(self, after_ms: int, is_over: Callable[[], bool]) -> None:
        self.loop.run_until(self.loop.now_ms + after_ms, is_over)

    # Small things everybody needs

    def chance(self, percent: int) -> bool:
        """Whether a fault strikes."""
        return not self.is_calm and percent > 0 and self.rng.random() * 100 < percent

    def note(self, step: Any) -> None:
        """Remember a step for the report of a failure."""
        self.trace.append((self.loop.now_ms, step))

    def new_shard(self, name: str, parents: tuple[str, ...]) -> None:
        """A shard exists at the source; the mapping begins at its first record."""
        self.stream.add(name, parents)
        if not self.troubles.is_deleted:
            self.store.start(self.spec.uuid, {name: 0})
            self.checker.opened_shard(name, parents, self.store.load(self.spec.uuid)[name])

    def note_windows(self) -> None:
        """How long a batch or a tumbling window may keep something waiting."""
        self.has_had_windows = self.has_had_windows or self.spec.tumbling_window_ms > 0
        window_ms = self.spec.window_ms + 2 * self.spec.tumbling_window_ms
        self.window_ms_max = max(self.window_ms_max, window_ms)

    def change_spec(self, spec: MappingSpec) -> None:
        """New settings; whoever runs hears of them."""
        self.spec = spec
        self.note_windows()
        self.lives.settings_changed()

    def _appended(self, name: str, record: Any) -> None:
        if self.rng.random() * 1_000 < self.options.poison_per_mille:
            self.function.poison.add((name, record.position))
        self.checker.appended(name, record)
