"""What became of the posts, from the function's log, the router's log and the failure queue."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
from posts import Post
from process import Router

HANDLED = re.compile(r"handled (\S+) at (\d+\.\d+)")
WINDOW = re.compile(r"window (\{.*\})")


@dataclass
class Seen:
    """What the function says it did."""

    first: dict[str, float] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    handled: int = 0

    def out_of_order(self, posts: dict[str, Post]) -> int:
        """First sights that came before an earlier record of the same repository."""
        wrong = 0
        for deliveries in self.order.values():
            turns = [posts[delivery].turn for delivery in deliveries]
            wrong += sum(1 for before, after in zip(turns, turns[1:], strict=False) if after < before)
        return wrong

    def waits(self, posts: dict[str, Post]) -> list[float]:
        """Seconds from the answer to the function, of every record it saw."""
        return [
            max(0.0, at - accepted_at)
            for delivery, at in self.first.items()
            if (accepted_at := posts[delivery].accepted_at) is not None
        ]


def read_handled(router: Router, posts: dict[str, Post]) -> Seen:
    """The function's own log lines, in the order of the times it printed."""
    lines = [
        (float(match.group(2)), match.group(1))
        for text in _function_logs(router)
        for match in HANDLED.finditer(text)
        if match.group(1) in posts
    ]
    # Environments write side by side; a stable sort keeps the order of each one's lines.
    lines.sort(key=lambda line: line[0])
    seen = Seen(handled=len(lines))
    for at, delivery in lines:
        if delivery not in seen.first:
            seen.first[delivery] = at
            seen.order.setdefault(posts[delivery].repository, []).append(delivery)
    return seen


def read_windows(router: Router) -> list[dict]:
    """What the function printed at the end of each window."""
    return [
        json.loads(match.group(1))
        for text in _function_logs(router)
        for match in WINDOW.finditer(text)
    ]


def _function_logs(router: Router) -> Iterator[str]:
    for path in sorted((router.data / "logs").glob("*.log*"), reverse=True):
        yield path.read_text("utf-8", "replace")


def read_batches(router: Router) -> tuple[list[int], int]:
    """Sizes of all batches that were invoked, and how often one was split, from the router's log."""
    sizes, bisects = [], 0
    for line in router.log.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") in {"batch_handled", "batch_failed"}:
                sizes.append(entry["records"])
            bisects += entry.get("event") == "batch_bisected"
    return sizes, bisects


async def _call(session: aiohttp.ClientSession, router: Router, target: str, body: object) -> dict:
    """One AWS JSON call to the router's own SQS."""
    headers = {"X-Amz-Target": f"AmazonSQS.{target}", "Content-Type": "application/x-amz-json-1.0"}
    async with session.post(
        router.addresses["api"], data=json.dumps(body), headers=headers
    ) as reply:
        return await reply.json(content_type=None)


async def queue_url(session: aiohttp.ClientSession, router: Router) -> str:
    """The failure queue."""
    return (await _call(session, router, "ListQueues", {}))["QueueUrls"][0]


async def waiting(session: aiohttp.ClientSession, router: Router) -> int:
    """Messages in the failure queue."""
    url = await queue_url(session, router)
    reply = await _call(
        session, router, "GetQueueAttributes",
        {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]},
    )  # fmt: skip
    return int(reply["Attributes"]["ApproximateNumberOfMessages"])


async def read_failures(session: aiohttp.ClientSession, router: Router) -> list[dict]:
    """Every on-failure record in the queue; they stay there, visible again at once."""
    url = await queue_url(session, router)
    records, handles = [], []
    while True:
        reply = await _call(
            session, router, "ReceiveMessage",
            {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 60},
        )  # fmt: skip
        messages = reply.get("Messages", [])
        if not messages:
            break
        records += [json.loads(message["Body"]) for message in messages]
        handles += [message["ReceiptHandle"] for message in messages]
    for handle in handles:
        await _call(
            session, router, "ChangeMessageVisibility",
            {"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 0},
        )  # fmt: skip
    return records
