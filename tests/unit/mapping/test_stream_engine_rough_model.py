"""The naive world once more, rougher: filters, other lineages, a clock that is set, late answers.

Filters leave records out and tell only when the last of them arrived; the wall clock jumps; a
drain that is called off finds its fetches answered before or after; settings change in between.
"""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.mapping import engine as e
from router.model.record import Record
from tests.unit.mapping.test_stream_engine_model import World
from tests.unit.mapping.window_book import last_window

LINEAGES = (
    {"0": (), "1": ("0",), "2": ()},
    {"0": (), "1": (), "2": ("0", "1")},
    {"2": ("1",), "1": ("0",), "0": ()},
)
"""A split, a merge, and children that are opened before their parents."""

JUMP_MS_MAX = 200_000


class RoughWorld(World):
    """Whatever is not the function's business goes wrong too."""

    def __init__(self, random: Random) -> None:
        self.shift_ms = 0
        self.left_out: dict[str, set[int]] = {}
        self.share_left_out = random.choice([0.0, 0.3, 0.9])
        self.is_jumping = random.random() < 0.4
        self.has_begun = False
        super().__init__(random)

    def any_records(self, shard: str) -> list[Record]:
        records = super().any_records(shard)
        is_left_out = {r.position for r in records if self.random.random() < self.share_left_out}
        self.left_out[shard] = is_left_out
        return records

    def start(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.lineage = dict(self.random.choice(LINEAGES))
            for shard, positions in self.left_out.items():
                self.finished[shard] |= positions
        super().start()

    @property
    def wall_ms(self) -> int:
        return super().wall_ms + self.shift_ms

    def is_done(self, shard: str) -> bool:
        window = last_window(self.store[shard])
        return super().is_done(shard) and not (window is not None and window.is_open)

    def check_final_call(self, invoke: e.Invoke) -> None:
        """The naive world knows when a window is over only where every record is told."""
        if not self.share_left_out and not self.is_jumping:
            super().check_final_call(invoke)

    def fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        answer = super().fetch(fetch)
        found, left_out = answer.records, self.left_out[fetch.shard]
        passed = tuple(record for record in found if record.position not in left_out)
        is_last_out = found and (not passed or passed[-1] is not found[-1])
        is_parent = any(fetch.shard in parents for parents in self.lineage.values())
        return e.RecordsFetched(
            answer.command_id,
            passed,
            answer.read_to,
            is_parent and answer.read_to >= self.read_to[fetch.shard],
            found[-1].arrival_ms if is_last_out else None,
        )

    def disturb(self) -> None:
        kind = self.random.random()
        if self.is_jumping and kind < 0.25:
            self.shift_ms += self.random.randint(-JUMP_MS_MAX, JUMP_MS_MAX)
        elif kind < 0.45:
            self.drain_that_is_called_off()
        else:
            super().disturb()

    def drain_that_is_called_off(self) -> None:
        """Some fetches are ended by it, and may be answered only when it is called off."""
        self.feed(e.DrainRequested())
        answers: list[e.RecordsFetched] = []
        for fetch in [command for command in self.open if isinstance(command, e.Fetch)]:
            if self.random.random() < 0.5:
                self.open.remove(fetch)
                answers.append(e.RecordsFetched(fetch.command_id, (), fetch.after))
        while answers and self.random.random() < 0.5:
            self.feed(answers.pop())
        if self.random.random() < 0.5:
            self.has_changed = True
            self.spec = self.any_spec()
            self.feed(e.SettingsChanged(self.spec))
        for _ in range(self.random.randint(0, 5)):
            if self.open:
                self.answer(self.open.pop(self.random.randrange(len(self.open))))
        self.feed(e.Resumed())
        for answer in answers:
            self.feed(answer)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_d1_every_record_ends_once_however_rough_the_world_is(seed: int) -> None:
    RoughWorld(Random(seed)).run()
