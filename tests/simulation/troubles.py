"""What goes wrong around a router, and when: planned from the options, struck in virtual time."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.options import WIDTHS_MS, draw_spec

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY_MS = 86_400_000

CHANGEABLE = (
    "batch_size",
    "window_ms",
    "factor",
    "retries_max",
    "record_age_ms_max",
    "is_bisecting",
    "is_reporting_failures",
    "destination_arn",
    "filters",
    "backoff_ms_max",
)
"""Settings that an update of a running mapping may touch."""


OF_WINDOWS = ("tumbling_window_ms", "state_bytes_max")
"""Where no record is near the size of an event: what a window's frame takes is not followed."""


class Troubles:
    """Faults that strike at a moment; those of single calls are where the calls are made."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng
        self._loop = world.loop
        self._outages = 0
        self._mappings = 1
        self.is_deleted = False
        """The mapping is gone; what it still runs ends. The next router finds another one."""

    def plan(self) -> None:
        """Spread over the safety phase what the options ask for."""
        options = self._world.options
        end_ms = options.minutes * 60_000
        lives = self._world.lives
        plan: list[tuple[int, Callable[[], object]]] = [
            (options.crashes, lives.arm_crash),
            (options.drains, self._restart),
            (options.pauses, self._plan_pause),
            (options.settings_changes, self._plan_change),
            (options.room_changes, self._change_room),
            (options.deletions, self._plan_deletion),
            (options.wall_jumps, self._jump),
            (options.splits, self._split),
            (options.merges, self._merge),
            (options.destination_outages, self._lose_destination),
        ]
        for count, strike in plan:
            for _ in range(count):
                at_ms = self._rng.randrange(1, end_ms)
                self._loop.later(at_ms, self._unless_calm(strike), is_of_life=False)
        if options.retention_ms:
            self._loop.later(1_000, self._trim, is_of_life=False)
        self._world.letters.is_destination_up = not options.is_destination_missing

    def _unless_calm(self, strike: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            if not self._world.is_calm:
                strike()

        return act

    # The router

    def _restart(self) -> None:
        def again() -> None:
            self._world.seen.add("drained_and_restarted")
            self._world.lives.start()

        self._world.lives.drain(again)

    def _plan_pause(self) -> None:
        self._now_or_in_batch(self._pause)

    def _pause(self) -> None:
        """Disabled and enabled again, at times before the drain is over."""
        lives = self._world.lives
        if lives.drain(lambda: None):
            self._loop.later(
                self._rng.choice((0, 1, 100, 20_000)),
                self._unless_calm(lives.resume),
                is_of_life=False,
            )

    def _change_room(self) -> None:
        room = self._rng.choice((None, 1, 500, 5_000, 100_000, 64 << 20))
        self._world.lives.change_room(room)

    # The mapping

    def _plan_change(self) -> None:
        """Settings change now or in the middle of the next invocation."""
        self._now_or_in_batch(self._change)

    def _plan_deletion(self) -> None:
        self._now_or_in_batch(self._delete)

    def _now_or_in_batch(self, strike: Callable[[], None]) -> None:
        if self._rng.random() < 0.5:
            strike()
        else:
            self._world.lives.on_next_invoke = self._unless_calm(strike)

    def _change(self) -> None:
        fresh = draw_spec(self._rng)
        options = self._world.options
        is_small = not options.big_percent and not options.oversize_percent
        names = self._rng.sample(CHANGEABLE + OF_WINDOWS * is_small, self._rng.randint(1, 4))
        changes = {name: getattr(fresh, name) for name in names}
        if "tumbling_window_ms" in changes:
            changes["tumbling_window_ms"] = self._rng.choice((0, *WIDTHS_MS))
        self._world.change_spec(msgspec.structs.replace(self._world.spec, **changes))

    def _delete(self) -> None:
        """Gone with all its progress; what runs ends. Another one is made on the same stream."""
        world = self._world
        if world.lives.is_up:
            self.is_deleted = True
            world.store.drop(world.spec.uuid)
            world.checker.deleted()
            world.lives.drain(world.lives.start)

    def create(self) -> None:
        """Another mapping on the same stream, from its beginning or its end on."""
        world = self._world
        self.is_deleted = False
        self._mappings += 1
        uuid = f"5f2d7c1e-93b4-4f8a-8f0e-{self._mappings:012}"
        world.spec = msgspec.structs.replace(draw_spec(self._rng), uuid=uuid)
        world.note_windows()
        is_latest = self._rng.random() < 0.5
        shards = world.stream.shards.values()
        positions = {shard.name: shard.last if is_latest else 0 for shard in shards}
        world.store.start(uuid, positions)
        stored = world.store.load(uuid)
        for shard in shards:
            world.checker.opened_shard(shard.name, shard.parents, stored[shard.name])
            for record in shard.records:
                if record.position > positions[shard.name]:
                    world.checker.appended(shard.name, record)
            world.checker.trimmed(shard.name, shard.trimmed_to)
        world.seen.add("deleted_and_created")
        world.note(f"mapping {uuid} is created at {positions}")

    # The stream

    def _trim(self) -> None:
        world = self._world
        if world.is_calm:
            return
        for name, shard in world.stream.shards.items():
            shard.trim(world.wall_ms() - world.options.retention_ms)
            world.checker.trimmed(name, shard.trimmed_to)
        self._loop.later(1_000, self._trim, is_of_life=False)

    def _split(self) -> None:
        """One shard closes, two take over (lineage)."""
        name = self._rng.choice(self._world.stream.open_shards)
        self._replace((name,), 2)

    def _merge(self) -> None:
        """Two shards close, one takes over."""
        names = self._world.stream.open_shards
        if len(names) > 1:
            self._replace(tuple(self._rng.sample(names, 2)), 1)

    def _replace(self, parents: tuple[str, ...], count: int) -> None:
        world = self._world
        for name in parents:
            world.stream.shards[name].is_closed = True
            world.note(f"{name} is closed")
        first = len(world.stream.shards)
        for index in range(first, first + count):
            child = f"shardId-{index:012}"
            world.new_shard(child, parents)
            world.lives.open_shard(child)
        if any(world.checker.books[name].undone for name in parents):
            world.seen.add("child_shard_waited")
            if len(parents) > 1:
                world.seen.add("merged_child_waited")
        for name in parents:
            world.stream.wake(name)

    # Everything else

    def _jump(self) -> None:
        world = self._world
        world.wall_skew_ms += self._rng.choice((-DAY_MS, -3_600_000, 3_600_000, DAY_MS))
        world.note(f"wall clock jumps to {world.wall_ms()}")
        world.seen.add("wall_jump")

    def aim_at_age(self) -> None:
        """Let a record reach exactly the age limit now, or a millisecond later."""
        world = self._world
        age_ms_max = world.spec.record_age_ms_max
        if age_ms_max < 0 or not world.chance(world.options.age_edge_percent):
            return
        book = world.checker.books[self._rng.choice(list(world.stream.shards))]
        position = next(iter(book.undone), None)
        if position is not None:
            limit_ms = book.records[position].arrival_ms + age_ms_max
            world.wall_skew_ms += limit_ms - world.wall_ms() - self._rng.choice((0, 1))
            world.seen.add("age_on_edge")

    def _lose_destination(self) -> None:
        """The queue of failures is not there for some minutes."""
        self._outages += 1
        self._world.letters.is_destination_up = False
        after_ms = self._rng.choice((20_000, 300_000, 1_200_000))
        self._loop.later(after_ms, self._unless_calm(self._find_destination), is_of_life=False)

    def _find_destination(self) -> None:
        self._outages -= 1
        if not self._outages and not self._world.options.is_destination_missing:
            self._world.letters.is_destination_up = True
