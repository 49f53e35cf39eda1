"""What the demo posts, and what the sender is told."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from examples.common.ledger import Item
from examples.common.process import Router

SECRET = "a-made-up-secret-for-the-demo"
PAYLOADS = Path(__file__).resolve().parent.parent / "payloads" / "github.jsonl"

POSTS = 5_000
REPOSITORIES = 40
POISON_EVERY = 249
BAD_SIGNATURE_EVERY = 51
REDELIVERED_EVERY = 37


@dataclass(kw_only=True)
class Post(Item):
    """One webhook the sender will post; its id is GitHub's, its key the repository."""

    number: int
    event: str
    action: str | None
    body: bytes


@dataclass
class Sent:
    """What the sender was told."""

    accepted: dict[str, Post] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    wrong_duplicates: int = 0


def make_posts() -> list[list[Post]]:
    """The posts of each repository, in the order they are sent."""
    payloads = [json.loads(line) for line in PAYLOADS.read_text("utf-8").splitlines()]
    streams: list[list[Post]] = [[] for _ in range(REPOSITORIES)]
    for number in range(POSTS):
        example = payloads[number % len(payloads)]
        stream = streams[number % REPOSITORIES]
        payload = dict(example["payload"])
        name = f"octo-org/service-{number % REPOSITORIES:02d}"
        payload["repository"] = {**payload["repository"], "full_name": name}
        is_poison = number % POISON_EVERY == POISON_EVERY - 1
        if is_poison:
            payload["poison"] = True
        stream.append(
            Post(
                number=number,
                id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo-{number}")),
                key=name,
                turn=len(stream),
                event=example["event"],
                action=payload.get("action"),
                body=json.dumps(payload, separators=(",", ":")).encode(),
                is_poison=is_poison,
            )
        )
    return streams


async def send_all(
    session: aiohttp.ClientSession,
    router: Router,
    streams: list[list[Post]],
    sent: Sent,
    tick: Callable[[], None],
) -> None:
    """Send every repository's posts side by side."""
    await asyncio.gather(*(_send(session, router, stream, sent, tick) for stream in streams))


async def _send(
    session: aiohttp.ClientSession,
    router: Router,
    posts: list[Post],
    sent: Sent,
    tick: Callable[[], None],
) -> None:
    """Send one repository's posts, each after the answer to the one before."""
    for it in posts:
        if it.number % BAD_SIGNATURE_EVERY == 0:
            status, _ = await _post(session, router, it, "not-the-secret")
            sent.refused[status] += 1
        status, event_id = await _post(session, router, it, SECRET)
        if status == 202:
            it.accepted_at = time.time()
            sent.accepted[it.id] = it
        else:
            sent.refused[status] += 1
        if it.number % REDELIVERED_EVERY == 0:
            status, second = await _post(session, router, it, SECRET)
            sent.duplicates += status == 202 and second == event_id
            sent.wrong_duplicates += status != 202 or second != event_id
        tick()


async def _post(
    session: aiohttp.ClientSession, router: Router, it: Post, secret: str
) -> tuple[int, str]:
    """Post once; retried while nobody answers or the router asks to wait. Status and event id."""
    digest = hmac.new(secret.encode(), it.body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": it.event,
        "X-GitHub-Delivery": it.id,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    while True:
        try:
            async with session.post(
                router.addresses["ingress"] + "/hooks/github", data=it.body, headers=headers
            ) as reply:
                answer = await reply.json(content_type=None)
                if reply.status not in {429, 503}:
                    return reply.status, str(answer.get("id", ""))
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        await asyncio.sleep(0.05)
