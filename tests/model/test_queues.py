"""Embedded queues on the real store against lists: standard and FIFO (`bus-…md` 6.3; Q, D).

What SQS leaves free (the order among groups, which of many messages) is checked, not predicted.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.config import StoreSettings
from router.embedded import messages
from router.embedded.messages import Order
from router.embedded.problems import QueueProblem
from router.embedded.queues import EmbeddedQueues
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore
from tests.model.examples import EXAMPLES, MODEL

START_MS = 1_790_000_000_000
RETENTION_MS = 600_000
REMEMBERED_MS = 300_000
RECEIVES_MAX = 2
VISIBILITY_S = 30
WHERE = {"region": "us-east-1", "account": "000000000000"}
UNSYNCED = StoreSettings(synchronous="normal")
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

GROUPS = st.sampled_from("abc")
COUNTS = st.sampled_from([1, 2, 3, 10])
SECONDS = st.sampled_from([0, 1, 5, 30])
ANY = st.integers(0, 1_000)
KEYS = st.sampled_from([None, None, None, "x", "y"])
ATTEMPTS = st.sampled_from([None, "t", "u"])


class Message:
    """One message of the naive queue; `body` is its only lasting name."""

    def __init__(self, body: str, group: str, now_ms: int, visible_ms: int) -> None:
        self.body = body
        self.group = group
        self.visible_ms = visible_ms
        self.expires_ms = now_ms + RETENTION_MS
        self.receives = 0
        self.sent_ms = now_ms

    def is_spent(self) -> bool:
        return self.receives >= RECEIVES_MAX


class Machine(RuleBasedStateMachine):
    """`self.there` holds each queue's messages in order."""

    fifo = ""
    """Ending of the queues' names."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY)
        self.now_ms = START_MS
        self.source, self.dead = f"q{self.fifo}", f"dead{self.fifo}"
        self.there: dict[str, list[Message]] = {self.source: [], self.dead: []}
        self.handles: list[tuple[str, Message, int, str]] = []
        """Queue, message, its count then, handle."""
        self.remembered: dict[str, tuple[int, str, str]] = {}
        """Deduplication id → until when, message id, sequence number."""
        self.attempts: dict[tuple[str, str], tuple[int, int, list[Any]]] = {}
        """Until when, visible then, (message, count, handle) each."""
        self.made = 0
        self.run(self.open())
        self.run(self.create())

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    async def open(self) -> None:
        self.store = SqliteStore(Path(self.folder.name), UNSYNCED)
        await self.store.open()
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.load()
        clock = lambda: self.now_ms
        self.queues = EmbeddedQueues(self.catalog, self.store.queues, clock, **WHERE)

    async def create(self) -> None:
        kind = {"FifoQueue": "true"} if self.fifo else {}
        times = {"MessageRetentionPeriod": str(RETENTION_MS // 1_000)}
        dead = await self.queues.create(self.dead, {**kind, **times}, {})
        policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":{RECEIVES_MAX}}}'
        await self.queues.create(self.source, {**kind, **times, "RedrivePolicy": policy}, {})

    def living(self, queue: str) -> list[Message]:
        return [one for one in self.there[queue] if one.expires_ms > self.now_ms]

    # What is done to both

    @rule(groups=st.lists(GROUPS, min_size=1, max_size=4), deduplication=KEYS, delay_s=SECONDS)
    def send(self, groups: list[str], deduplication: str | None, delay_s: int) -> None:
        for group in groups:
            self.send_one(group, deduplication, delay_s)

    def send_one(self, group: str, deduplication: str | None, delay_s: int) -> None:
        self.made += 1
        body = f"m{self.made}"
        params: dict[str, Any] = {"MessageBody": body}
        order = None
        if self.fifo:
            key = deduplication or body
            params |= {"MessageGroupId": group, "MessageDeduplicationId": key}
            order = Order(is_content_deduplicated=False)
        else:
            params["DelaySeconds"] = delay_s
        draft = messages.draft(params, order)
        (sent,) = self.run(self.queues.send(self.source, [draft], "me"))
        if self.fifo:
            until_ms, *known = self.remembered.get(key, (0, "", ""))
            if until_ms > self.now_ms:
                assert [sent.message_id, sent.sequence_number] == known
                return
            until_ms = self.now_ms + REMEMBERED_MS
            self.remembered[key] = (until_ms, sent.message_id, sent.sequence_number or "")
        visible_ms = self.now_ms + (0 if self.fifo else 1_000 * delay_s)
        self.there[self.source].append(Message(body, group, self.now_ms, visible_ms))

    @rule(
        is_dead=st.sampled_from([False, False, True]),
        count=COUNTS,
        seconds=SECONDS,
        attempt=ATTEMPTS,
    )
    def receive(self, is_dead: bool, count: int, seconds: int, attempt: str | None) -> None:
        queue = self.dead if is_dead else self.source
        options = {"attempt_id": attempt} if self.fifo and attempt else {}
        found = self.run(
            self.queues.receive(
                queue, messages_max=count, wait_s=0, visibility_s=seconds, **options
            )
        )
        visible_ms = self.now_ms + 1_000 * seconds
        if options and (again := self.repeated(queue, attempt or "")):
            assert [one.handle for one in found] == [handle for _, _, handle in again]
            until_ms = self.attempts[queue, attempt or ""][0]
            self.attempts[queue, attempt or ""] = (until_ms, visible_ms, again)
            for message, _, _ in again:
                message.visible_ms = visible_ms
            return
        by_body = {one.body: one for one in self.living(queue)}
        given = [by_body[one.body] for one in found]
        assert len(given) == len({one.body for one in given}) <= count
        if not is_dead:
            self.check_moved(given, count)
        self.check_given(queue, given, count)
        taken = []
        for message, one in zip(given, found, strict=True):
            message.receives += 1
            message.visible_ms = visible_ms
            assert one.system["ApproximateReceiveCount"] == str(message.receives)
            assert one.system["SentTimestamp"] == str(message.sent_ms)
            assert ("DeadLetterQueueSourceArn" in one.system) == is_dead
            self.handles.append((queue, message, message.receives, one.handle))
            taken.append((message, message.receives, one.handle))
        if options and taken:
            self.attempts[queue, attempt or ""] = (
                self.now_ms + REMEMBERED_MS,
                visible_ms,
                taken,
            )

    def repeated(self, queue: str, attempt: str) -> list[Any]:
        until_ms, visible_ms, taken = self.attempts.get((queue, attempt), (0, 0, []))
        is_untouched = all(
            message in self.living(queue)
            and message.receives == receives
            and message.visible_ms == visible_ms > self.now_ms
            for message, receives, _ in taken
        )
        return taken if until_ms > self.now_ms and is_untouched else []

    def front(self, queue: str, group: str) -> tuple[list[Message], list[Message]]:
        """What of a group may be handed out, and what must move away before it."""
        ready: list[Message] = []
        spent: list[Message] = []
        for message in self.living(queue):
            if self.fifo and message.group != group:
                continue
            if message.visible_ms > self.now_ms:
                if self.fifo:
                    break
            elif queue == self.source and message.is_spent():
                spent.append(message)
            else:
                ready.append(message)
        return ready, spent

    def groups(self, queue: str) -> list[str]:
        if not self.fifo:
            return [""]
        return list(dict.fromkeys(one.group for one in self.living(queue)))

    def check_moved(self, given: list[Message], count: int) -> None:
        """What went to the dead-letter queue was spent; nothing spent stands before what came."""
        dead = {one.body for one in self.run(self.store.queues.peek(self.dead, 10_000))}
        known = {one.body for one in self.there[self.dead]}
        moved = [one for one in self.living(self.source) if one.body in dead - known]
        for group in self.groups(self.source):
            _ready, spent = self.front(self.source, group)
            here = [one for one in moved if one in spent]
            assert here == spent[: len(here)] or not self.fifo
            is_passed = len(given) < count or (
                self.fifo
                and given
                and group in {one.group for one in given[:-1]} - {given[-1].group}
            )
            if is_passed:
                assert here == spent
        fronts = [self.front(self.source, group)[1] for group in self.groups(self.source)]
        assert all(any(one in spent for spent in fronts) for one in moved)
        # Among FIFO groups any order will do: take the one the store has.
        order = [one.body for one in self.run(self.store.queues.peek(self.dead, 10_000))]
        for one in sorted(moved, key=lambda it: order.index(it.body)):
            self.there[self.source].remove(one)
            self.there[self.dead].append(one)
            one.visible_ms = self.now_ms
            if self.fifo:
                one.sent_ms = self.now_ms
                one.expires_ms = self.now_ms + RETENTION_MS

    def check_given(self, queue: str, given: list[Message], count: int) -> None:
        fronts = {group: self.front(queue, group)[0] for group in self.groups(queue)}
        assert len(given) == min(count, sum(map(len, fronts.values())))
        if not self.fifo:
            assert all(one in fronts[""] for one in given)
            return
        seen = list(dict.fromkeys(one.group for one in given))
        assert [one.group for one in given] == [
            group for group in seen for one in given if one.group == group
        ], "a group is filled up before the next"
        for group in seen:
            mine = [one for one in given if one.group == group]
            assert mine == fronts[group][: len(mine)], "in order, from the front"
            assert group == seen[-1] or mine == fronts[group]

    def standing(self, queue: str, message: Message, receives: int) -> str:
        if message not in self.living(queue):
            return "gone"
        is_held = message.receives == receives and message.visible_ms > self.now_ms
        return "held" if is_held else "expired"

    def pick(self, which: int) -> tuple[str, Message, int, str]:
        """Mostly a handle of late, one that may still hold."""
        reach = 4 if which % 3 else len(self.handles)
        return self.handles[-1 - which % min(reach, len(self.handles))]

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        if not self.handles:
            return
        queue, message, receives, handle = self.pick(which)
        standing = self.standing(queue, message, receives)
        (problem,) = self.run(self.queues.delete_messages(queue, [messages.read_receipt(handle)]))
        if self.fifo and standing == "expired":
            assert problem is not None
            return
        assert problem is None
        if message in self.there[queue]:
            self.there[queue].remove(message)

    @rule(which=ANY, seconds=SECONDS)
    def hide(self, which: int, seconds: int) -> None:
        if not self.handles:
            return
        queue, message, receives, handle = self.pick(which)
        standing = self.standing(queue, message, receives)
        is_last = message in self.living(queue) and message.receives == receives
        may = standing == "held" if self.fifo else is_last
        try:
            receipt = messages.read_receipt(handle)
            self.run(self.queues.change_visibility(queue, receipt, seconds))
        except QueueProblem:
            assert not may
        else:
            assert may
            message.visible_ms = self.now_ms + 1_000 * seconds

    @rule(seconds=st.sampled_from([0, 1, 5, 30, 31, 299, 301]))
    def wait(self, seconds: int) -> None:
        self.now_ms += 1_000 * seconds

    @rule()
    def sweep(self) -> None:
        self.run(self.store.queues.expire(self.now_ms))

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.run(self.open())

    @rule(is_dead=st.booleans())
    def purge(self, is_dead: bool) -> None:
        queue = self.dead if is_dead else self.source
        try:
            self.run(self.queues.purge(queue))
        except QueueProblem:
            return
        self.there[queue] = []
        if not is_dead:
            self.remembered.clear()
        for key in [key for key in self.attempts if key[0] == queue]:
            del self.attempts[key]

    @rule()
    def bring_back(self) -> None:
        """A move task, from its start to its end."""
        moving = [
            one
            for group in self.groups(self.dead)
            for one in self.front(self.dead, group)[0]
        ]  # fmt: skip
        self.run(self.move_all(len(moving)))
        for one in moving:
            self.there[self.dead].remove(one)
            fresh = Message(one.body, one.group, self.now_ms, self.now_ms)
            self.there[self.source].append(fresh)

    async def move_all(self, expected: int) -> None:
        arn = self.queues.get(self.dead).arn
        await self.queues.moves.start(arn, None, None)
        await asyncio.gather(*self.queues.moves._running.values())
        (task,) = await self.queues.moves.tasks(arn, 1)
        assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", expected)

    @invariant()
    def every_message_is_where_it_should_be(self) -> None:
        for queue in self.there:
            bodies = {one.body for one in self.run(self.store.queues.peek(queue, 10_000))}
            living = {one.body for one in self.living(queue)}
            assert living <= bodies, f"{queue} lost {living - bodies}"
            late = {one.body for one in self.there[queue]} - living
            assert bodies <= living | late, f"{queue} keeps {bodies - living - late}"


class FifoMachine(Machine):
    fifo = ".fifo"


FEWER = settings(MODEL, max_examples=max(5, EXAMPLES // 5))
"""The real store takes longer than other models."""

TestStandard = Machine.TestCase
TestStandard.settings = FEWER
TestFifo = FifoMachine.TestCase
TestFifo.settings = FEWER
