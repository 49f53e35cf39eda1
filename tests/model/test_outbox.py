"""The courier and the store's outbox against a list: each on-failure record ends once (D7, T1)."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.destinations.outbox import Courier
from router.model.limits import OUTBOX_ATTEMPTS_MAX, OUTBOX_WAIT_MS_MAX
from router.model.progress import LaneProgress, ProgressUpdate
from router.store.base import EnqueuedMessage, OutboxRow
from tests.model.examples import MODEL
from tests.simulation.durable import Store, finish
from tests.simulation.options import FAILURES_ARN, FAILURES_QUEUE

START_MS = 1_790_000_000_000


class OutboxMachine(RuleBasedStateMachine):
    """`self.waiting` is the naive list: body to how often its delivery has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_ms = START_MS
        self.is_up = True
        self.count = 0
        self.waiting: dict[str, int] = {}
        self.arrived: Counter[str] = Counter()
        self.dropped: set[str] = set()
        self.store = Store(lambda: self.wall_ms)
        self.store.start("m", {"0": 0})
        self._open()

    def _open(self) -> None:
        self.store.reopen()
        self.courier = Courier(self.store.outbox, self._route, lambda: self.wall_ms)

    def _route(self, _arn: str, body: bytes) -> EnqueuedMessage | None:
        if not self.is_up:
            return None
        return EnqueuedMessage(queue=FAILURES_QUEUE, body=body.decode())

    @rule()
    def give_up(self) -> None:
        self.count += 1
        body = f"{self.count}"
        update = ProgressUpdate(
            shard="0", position=self.count, factor=1, lane=LaneProgress(0, self.count)
        )
        message = self._route("", body.encode())
        row = None
        if message is None:
            row = OutboxRow(
                mapping="m", destination=FAILURES_ARN, body=body.encode(), records=1,
                next_attempt_ms=self.wall_ms,
            )  # fmt: skip
            self.waiting[body] = 0
        else:
            self.arrived[body] += 1
        self.store.discard("m", update, row, message)

    @rule(is_up=st.booleans())
    def destination(self, is_up: bool) -> None:
        self.is_up = is_up

    @rule(ms=st.sampled_from((1, 1_000, 60_000, OUTBOX_WAIT_MS_MAX, -3_600_000, -86_400_000)))
    def clock(self, ms: int) -> None:
        self.wall_ms += ms

    @rule()
    def another_router(self) -> None:
        self._open()

    @rule()
    def deliver(self) -> None:
        self._poll()

    @rule(polls=st.integers(1, OUTBOX_ATTEMPTS_MAX + 2))
    def deliver_for_hours(self, polls: int) -> None:
        """After the longest wait everything is due."""
        for _ in range(polls):
            self.wall_ms += OUTBOX_WAIT_MS_MAX
            due = list(self.waiting)
            self._poll()
            for body in due:
                assert body not in self.waiting or not self.is_up, f"{body} was due"

    def _poll(self) -> None:
        before = self._rows()
        finish(self.courier.deliver_due())
        after = self._rows()
        for body, attempts in before.items():
            if body in after:
                assert after[body] - attempts in {0, 1}
                self.waiting[body] = after[body]
                continue
            del self.waiting[body]
            if self.is_up:
                self.arrived[body] += 1
            else:
                assert attempts + 1 == OUTBOX_ATTEMPTS_MAX, f"{body} given up too early"
                self.dropped.add(body)

    def _rows(self) -> dict[str, int]:
        rows = self.store.db.execute("SELECT body, attempts FROM outbox")
        return {body.decode(): attempts for body, attempts in rows}

    @invariant()
    def each_record_is_in_one_place(self) -> None:
        assert self._rows() == self.waiting
        assert Counter(self.store.delivered()) == self.arrived
        assert len(self.waiting) + len(self.arrived) + len(self.dropped) == self.count
        assert max(self.arrived.values(), default=1) == 1

    def teardown(self) -> None:
        self.store.close()


OutboxMachine.TestCase.settings = MODEL
test_the_outbox_is_a_list = OutboxMachine.TestCase
