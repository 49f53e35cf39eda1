"""A small town that uses a router for everything, and where some of everything goes wrong.

Orders come by a webhook and are charged in order; some cannot be charged. Parcels come through a
queue; some are broken. There is a shop front behind a function's URL, letters that are sent by the
way, a counter that serves one at a time, a mapping that stands still before a record it cannot
handle, and callers who ask for what is not there. What each does, and how much, is steered here.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.bed import SECRET, Bed, Ear, call, ingress_pids, signed

ACCOUNT = "000000000000"
NOWHERE = f"arn:aws:sns:us-east-1:{ACCOUNT}:nobody"
"""A topic at an address where nobody listens."""

CODE = """
import json
import os
import time


def told(body):
    if body.get("wait_s"):
        time.sleep(body["wait_s"])
    if body.get("ends"):
        os._exit(1)
    if body.get("fails"):
        raise ValueError("this one cannot be handled")


def stream(event, context):
    for record in event["Records"]:
        told(json.loads(record["body"]))


def queue(event, context):
    failures = []
    for record in event["Records"]:
        try:
            told(json.loads(record["body"]))
        except ValueError:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def front(event, context):
    asked = event.get("queryStringParameters") or event
    told({"wait_s": float(asked.get("wait_s", 0)), "fails": asked.get("fails")})
    return {"statusCode": int(asked.get("status", 200)), "body": "welcome"}


def plain(event, context):
    told(event)
    return event


def loud(event, context):
    for _ in range(event.get("lines", 0)):
        print("x" * 20_000)
    told(event)
"""

TEMPLATE = """AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Ear: {{Type: String, Default: "127.0.0.1:1"}}
Resources:
{functions}
  Orders:
    Type: Router::Webhook
    Properties:
      Path: /orders
      Signature: {{Scheme: github, Secret: "{{{{resolve:secretsmanager:hook}}}}"}}
      PartitionKey: $.customer
      Shards: 2
      Deduplicate: {{Key: header.X-Delivery}}
  Notes:
    Type: Router::Webhook
    Properties:
      Path: /notes
      Signature: {{Scheme: github, Secret: "{{{{resolve:secretsmanager:hook}}}}"}}
      PartitionKey: $.customer
  Fairs:
    Type: Router::Webhook
    Properties:
      Path: /fairs
      Signature: {{Scheme: github, Secret: "{{{{resolve:secretsmanager:fairs}}}}"}}
  OrdersToBilling:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.Arn
      FunctionName: !Ref Billing
      BatchSize: 20
      ParallelizationFactor: 2
      BisectBatchOnFunctionError: true
      MaximumRetryAttempts: 2
      FilterCriteria: {{Filters: [{{Pattern: '{{"body": {{"kind": ["order"]}}}}'}}]}}
      DestinationConfig: {{OnFailure: {{Destination: !GetAtt NotCharged.Arn}}}}
  OrdersToArchive:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.Arn
      FunctionName: !Ref Archive
      BatchSize: 100
      MaximumRetryAttempts: 0
      DestinationConfig: {{OnFailure: {{Destination: "{nowhere}"}}}}
  NotesToLedger:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Notes.Arn
      FunctionName: !Ref Ledger
      BatchSize: 1
  NotesToDisplay:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Notes.Arn
      FunctionName: !Ref Archive
      MaximumRetryAttempts: 0
  NotesToFront:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Notes.Arn
      FunctionName: !Ref Front
  ParcelsToShipping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Parcels.Arn
      FunctionName: !Ref Shipping
      BatchSize: 10
      FunctionResponseTypes: [ReportBatchItemFailures]
  TicketsToCounter:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Tickets.Arn
      FunctionName: !Ref Counter
      BatchSize: 1
  NewsToArchive:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      SelfManagedEventSource: {{Endpoints: {{KafkaBootstrapServers: ["127.0.0.1:1"]}}}}
      Topics: [news]
      FunctionName: !Ref Archive
      StartingPosition: TRIM_HORIZON
      SourceAccessConfigurations:
        - {{Type: VPC_SUBNET, URI: "subnet:subnet-0123456789abcdef0"}}
        - {{Type: VPC_SECURITY_GROUP, URI: "security_group:sg-0123456789abcdef0"}}
  NotCharged: {{Type: AWS::SQS::Queue, Properties: {{QueueName: not-charged}}}}
  NotShipped: {{Type: AWS::SQS::Queue, Properties: {{QueueName: not-shipped}}}}
  Tickets:
    Type: AWS::SQS::Queue
    Properties: {{QueueName: tickets, VisibilityTimeout: 10}}
  Parcels:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: parcels
      VisibilityTimeout: 10
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt NotShipped.Arn, maxReceiveCount: 2}}
  FrontUrl:
    Type: AWS::Lambda::Url
    Properties: {{TargetFunctionArn: !Ref Front, AuthType: NONE}}
  FrontOpen:
    Type: AWS::Lambda::Permission
    Properties:
      FunctionName: !Ref Front
      Action: lambda:InvokeFunctionUrl
      Principal: "*"
      FunctionUrlAuthType: NONE
  FrontVersion:
    Type: AWS::Lambda::Version
    Properties:
      FunctionName: !Ref Front
      ProvisionedConcurrencyConfig: {{ProvisionedConcurrentExecutions: 1}}
  LettersLater:
    Type: AWS::Lambda::EventInvokeConfig
    Properties:
      FunctionName: !Ref Letters
      Qualifier: $LATEST
      MaximumRetryAttempts: 1
      DestinationConfig: {{OnFailure: {{Destination: "{nowhere}"}}}}
