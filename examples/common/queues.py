"""The router's own queues, as a client of SQS and its command line see them."""

import asyncio
import json
from typing import Any

import aiohttp

from examples.common.process import Router

PEEKED_MAX = 1_000


async def call(session: aiohttp.ClientSession, router: Router, target: str, **members: Any) -> dict:
    """One AWS JSON call to the router's SQS. Raises `aiohttp.ClientError` when it is refused."""
    headers = {"X-Amz-Target": f"AmazonSQS.{target}", "Content-Type": "application/x-amz-json-1.0"}
    async with session.post(
        router.addresses["api"], data=json.dumps(members), headers=headers
    ) as reply:
        reply.raise_for_status()
        return await reply.json(content_type=None)


async def queue_url(session: aiohttp.ClientSession, router: Router, name: str) -> str:
    """The address of a queue, for other calls."""
    return (await call(session, router, "GetQueueUrl", QueueName=name))["QueueUrl"]


async def waiting(session: aiohttp.ClientSession, router: Router, name: str) -> int:
    """Messages in a queue that can be received."""
    url = await queue_url(session, router, name)
    wanted = ["ApproximateNumberOfMessages"]
    reply = await call(session, router, "GetQueueAttributes", QueueUrl=url, AttributeNames=wanted)
    return int(reply["Attributes"]["ApproximateNumberOfMessages"])


async def peek(router: Router, name: str) -> list[dict]:
    """The bodies of a queue's messages; they stay there untouched."""
    text = await asyncio.to_thread(
        router.command, "queues", "peek", name, "--max", str(PEEKED_MAX), "--json"
    )
    return [json.loads(message["Body"]) for message in json.loads(text)]
