"""The courier and the store's outbox against a list: each on-failure record ends once (D7, T1).

Two destinations, a queue of the store and a bucket elsewhere; each goes up and down for itself.
"""

import asyncio
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.destinations.delivery import DeliveryFailed
from router.destinations.outbox import Courier
from router.model.errors import StoreError
from router.model.limits import OUTBOX_ATTEMPTS_MAX, OUTBOX_WAIT_MS_MAX
from router.model.progress import LaneProgress, ProgressUpdate
from router.store.base import EnqueuedMessage, OutboxRow
from tests.model.examples import MODEL
from tests.simulation.durable import Store
from tests.simulation.options import FAILURES_ARN, FAILURES_QUEUE

START_MS = 1_790_000_000_000
BUCKET_ARN = "arn:aws:s3:::bucket"
DESTINATIONS = (FAILURES_ARN, BUCKET_ARN)


class Forgetful:
    """The outbox, except that it may fail to take note of deliveries."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)

    async def delivered(self, row_id: int, message: EnqueuedMessage | None = None) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        await self._outbox.delivered(row_id, message)


class OutboxMachine(RuleBasedStateMachine):
    """`self.waiting` is the naive list: body to how often its delivery has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.wall_ms = START_MS
        self.is_up = dict.fromkeys(DESTINATIONS, True)
        self.refused: set[str] = set()
        self.count = 0
        self.homes: dict[str, str] = {}
        self.waiting: dict[str, int] = {}
        self.objects: Counter[str] = Counter()
        self.may_repeat: set[str] = set()
        self.dropped: set[str] = set()
        self.store = Store(lambda: self.wall_ms)
        self.store.start("m", {"0": 0})
        self._open()

    def _open(self) -> None:
        self.store.reopen()
        self.outbox = Forgetful(self.store.outbox)
        carriers: Any = {"sqs": self, "s3": self}
        self.courier = Courier(self.outbox, carriers, lambda: self.wall_ms)

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        await asyncio.sleep(0)
        body = row.body.decode()
        if not self.is_up[row.destination]:
            raise DeliveryFailed("unreachable", "down")
        if body in self.refused:
            raise DeliveryFailed("refused", "not this one")
        if row.destination == FAILURES_ARN:
            return EnqueuedMessage(queue=FAILURES_QUEUE, body=body)
        self.objects[body] += 1
        return None

    @rule(destination=st.sampled_from(DESTINATIONS), is_refused=st.booleans())
    def give_up(self, destination: str, is_refused: bool) -> None:
        self.count += 1
        body = f"{self.count}"
        self.homes[body] = destination
        if is_refused:
            self.refused.add(body)
        update = ProgressUpdate(
            shard="0", position=self.count, factor=1, lane=LaneProgress(0, self.count)
        )
        row = OutboxRow(
            mapping="m", destination=destination, body=body.encode(), records=1,
            next_attempt_ms=self.wall_ms,
        )  # fmt: skip
        self.waiting[body] = 0
        self.store.discard("m", update, row, None)

    @rule(destination=st.sampled_from(DESTINATIONS), is_up=st.booleans())
    def goes_up_or_down(self, destination: str, is_up: bool) -> None:
        self.is_up[destination] = is_up

    @rule()
    def all_is_forgiven(self) -> None:
        self.refused.clear()

    @rule(ms=st.sampled_from((1, 1_000, 60_000, OUTBOX_WAIT_MS_MAX, -3_600_000, -86_400_000)))
    def clock(self, ms: int) -> None:
        self.wall_ms += ms

    @rule()
    def another_router(self) -> None:
        """What was delivered and not noted is delivered again: no more than that (D7)."""
        self.may_repeat |= self.waiting.keys() & self.objects.keys()
        self._open()

    @rule()
    def deliver_once(self) -> None:
        self._poll()

    @rule()
    def deliver_unnoted(self) -> None:
        """The store takes no note: nothing ends, and nothing is sent twice by this router."""
        self.outbox.fails = True
        before = self._rows()
        self._run()
        self.outbox.fails = False
        after = self._rows()
        assert after.keys() == before.keys()
        self.waiting = after

    @rule(polls=st.integers(1, OUTBOX_ATTEMPTS_MAX + 2))
    def deliver_for_hours(self, polls: int) -> None:
        """What is due goes, whatever the other destination does (L4)."""
        for _ in range(polls):
            self.wall_ms += OUTBOX_WAIT_MS_MAX
            due = self._due()
            self._poll()
            for body in due:
                is_taken = self.is_up[self.homes[body]] and body not in self.refused
                assert body not in self.waiting or not is_taken, f"{body} was due"

    def _run(self) -> None:
        self.runner.run(self.courier.deliver_due())

    def _poll(self) -> None:
        before = self._rows()
        self._run()
        after = self._rows()
        arrived = self._arrived()
        for body, attempts in before.items():
            if body in after:
                assert after[body] - attempts in {0, 1}
                self.waiting[body] = after[body]
                continue
            del self.waiting[body]
            if not arrived[body]:
                assert attempts + 1 == OUTBOX_ATTEMPTS_MAX, f"{body} given up too early"
                self.dropped.add(body)

    def _due(self) -> list[str]:
        """Everything after the longest wait, but what a clock set back made wait a little more."""
        rows = self.store.db.execute("SELECT body, next_attempt_ms FROM outbox")
        return [
            body.decode()
            for body, at_ms in rows
            if not 0 < at_ms - self.wall_ms <= OUTBOX_WAIT_MS_MAX
        ]

    def _rows(self) -> dict[str, int]:
        rows = self.store.db.execute("SELECT body, attempts FROM outbox")
        return {body.decode(): attempts for body, attempts in rows}

    def _arrived(self) -> Counter[str]:
        return Counter(self.store.delivered()) + self.objects

    @invariant()
    def each_record_is_in_one_place(self) -> None:
        arrived = self._arrived()
        assert self._rows() == self.waiting
        ended = arrived.keys() - self.waiting.keys()
        assert len(self.waiting) + len(ended | self.dropped) == self.count
        for body, times in arrived.items():
            assert times == 1 or body in self.may_repeat, f"{body} arrived {times} times"

    def teardown(self) -> None:
        self.runner.close()
        self.store.close()


OutboxMachine.TestCase.settings = MODEL
test_the_outbox_is_a_list = OutboxMachine.TestCase