"""

FUNCTION = """  {id}:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: {name}
      Role: arn:aws:iam::000000000000:role/worker
      Code: code
      Handler: app.{handler}
      Runtime: python3.11
      Timeout: 1
{more}"""

FUNCTIONS = {
    "billing": ("stream", ""),
    "archive": ("stream", ""),
    "ledger": ("stream", ""),
    "shipping": ("queue", ""),
    "counter": ("stream", "      ReservedConcurrentExecutions: 1\n"),
    "front": ("front", ""),
    "letters": ("loud", f"      DeadLetterConfig: {{TargetArn: '{NOWHERE}'}}\n"),
}


def template() -> str:
    """All of it."""
    functions = "".join(
        FUNCTION.format(id=name.title(), name=name, handler=handler, more=more)
        for name, (handler, more) in FUNCTIONS.items()
    )
    return TEMPLATE.format(functions=functions, nowhere=NOWHERE)


class Town:
    """A router and those who use it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._numbers = itertools.count()

    def start(self) -> None:
        """The router; nobody comes yet."""
        bed = self.bed
        secrets = bed.folder.with_name("secrets")
        secrets.mkdir()
        for name in ("hook", "fairs"):
            (secrets / name).write_text(SECRET)
        bed.environment |= {
            "ROUTER_ASYNC_FIRST_WAIT_MS": "500",
            "ROUTER_INGRESS_PROCESSES": "1",
            "ROUTER_SECRETS_DIR": str(secrets),
            "AWS_ENDPOINT_URL_SNS": "http://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        bed.write(template())
        bed.code(CODE)
        bed.start()
        url = bed.rest("GET", "/2021-10-31/functions/front/url").json["FunctionUrl"]
        self._front = url.partition("//")[2].partition(".")[0]
        (secrets / "fairs").unlink()

    def every(self, pause_s: float | Callable[[], float], action: Callable[[], object]) -> None:
        """Do it again and again, each after the one before, until the end."""

        def go_on() -> None:
            while not self._is_over.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    action()
                self._is_over.wait(pause_s() if callable(pause_s) else pause_s)

        self._go(go_on)

    def once(
        self, action: Callable[[], int], is_so: Callable[[int], bool], then: Callable[[], object]
    ) -> None:
        """When an action had this result, do that."""

        def go_on() -> None:
            while not self._is_over.wait(1):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if is_so(action()):
                        then()
                        return

        self._go(go_on)

    def _go(self, what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Everybody goes home."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    # What people do

    def order(self, *, is_signed: bool = True, is_again: bool = False, **body: object) -> int:
        """An order by webhook; the answer's status. `customer` is its partition key."""
        n = next(self._numbers)
        body = {"customer": f"c{n % 12}", "kind": "order", "n": n} | body
        text = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
        headers = signed(text) if is_signed else {"X-Hub-Signature-256": "sha256=00"}
        headers["X-Delivery"] = "again" if is_again else str(n)
        return call(self.bed.addresses["ingress"], "/orders", text, headers).status

    def note(self, **body: object) -> int:
        """A note, for the ledger."""
        text = json.dumps({"customer": "c", **body}).encode()
        return call(self.bed.addresses["ingress"], "/notes", text, signed(text)).status

    def fair(self) -> int:
        """Something signed with a secret that the router has no more."""
        text = b"{}"
        return call(self.bed.addresses["ingress"], "/fairs", text, signed(text)).status

    def linger(self) -> None:
        """A connection that nobody says anything on for a second."""
        host, _, port = self.bed.addresses["ingress"].rpartition("/")[2].rpartition(":")
        with socket.create_connection((host, int(port))):
            self._is_over.wait(1)

    def end_ingress(self) -> None:
        """SIGKILL to the process of the ingress listener."""
        assert self.bed.process is not None
        for pid in ingress_pids(self.bed.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def send(self, queue: str, *bodies: dict[str, object]) -> None:
        """Messages into a queue."""
        entries = [{"Id": str(n), "MessageBody": json.dumps(body)} for n, body in enumerate(bodies)]
        url = f"{self.bed.addresses['api']}/{ACCOUNT}/{queue}"
        self.bed.json_call("AmazonSQS.SendMessageBatch", QueueUrl=url, Entries=entries)

    def visit(self, query: str = "") -> int:
        """The shop front behind the URL; the answer's status."""
        return call(self.bed.addresses["ingress"], f"/lambda-url/{self._front}/{query}").status

    def invoke(self, name: str, *, kind: str = "RequestResponse", **event: object) -> int:
        """A function by the API, `name` with a version perhaps; the answer's status."""
        name, _, version = name.partition(":")
        path = f"/2015-03-31/functions/{name}/invocations" + (
            f"?Qualifier={version}" if version else ""
        )
        headers = {"X-Amz-Invocation-Type": kind}
        text = json.dumps(event).encode()
        return call(self.bed.addresses["api"], path, text, headers).status


def everyday(town: Town) -> None:
    """Something of everything, all the time, and trouble in all of it.

    The ingress process is killed once: one that starts is slow on a busy machine.
    """
    town.once(town.order, lambda status: status == 202, town.end_ingress)
    for pause_s, action in (
        (0.1, town.order),
        (0.2, lambda: town.order(kind="question")),  # left out by the filter
        (0.6, lambda: town.order(fails=True)),
        (0.3, lambda: town.order(wait_s=0.05, customer=None)),  # no key
        (0.3, lambda: town.order(is_again=True)),
        (0.3, lambda: town.order(is_signed=False)),
        (0.5, town.note),
        (1.0, lambda: town.note(fails=True)),  # the ledger stands still; the display gives it up
        (0.5, town.fair),
        (0.1, town.linger),
        (3.0, lambda: town.invoke("letters", kind="Event", lines=250)),
        (0.3, lambda: town.send("parcels", *[{"n": n} for n in range(5)], {"fails": True})),
        (0.2, lambda: town.send("tickets", {"wait_s": 0.2}, {"wait_s": 0.2})),
        (0.2, town.visit),
        (0.3, lambda: town.visit("?status=404")),
        (0.3, lambda: town.visit("?fails=1")),
        (0.2, lambda: town.invoke("front:1")),
        (0.3, lambda: town.invoke("front:1", fails=True)),
        (0.2, lambda: town.invoke("counter", Records=[])),
        (0.5, lambda: town.invoke("counter", kind="Event", Records=[])),
        (0.2, lambda: town.invoke("letters", kind="Event")),
        (0.3, lambda: town.invoke("letters", kind="Event", fails=True)),
        (1.0, lambda: town.invoke("letters", ends=True)),
        (0.5, lambda: town.invoke("letters", wait_s=2)),  # longer than it may
        (1.0, lambda: town.invoke("nobody")),
        (0.5, lambda: call(town.bed.addresses["ingress"], "/nowhere", b"{}")),
    ):
        town.every(pause_s, action)


@contextlib.contextmanager
def town(folder: Path, make: type[Town] = Town) -> Iterator[Town]:
    """A town with a router that runs, gone after it."""
    with contextlib.closing(Ear()) as ear, contextlib.closing(Bed(folder, ear)) as bed:
        made = make(bed)
        try:
            made.start()
            yield made
        finally:
            made.end()
