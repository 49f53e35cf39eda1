"""A router with something to show: webhooks, a queue, functions that fail when they are told to."""

import contextlib
import json
import math
import random
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from tests.integration.bed import HEAD, SECRET, Bed, call, lone_bed, until

CODE = """
import json, random, time

Refused = type(NAME, (Exception,), {})

def handler(event, context):
    time.sleep(random.uniform(0.002, 0.02))
    for record in event["Records"]:
        body = json.loads(record["body"])
        if body.get("poison"):
            raise Refused("told to fail")
"""

WEBHOOK = """
  {name}:
    Type: Router::Webhook
    Properties:
      Path: /hooks/{title}
      Signature: {signature}
      PartitionKey: $.key
      Shards: 2
      Deduplicate: {{Key: $.id}}
"""
FUNCTION = """
  {name}:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: {title}
      Role: arn:aws:iam::000000000000:role/worker
      Code: code
      Handler: app.handler
      Runtime: python3.11
      Timeout: 10
      Environment: {{Variables: {{API_TOKEN: canary-5d1f, MODE: fast}}}}
"""
MAPPING = """
  {name}:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt {source}.Arn
      FunctionName: !Ref {function}
      BatchSize: 10
{more}
"""
QUEUE = """
  {name}: {{Type: AWS::SQS::Queue, Properties: {{QueueName: {title}}}}}
"""
PLAIN = "{Scheme: none}"
SIGNED = '{Scheme: stripe, Secret: "{{resolve:secretsmanager:stripe}}"}'
TO_FAILED = "DestinationConfig: {OnFailure: {Destination: !GetAtt Failed.Arn}}"


def template() -> str:
    """Three webhooks, two queues, three functions, five mappings, one of them off."""
    parts = [
        WEBHOOK.format(name="GitHub", title="github", signature=PLAIN),
        WEBHOOK.format(name="Shop", title="shop", signature=PLAIN),
        WEBHOOK.format(name="Stripe", title="stripe", signature=SIGNED),
        QUEUE.format(name="Failed", title="repository-events-failed"),
        QUEUE.format(name="Mails", title="mails"),
        FUNCTION.format(name="Repositories", title="repository-events"),
        FUNCTION.format(name="Charges", title="charge-cards"),
        FUNCTION.format(name="Mail", title="send-mail"),
        MAPPING.format(
            name="RepositoryEvents", source="GitHub", function="Repositories",
            more=f"      MaximumRetryAttempts: 1\n      {TO_FAILED}",
        ),
        MAPPING.format(name="Orders", source="Shop", function="Charges", more=""),
        MAPPING.format(name="Payments", source="Stripe", function="Charges", more=""),
        MAPPING.format(name="MailQueue", source="Mails", function="Mail", more=""),
        MAPPING.format(
            name="Archive", source="Shop", function="Mail", more="      Enabled: false"
        ),
    ]  # fmt: skip
    return HEAD + "".join(parts)


class Shown:
    """The running router."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.ops = str(bed.addresses["ops"])
        self._n = 0

    def post(
        self, hook: str, key: str = "a", *, is_poison: bool = False, number: int | None = None
    ) -> int:
        """One event; the status of its answer. `number`: as one before had it, a duplicate."""
        self._n += 1
        body = {"key": key, "id": self._n if number is None else number}
        body |= {"poison": True} if is_poison else {}
        reply = call(self.bed.addresses["ingress"], f"/hooks/{hook}", json.dumps(body).encode())
        return reply.status

    def mapping(self, name: str) -> str:
        """The UUID of a mapping."""
        rows = self.bed.told("mappings", "list")
        return str(next(row["UUID"] for row in rows if row["Name"] == name))

    @contextlib.contextmanager
    def traffic(self, per_s: float = 50) -> Iterator[None]:
        """Events for as long as the block lasts, more and fewer in waves."""
        is_over = threading.Event()

        def send() -> None:
            began_s = time.monotonic()
            while not is_over.is_set():
                wave = 1 + 0.7 * math.sin((time.monotonic() - began_s) / 12)
                hook = random.choice(["github", "github", "github", "shop"])
                number = 1 if random.random() < 0.04 else None
                with contextlib.suppress(OSError, HTTPException):  # it may stop meanwhile
                    self.post(hook, f"k{random.randrange(20)}", number=number)
                is_over.wait(random.uniform(0.4, 1.6) / (per_s * wave))

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def refuse(self) -> None:
        """What a webhook with a secret does with who has none: most of what it gets."""
        for _ in range(6):
            assert self.post("stripe") >= 400

    def trouble(self) -> None:
        """A card that is refused for ever, two events that are given up, senders without a key."""
        assert self.post("shop", "card", is_poison=True) == 202
        for key in ("b", "c"):
            assert self.post("github", key, is_poison=True) == 202
        self.refuse()
        until(lambda: self.bed.told("queues", "peek", "repository-events-failed"))


@contextlib.contextmanager
def shown(folder: Path, *, error: str = "CardRefused", **environment: str) -> Iterator[Shown]:
    """A router on a folder, gone after it. `error`: what functions call theirs."""
    with lone_bed(folder) as bed:
        bed.environment |= {"ROUTER_SECRET_STRIPE": SECRET} | environment
        bed.write(template())
        bed.code(CODE.replace("NAME", repr(error)))
        bed.start("--stack-name", "live")
        yield Shown(bed)
