"""Memory does not grow with what waits (L2): much and very much, and the same router.

Long: 100,000 and 1,000,000. More than a router ever holds waits in both cases then.
"""

import asyncio
import threading
import time
import uuid

from tests.integration.bed import Bed
from tests.integration.kafka_bed import Topic, prepare
from tests.integration.queue_bed import Side
from tests.integration.test_soak import rss_bytes
from tests.sizes import size, sized

FEW, MANY = size((10_000, 40_000), (100_000, 1_000_000))
FIRST, LAST = size((1_000, 12_000), (10_000, 200_000))
"""How many are handled before memory is looked at the first time, and the last time."""

HELD_BYTES_MAX = size(32 << 20, 16 << 20)
"""What it may hold more of the long line than of the short one. In the short form the short line
is soon at its end, and records that run ahead of their handling are the difference."""

GROWTH_BYTES_MAX = 16 << 20
"""Between the first look and the last."""

FILLED = b'{"n": %d, "fill": "' + b"x" * 200 + b'"}'

QUIET = """import time


def handler(event, context):
    time.sleep(0.002)
"""


class Watched:
    """What a router came to: the most it held, and how fast it was, after so many records."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.idle_bytes = rss_bytes(bed.process.pid)
        self.most_bytes = 0
        self._looks = [(time.monotonic(), 0)]
        """When, and how many records had been handed out."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self):
        while not self._is_over.wait(0.02):
            self.most_bytes = max(self.most_bytes, rss_bytes(self.bed.process.pid))

    def after(self, count):
        """The most it held until so many were handed out."""
        deadline = time.monotonic() + size(100, 600)
        while self._invoked() < count:
            assert time.monotonic() < deadline, f"{count} records were not handled"
            time.sleep(size(0.2, 2))  # each look at a queue's lag counts its messages
        return self.most_bytes

    def pace(self, first, last):
        """Records a second between the look before so many were handed out and that after so many.

        A router can be past both when it is looked at the next time.
        """
        began, few = [look for look in self._looks if look[1] < first][-1]
        ended, many = next(look for look in self._looks if look[1] >= last)
        return (many - few) / (ended - began)

    def _invoked(self):
        count = self.bed.metric("router_mapping_records_invoked_total")
        self._looks.append((time.monotonic(), count))
        return count

    def end(self):
        self._is_over.set()
        self._thread.join()
        assert self.bed.stop() == 0


def watch(name, bed, last):
    """Start a router that has read nothing; what it held until FIRST, until `last`, and its pace.

    The pace is that between some FIRST and FEW records, whatever waits behind them.
    """
    watched = Watched(bed)
    try:
        steps = [watched.after(FIRST), watched.after(FEW)]
        for step in range(1, 5) if last > FEW else ():
            steps.append(watched.after(FEW + (last - FEW) * step // 4))
    finally:
        watched.end()
    rate = watched.pace(FIRST, FEW)
    most = ", ".join(f"{it / 2**20:.1f}" for it in steps)
    print(
        f"{name}: idle {watched.idle_bytes / 2**20:.1f} MiB, at most {most} until {FIRST:,},"
        f" {FEW:,} and on to {last:,} records, {rate:,.0f} a second"
    )
    return steps[0], steps[-1], rate


def check(few, many):
    (_, few_bytes, few_rate), (early_bytes, many_bytes, many_rate) = few, many
    assert many_bytes - few_bytes < HELD_BYTES_MAX
    assert many_bytes - early_bytes < GROWTH_BYTES_MAX
    assert many_rate > 0.3 * few_rate, "reading becomes slow where much waits"


@sized(300, 1_200)
def test_l2_a_topic_with_very_many_records(routers, ear, kafka):
    def measured(count, last):
        topic = Topic(kafka.bootstrap, partitions=4)
        for start in range(0, count, 50_000):
            numbers = range(start, min(count, start + 50_000))
            topic.produce((f"k{n % 64}", FILLED % n) for n in numbers)
        bed = prepare(routers(), topic, code=QUIET, BatchSize=100)
        bed.start()
        return watch(f"{count:,} in a topic", bed, last)

    check(measured(FEW, FEW), measured(MANY, LAST))


@sized(300, 1_800)
def test_l2_an_embedded_queue_with_very_many_messages(routers, ear):
    def measured(count, last):
        bed = routers()
        side = Side(bed, code=QUIET)
        queue = side.create("jobs", VisibilityTimeout=60)
        assert bed.stop() == 0
        asyncio.run(fill(bed, queue.name, count))
        bed.start()
        side.map(queue)
        return watch(f"{count:,} in a queue", bed, last)

    check(measured(FEW, FEW), measured(MANY, LAST))


async def fill(bed, queue, count):
    """Messages as the router itself stores them, by its own store, while it does not run."""
    from router.store.queues import NewMessage
    from router.store.sqlite import SqliteStore

    store = SqliteStore(bed.data)
    await store.open()
    try:
        now_ms = int(time.time() * 1000)
        for start in range(0, count, 5_000):
            await store.queues.send(
                [
                    NewMessage(
                        queue=queue,
                        message_id=str(uuid.UUID(int=n)),
                        body=(FILLED % n).decode(),
                        sent_ms=now_ms,
                        visible_ms=now_ms,
                        expires_ms=now_ms + 86_400_000,
                    )
                    for n in range(start, min(count, start + 5_000))
                ]
            )
    finally:
        await store.close()
