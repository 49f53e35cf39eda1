"""The queue engine in a world with a naive queue: messages, visibility timeouts, groups.

One seed draws the settings and everything that goes wrong: receives whose answer is lost,
functions that fail, report, find no slot or run past the visibility timeout, deletions that fail
or whose answer is lost, drains, changed settings. Checked after every step; in the end nothing goes
wrong any more and every message must be gone, handled or filtered out.
"""

import heapq
import itertools
import random

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.queue_engine import QueueEngine
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from tests.simulation.queues.naive import NaiveQueue
from tests.unit.mapping.queue_play import spec_of

MINUTE_MS = 60_000


class World:
    def __init__(self, seed, engine=QueueEngine):
        self.rng = rng = random.Random(seed)
        self.fifo = rng.random() < 0.5
        self.visibility_ms = rng.choice([2_000, 10_000, 30_000])
        self.limit = rng.choice([None, 2, 3])
        self.slots = rng.choice([1, 4, 50])
        self.faults = {
            name: rng.choice([0, 0, 0.1, 0.4])
            for name in (
                "receive",
                "fail",
                "report",
                "throttle",
                "slow",
                "delete",
                "lost",
                "filter",
            )
        }
        self.queue = NaiveQueue(rng, self.visibility_ms, fifo=self.fifo)
        self.spec = self._spec()
        self.engine = engine(self.spec, self.slots)
        self.heap, self.order, self.now_ms, self.wakes = [], itertools.count(), 0, set()
        self.running, self.handled, self.filtered = {}, set(), set()
        self.last, self.sent, self.position = {}, 0, 0
        self.is_calm = False
        self.spread = rng.choice([0, 1, 3])

    def _spec(self):
        window_ms = 0 if self.fifo else self.rng.choice([0, 0, 1_000])
        return spec_of(
            fifo=self.fifo,
            batch_size=self.rng.choice([1, 3, 10] if self.fifo or not window_ms else [10, 25]),
            window_ms=window_ms,
            concurrency_max=self.limit,
            is_reporting_failures=self.faults["report"] > 0,
        )

    def happens(self, name):
        return not self.is_calm and self.rng.random() < self.faults[name]

    def later(self, delay_ms, act):
        heapq.heappush(self.heap, (self.now_ms + int(delay_ms), next(self.order), act))

    def tell(self, event):
        for command in self.engine.handle(event, self.now_ms, 0):
            match command:
                case q.Receive():
                    self.later(self.rng.choice([0, 5, 50]), lambda c=command: self.receive(c, 0))
                case q.Invoke():
                    self.check(command)
                    self.later(self.rng.choice([0, 1, 200]), lambda c=command: self.turn(c))
                case q.Delete():
                    self.later(self.rng.choice([1, 30]), lambda c=command: self.delete(c))
        wake_ms = self.engine.next_wakeup_ms()
        assert wake_ms is None or wake_ms > self.now_ms, "a wakeup that is over already"
        if wake_ms is not None and wake_ms not in self.wakes:
            self.wakes.add(wake_ms)
            self.later(wake_ms - self.now_ms, lambda: self.tell(e.Tick()))

    def receive(self, command, waited_ms):
        if self.happens("receive"):
            if self.happens("lost"):
                self.queue.receive(command.messages_max, self.now_ms)
            return self.tell(q.ReceiveFailed(command.command_id, "lost"))
        found = self.queue.receive(min(10, command.messages_max), self.now_ms)
        if not found and waited_ms < command.wait_ms:
            return self.later(500, lambda: self.receive(command, waited_ms + 500))
        passed, left_out = [], []
        for one in found:
            name, group, receipt = one.id, one.group, one.receipt
            until_ms = self.now_ms + self.visibility_ms - 100
            if name in self.filtered or (self.happens("filter") and name not in self.handled):
                self.filtered.add(name)
                left_out.append(q.Receipt(name, receipt, until_ms))
                continue
            self.position += 1
            size = (100, 100, 1 << 20, 3 << 20)[int(name[1:]) * self.spread % 4]
            passed.append(
                q.Message(
                    position=self.position, key=group if self.fifo else "", arrival_ms=0,
                    size_bytes=size, data=b"", event_id=name, receipt=receipt, until_ms=until_ms,
                )
            )  # fmt: skip
        return self.tell(q.MessagesReceived(command.command_id, tuple(passed), tuple(left_out)))

    def check(self, command):
        """P24, D5, D6, D11, 8.3."""
        names = [one.event_id for one in command.messages]
        assert 0 < len(names) <= 25
        assert len(names) == len(set(names))
        assert len(names) == 1 or sum(m.size_bytes for m in command.messages) <= 6 << 20
        open_now = [one for batch in self.running.values() for one in batch]
        assert not {one.event_id for one in open_now} & set(names)
        assert len(self.running) < min(self.limit or 1_250, self.slots, 1_250)
        self.running[command.command_id] = command.messages
        if not self.fifo:
            return
        assert not {one.key for one in open_now} & {one.key for one in command.messages}
        seen = {}
        for one in command.messages:
            number = int(one.event_id[1:])
            assert number > seen.get(one.key, -1), "order within the batch"
            seen[one.key] = number
            before = self.before(one.key, number) - set(names)
            assert before <= self.handled | self.filtered, (one.event_id, before - self.handled)
            there = {message.id for message in self.queue.messages}
            assert before & there <= self.filtered, "what was handled before may come again"

    def before(self, group, number):
        return {name for name in self.last.get(group, ()) if int(name[1:]) < number}

    def turn(self, command):
        if self.happens("throttle"):
            del self.running[command.command_id]
            return self.tell(q.InvocationFinished(command.command_id, NotRun("throttled")))
        assert command.until_ms > 0
        self.tell(q.InvocationStarted(command.command_id))
        after_ms = self.visibility_ms * 1.5 if self.happens("slow") else self.rng.randint(0, 900)
        return self.later(after_ms, lambda: self.ends(command))

    def ends(self, command):
        del self.running[command.command_id]
        names = [one.event_id for one in command.messages]
        outcome = Succeeded()
        failed = set()
        if self.happens("fail"):
            outcome, failed = Failed("Error"), set(names)
        elif self.spec.is_reporting_failures and self.happens("report"):
            first = self.rng.randrange(len(names))
            group = command.messages[first].key
            # As a function must: the first that failed and all later ones of its group.
            indexes = tuple(
                index
                for index, one in enumerate(command.messages)
                if index == first or (group and index > first and one.key == group)
            )
            failed = {names[index] for index in indexes}
            outcome = PartlySucceeded(indexes)
        self.handled |= set(names) - failed
        self.tell(q.InvocationFinished(command.command_id, outcome))

    def delete(self, command):
        lost = self.happens("lost")
        if self.happens("delete") and not lost:
            return self.tell(q.DeleteFailed(command.command_id, "down"))
        failed = []
        for index, one in enumerate(command.receipts):
            assert one.message_id in self.handled | self.filtered, "deleted and not handled"
            if not self.queue.delete(one.receipt, self.now_ms):
                failed.append(index)
        if lost:
            return self.tell(q.DeleteFailed(command.command_id, "lost"))
        return self.tell(q.MessagesDeleted(command.command_id, tuple(failed)))

    def send(self, count):
        for _one in range(count):
            group = self.rng.choice("ABC")
            self.sent += 1
            self.queue.send(f"{group}{self.sent}", self.sent, group)
            self.last.setdefault(group, set()).add(f"{group}{self.sent}")

    def disturb(self):
        if self.is_calm:
            return
        match self.rng.randrange(4):
            case 0:
                self.send(self.rng.randint(1, 12))
            case 1:
                self.spec = self._spec()
                self.tell(e.SettingsChanged(self.spec))
            case 2:
                self.tell(e.RoomChanged(self.rng.choice([None, 1, 2 << 20])))
            case 3:
                self.tell(e.DrainRequested())
                self.later(
                    self.rng.choice([0, 5_000]), lambda: self.is_calm or self.tell(e.Resumed())
                )
        self.later(self.rng.randint(1, 8_000), self.disturb)

    def resume(self):
        if not self.is_calm:
            self.tell(e.Resumed())

    def run_until(self, end_ms, is_over=lambda: False):
        while self.heap and self.heap[0][0] <= end_ms and not is_over():
            self.now_ms, _order, act = heapq.heappop(self.heap)
            self.wakes.discard(self.now_ms)
            act()
            assert self.engine.held_bytes >= 0

    def run(self):
        self.send(40)
        self.tell(q.QueueOpened())
        self.later(1_000, self.disturb)
        self.run_until(4 * MINUTE_MS)
        self.is_calm = True
        self.tell(e.RoomChanged(None))
        self.tell(e.Resumed())
        self.run_until(40 * MINUTE_MS, lambda: not self.queue.messages)
        assert not self.queue.messages, "nothing is wrong any more, and messages remain"
        self.tell(e.DrainRequested())
        self.run_until(60 * MINUTE_MS, lambda: self.engine.is_drained)
        assert self.engine.is_drained
        assert (self.engine.held_bytes, self.engine.held_records) == (0, 0)
