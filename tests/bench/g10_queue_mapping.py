"""G10: a queue of a server into a function, beside bare loops over a queue of the same server.

CPU of the router's process per message, by that of a loop of aiobotocore that receives and deletes
tens and does nothing else; and messages a second, by those of one thread of boto3 that calls the
same handler in its own process (G10_rate). The server is ElasticMQ, on the same cores.

Run it: `python -m tests.bench.g10_queue_mapping`.
"""

import contextlib
import json
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.bench.sources import bed

CPU_GOAL = 0.4
RATE_GOAL = 1.5
ROUNDS = 5
MESSAGES = 10_000
SENDERS = 4
BODY = json.dumps({"number": 1, "text": "x" * 1_000})
REGION = "us-east-1"
ACCOUNT = "000000000000"


class Sqs:
    """A server that speaks SQS; it looks at no signature."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, operation: str, **members: Any) -> Any:
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=key/20260101/{REGION}/sqs/aws4_request,"
            f" SignedHeaders=host, Signature={'0' * 64}",
        }
        request = urllib.request.Request(self.url, json.dumps(members).encode(), headers)
        with urllib.request.urlopen(request, timeout=bed.GONE_S_MAX) as answer:
            return json.loads(answer.read() or b"null")

    def filled(self, messages: int) -> tuple[str, str]:
        """A new queue with so many messages of 1 KB: its URL and ARN."""
        name = f"q-{uuid4().hex[:12]}"
        url = self.ask("CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "120"})
        entries = [{"Id": str(index), "MessageBody": BODY} for index in range(10)]

        def send(_number: int) -> None:
            answer = self.ask("SendMessageBatch", QueueUrl=url["QueueUrl"], Entries=entries)
            if answer.get("Failed"):
                raise RuntimeError(f"not sent: {answer['Failed']}")

        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(send, range(messages // 10)))
        return url["QueueUrl"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Two results; about three minutes."""
    rounds, messages = (1, 200) if is_quick else (ROUNDS, MESSAGES)
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack, rounds, messages)
    except bed.Unavailable as error:
        return {"G10": {"error": str(error)}}


def _run(stack: contextlib.ExitStack, rounds: int, messages: int) -> dict[str, Any]:
    sqs = Sqs(stack.enter_context(bed.sqs()))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    own = {
        "ROUTER_SQS": "aws",
        "AWS_ENDPOINT_URL_SQS": sqs.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    functions = {"Worker": bed.function("queue")}
    server = stack.enter_context(bed.router(folder, functions, **own))

    def through() -> bed.Drain:
        url, arn = sqs.filled(messages)
        server.collector.reset()
        with bed.mapped(server, "Worker", {"EventSourceArn": arn, "BatchSize": 10}):
            shown = bed.drain(server.collector, server.process.pid, messages, "router")
        sqs.ask("DeleteQueue", QueueUrl=url)
        return shown

    def other(kind: str) -> bed.Drain:
        url, _ = sqs.filled(messages)
        environment = {"SQS": sqs.url, "QUEUE": url}
        with bed.beside(sys.executable, "receiver.py", kind, **environment) as (collector, pid):
            shown = bed.drain(collector, pid, messages, kind)
        sqs.ask("DeleteQueue", QueueUrl=url)
        return shown

    sides = {
        "router": through,
        "aiobotocore": lambda: other("aiobotocore"),
        "boto3": lambda: other("boto3"),
    }
    ours, client, thread = bed.in_turn(sides, rounds).values()
    return {
        "G10": bed.compared(ours, client, "cpu_us", CPU_GOAL, is_most=True, messages=messages),
        "G10_rate": bed.compared(ours, thread, "per_s", RATE_GOAL, is_most=False),
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
