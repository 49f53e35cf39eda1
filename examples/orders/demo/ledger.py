"""Where each order and each shipment ended."""

import re

from examples.common.ledger import Seen, count_attempts, read_batches, read_handled
from examples.common.process import Router
from examples.common.queues import peek
from examples.common.report import median_and_p99
from examples.orders.demo.orders import Order

NOT_CHARGED = "not-charged"
NOT_SHIPPED = "not-shipped.fifo"
"""Queues of the template for what could not be handled."""

ATTEMPT = re.compile(r"cannot (?:charge|ship) (\S+?):")
"""How the functions say that they have failed."""


class Ledger:
    """All orders or all shipments, and where each of them ended."""

    def __init__(self, orders: list[Order], mapping: str) -> None:
        self.items = {it.id: it for it in orders}
        self.poison = {it.id for it in orders if it.is_poison}
        self.mapping = mapping
        self.seen = Seen()
        self.given_up: set[str] = set()
        """What is in the queue for what could not be handled."""
        self.told = 0
        """How many that queue tells of; more than `given_up` when it tells of one twice."""

    @property
    def accepted(self) -> set[str]:
        """What the sender was told is safe."""
        return {it.id for it in self.items.values() if it.accepted_at is not None}

    @property
    def lost(self) -> int:
        """Accepted, and nobody knows of it: by what is told of, and by how many."""
        missing = self.accepted - self.seen.first.keys()
        return max(len(missing - self.given_up), len(missing) - self.told)

    def read(self, router: Router) -> bool:
        """Look at the function's log; whether all that can be handled is."""
        self.seen = read_handled(router, self.items)
        return self.items.keys() - self.poison <= self.seen.first.keys()

    def is_well(self) -> bool:
        """Everything handled or given up, in order, and only poison given up."""
        return (
            len(self.accepted) == len(self.items)
            and self.lost == 0
            and not self.seen.out_of_order(self.items)
            and self.given_up == self.poison
            and self.told == len(self.poison)
            and not self.poison & self.seen.first.keys()
        )

    def column(self, router: Router, sent: str, queue: str) -> dict[str, str]:
        """This one's values in the table."""
        batches = read_batches(router, self.mapping)
        attempts = count_attempts(router, ATTEMPT)
        tried = [attempts[it] for it in self.items if attempts[it]]
        return {
            "sent": sent,
            "accepted": f"{len(self.accepted):,}",
            "handled": f"{len(self.seen.first):,}",
            "handled more than once": f"{self.seen.handled - len(self.seen.first):,}",
            "invocations": f"{len(batches.sizes):,}",
            "batch: mean, largest": batches.mean_and_largest,
            "failed": f"{len(tried):,}  (poison sent: {len(self.poison)})",
            "retried": f"{sum(tried) - len(tried):,}  (at most {max(tried, default=1) - 1} each)",
            "given up": f"{self.told:,}  in {queue}",
            "out of order": f"{self.seen.out_of_order(self.items)}",
            "lost": f"{self.lost}",
            "accept to handled p50, p99": median_and_p99(self.seen.waits(self.items)),
        }


async def read_not_charged(router: Router, orders: Ledger) -> None:
    """On-failure records name the first and last offset, and how many: not those between.

    What was handled of these was not given up; of the others must be as many as all records say.
    """
    by_place = {it.place: it.id for it in orders.items.values()}
    orders.given_up, orders.told = set(), 0
    for document in await peek(router, NOT_CHARGED):
        info = document["KafkaBatchInfo"]
        orders.told += info["batchSize"]
        orders.given_up |= {
            by_place[partition, offset]
            for partition, place in info["recordsInfo"].items()
            for offset in range(int(place["firstRecordOffset"]), int(place["lastRecordOffset"]) + 1)
        } - orders.seen.first.keys()


async def read_not_shipped(router: Router, shipments: Ledger) -> None:
    """The dead-letter queue has the shipments as they were sent."""
    dead = [body["id"] for body in await peek(router, NOT_SHIPPED)]
    shipments.given_up, shipments.told = set(dead), len(dead)
