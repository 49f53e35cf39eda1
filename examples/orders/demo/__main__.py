"""`make demo-kafka`: orders from a Kafka topic, shipments from a FIFO queue, what became of them.

Starts a Kafka broker and `router run` as a user would, sends orders to the topic and shipments to
the queue, one in a hundred of them broken, and counts by sets of their ids: from what the sender
was told and what the functions, the failure queue and the dead-letter queue have seen. With
`--chaos` the router is killed with SIGKILL in the middle and started again on the same data.
"""

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

import aiohttp

from examples.common.process import (
    ROOT,
    Router,
    console,
    fresh_folder,
    kill_and_start,
    wait_for_user,
)
from examples.common.queues import waiting
from examples.common.report import (
    progress_bars,
    router_command,
    show_next,
    show_table,
)
from examples.orders.demo.broker import start_broker
from examples.orders.demo.ledger import (
    NOT_CHARGED,
    NOT_SHIPPED,
    Ledger,
    read_not_charged,
    read_not_shipped,
)
from examples.orders.demo.orders import (
    CUSTOMERS,
    ORDERS,
    QUEUE,
    SENDERS,
    SHIPMENTS,
    TOPIC,
    make_orders,
    make_shipments,
    make_topic,
    send_orders,
    send_shipments,
)

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"
SETTLE_S_MAX = 120


async def disturb(router: Router, orders: Ledger) -> None:
    """Kill the router when half of the orders are accepted."""
    while len(orders.accepted) < ORDERS // 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(random.uniform(0, 0.5))
    await kill_and_start(router)


async def run(
    router: Router, servers: str, *, is_chaotic: bool
) -> tuple[dict[str, list[str]], bool]:
    """Send, wait until everything has ended somewhere, count. Rows of the table, and all well."""
    orders = Ledger(make_orders(), "OrdersToBilling")
    shipments = Ledger(make_shipments(), "ShipmentsToShipping")
    connector = aiohttp.TCPConnector(limit=SENDERS)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        with progress_bars() as bars:
            ordering = bars.add_task("orders to the topic", total=ORDERS)
            shipping = bars.add_task("shipments to the queue", total=SHIPMENTS)
            handling = bars.add_task("handling and giving up", total=ORDERS + SHIPMENTS)
            async with asyncio.TaskGroup() as group:
                if is_chaotic:
                    group.create_task(disturb(router, orders))
                group.create_task(
                    send_orders(
                        servers, list(orders.items.values()), lambda: bars.advance(ordering)
                    )
                )
                group.create_task(
                    send_shipments(
                        session, router, list(shipments.items.values()),
                        lambda: bars.advance(shipping),
                    )
                )  # fmt: skip
            deadline = time.monotonic() + SETTLE_S_MAX
            while time.monotonic() < deadline:
                is_all_handled = orders.read(router) & shipments.read(router)
                dead = await waiting(session, router, NOT_SHIPPED)
                ended = len(orders.seen.first) + len(shipments.seen.first) + dead
                bars.update(handling, completed=ended + len(orders.given_up))
                if is_all_handled and dead >= len(shipments.poison):
                    await read_not_charged(router, orders)
                    if orders.told >= len(orders.poison):
                        break
                await asyncio.sleep(0.25)
    await read_not_charged(router, orders)
    await read_not_shipped(router, shipments)
    left = orders.column(router, f"{ORDERS:,} of {CUSTOMERS} customers", NOT_CHARGED)
    right = shipments.column(router, f"{SHIPMENTS:,} of {CUSTOMERS} customers", NOT_SHIPPED)
    rows = {name: [value, right[name]] for name, value in left.items()}
    return rows, orders.is_well() and shipments.is_well()


def main() -> int:
    """Run the demo; 0 when everything adds up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="leave router and broker running")
    parser.add_argument("--chaos", action="store_true", help="kill -9 the router in the middle")
    parser.add_argument(
        "--optional", action="store_true", help="end well where nothing can run Kafka, as tests do"
    )
    options = parser.parse_args()
    folder = fresh_folder("demo-kafka")
    router = Router(folder, TEMPLATE)
    broker = start_broker(folder / "broker", is_optional=options.optional)
    try:
        asyncio.run(make_topic(broker.bootstrap))
        router.parameters["BootstrapServers"] = broker.bootstrap
        template = TEMPLATE.relative_to(ROOT)
        command = f"router run {template} --parameter BootstrapServers={broker.bootstrap}"
        console.print(command, soft_wrap=True)
        router.start()
        rows, is_well = asyncio.run(run(router, broker.bootstrap, is_chaotic=options.chaos))
        show_table(rows, (f"topic {TOPIC}", f"queue {QUEUE}"), is_well=is_well)
        more = {
            "mappings": router_command(router, "mappings", "describe", "OrdersToBilling"),
            "not charged": router_command(router, "queues", "peek", NOT_CHARGED),
            "not shipped": router_command(router, "queues", "peek", NOT_SHIPPED),
        }
        show_next(router, "demo-kafka", keeps=options.keep, more=more)
        if options.keep:
            wait_for_user(router)
    except KeyboardInterrupt:
        is_well = False
    finally:
        status = router.stop()
        broker.stop()
    if status != 0:
        console.print(f"[red]the router ended with status {status}[/red]")
        return 1
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
