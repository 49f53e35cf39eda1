"""Queues for mappings in a running router: embedded, or those of a real server."""

import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

from tests.integration.bed import call, function, template, until

SEEING = '''"""Tells an ear the whole event of every call; its answer may say what to do."""

import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def tell(**facts):
    wire.write(json.dumps(facts).encode() + b"\\n")
    wire.flush()
    return json.loads(wire.readline())


def handler(event, context):
    order = tell(what="event", event=event, call=context.aws_request_id)
    tell(what="end", call=context.aws_request_id)
    if "raise" in order:
        raise ValueError(order["raise"])
    return order.get("return")
'''

ACCOUNT = "000000000000"
PATIENT_S = 20
"""Longest time of the function of queues that hide messages for longer: on a busy machine the
other's two seconds are over now and then."""

ESM = "/2015-03-31/event-source-mappings/"


class Side:
    """Where queues are. Made with a bed that has no router yet; starts it."""

    def __init__(self, bed, server=None, code=SEEING, more="", timeout=2):
        """`server`: one that speaks SQS; without it the router keeps the queues itself.

        `more`: what else is in the template. `timeout`: of the function of queues that hide
        messages for no longer.
        """
        self.bed, self.server = bed, server
        if server is not None:
            bed.environment |= {
                "ROUTER_SQS": "aws",
                "AWS_ENDPOINT_URL_SQS": server.url,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }
        bed.write(template(function(timeout=timeout), function("Patient", timeout=PATIENT_S), more))
        bed.code(code)
        bed.ear.answer = lambda _facts: "{}"
        bed.start()

    def ask(self, operation, **members):
        url = self.bed.addresses["api"] if self.server is None else self.server.url
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/sqs/aws4_request,"
            " SignedHeaders=host, Signature=" + "0" * 64,
        }
        if self.server is None:
            del headers["Authorization"]
        reply = call(url, "/", json.dumps(members).encode(), headers)
        assert reply.status == 200, (operation, reply.body)
        return reply.json if reply.body else {}

    def create(self, name, **attributes):
        attributes = {key: str(value) for key, value in attributes.items()}
        if name.endswith(".fifo"):
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = self.ask("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        return Queue(self, name, url, int(attributes.get("VisibilityTimeout", 30)))

    def map(self, queue, **settings):
        worker = self.function("Patient" if queue.hidden_s >= PATIENT_S else "Worker")
        asked = {"FunctionName": worker, "EventSourceArn": queue.arn, **settings}
        reply = self.bed.rest("POST", ESM, asked)
        assert reply.status == 202, reply.body
        return reply.json

    def function(self, resource="Worker"):
        """The name of a function of the template."""
        found = self.bed.rest("GET", "/2015-03-31/functions/").json["Functions"]
        (name,) = (it["FunctionName"] for it in found if resource in it["FunctionName"])
        return name

    def events(self):
        heard = list(self.bed.ear.heard)
        return [facts["event"]["Records"] for facts in heard if facts["what"] == "event"]

    def bodies(self):
        return [json.loads(record["body"]) for batch in self.events() for record in batch]

    def seen(self):
        return Counter((body.get("g"), body["n"]) for body in self.bodies())

    def first_sights(self):
        order = defaultdict(list)
        for body in self.bodies():
            if body["n"] not in order[body["g"]]:
                order[body["g"]].append(body["n"])
        return order


class Queue:
    def __init__(self, side, name, url, hidden_s):
        self.side, self.name, self.url, self.hidden_s = side, name, url, hidden_s
        self.arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"

    def send(self, bodies):
        """In order; bodies with `g` go to that group."""
        bodies = list(bodies)
        for start in range(0, len(bodies), 10):
            entries = []
            for index, body in enumerate(bodies[start : start + 10]):
                entry = {"Id": str(index), "MessageBody": json.dumps(body)}
                if self.name.endswith(".fifo"):
                    entry["MessageGroupId"] = body["g"]
                entries.append(entry)
            answer = self.side.ask("SendMessageBatch", QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer

    def counts(self):
        found = self.side.ask("GetQueueAttributes", QueueUrl=self.url, AttributeNames=["All"])
        names = ("", "NotVisible", "Delayed")
        return [int(found["Attributes"][f"ApproximateNumberOfMessages{it}"]) for it in names]

    def is_empty(self):
        return self.counts() == [0, 0, 0]

    def empties(self, wait_s=60):
        until(self.is_empty, wait_s=wait_s, what=f"an empty {self.name}")

    def take_all(self):
        """The bodies of everything that is visible."""
        found = []
        while True:
            reply = self.side.ask("ReceiveMessage", QueueUrl=self.url, MaxNumberOfMessages=10)
            if not reply.get("Messages"):
                return found
            found += [json.loads(message["Body"]) for message in reply["Messages"]]


def send_all(queue, groups):
    """Each group by a sender of its own, one batch after the answer to the one before."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(queue.send, bodies) for bodies in groups]:
            done.result()


def reports_poison(facts):
    """Answers with what a careful function reports: poison, and of a group all that is behind."""
    if facts["what"] != "event":
        return "{}"
    failed, groups = [], set()
    for record in facts["event"]["Records"]:
        body = json.loads(record["body"])
        group = record["attributes"].get("MessageGroupId")
        if body.get("poison") or (group is not None and group in groups):
            failed.append({"itemIdentifier": record["messageId"]})
            groups.add(group)
    return json.dumps({"return": {"batchItemFailures": failed}})
