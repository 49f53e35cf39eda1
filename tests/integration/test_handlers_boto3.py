"""`import boto3` in a handler reaches what is embedded here, and only what it may."""

import json
import urllib.parse

from tests.integration.bed import function, queue, template, until, webhook

CODE = '''
import json
import os
import urllib.error
import urllib.request

import boto3
from botocore.exceptions import ClientError


def attempt(call, **members):
    try:
        return call(**members)
    except ClientError as error:
        return {"error": error.response["Error"]["Code"]}


def asks(event, context):
    lambda_, sqs = boto3.client("lambda"), boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=event["queue"])["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="from a function")
    answer = lambda_.invoke(FunctionName=event["other"], Payload=json.dumps({"from": "me"}))
    denied = {
        "CreateQueue": attempt(sqs.create_queue, QueueName="mine"),
        "DeleteQueue": attempt(sqs.delete_queue, QueueUrl=url),
        "ListFunctions": attempt(lambda_.list_functions),
        "DeleteFunction": attempt(lambda_.delete_function, FunctionName=event["other"]),
        "ListEventSourceMappings": attempt(lambda_.list_event_source_mappings),
    }
    return {
        "identity": boto3.client("sts").get_caller_identity()["Arn"],
        "answer": json.loads(answer["Payload"].read()),
        "denied": {name: reply.get("error") for name, reply in denied.items()},
        "region": os.environ["AWS_REGION"],
    }


def answers(event, context):
    return {"heard": event}


def reaches(event, context):
    """The operators' listener, by its address."""
    request = urllib.request.Request(
        event["api"], b"{}", {"X-Amz-Target": "Router.ListQueues"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return {"status": reply.status, "body": reply.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}
'''


def started(bed):
    bed.write(
        template(
            webhook(),
            queue("Box"),
            *(function(name.title(), handler=f"app.{name}", timeout=60)
              for name in ("asks", "answers", "reaches")),
        )
    )  # fmt: skip
    bed.code(CODE)
    bed.start()
    found = bed.rest("GET", "/2015-03-31/functions/").json["Functions"]
    bed.names = {row["Handler"].removeprefix("app."): row["FunctionName"] for row in found}
    return bed


def test_a_handler_sends_and_invokes_and_is_denied_what_operators_do(bed):
    started(bed)
    box = bed.told("queues", "peek")[0]["Name"]
    event = {"queue": box, "other": bed.names["answers"]}
    done = bed.cli("invoke", bed.names["asks"], "--payload", json.dumps(event))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["answer"] == {"heard": {"from": "me"}}
    assert bed.names["asks"] in told["identity"]
    assert told["region"] == "us-east-1"
    assert told["denied"].keys() == {
        "CreateQueue", "DeleteQueue", "ListFunctions", "DeleteFunction",
        "ListEventSourceMappings",
    }  # fmt: skip
    for operation, code in told["denied"].items():
        assert code is not None, f"{operation} was allowed"
        assert "AccessDenied" in code, (operation, code)
    until(lambda: bed.told("queues", "peek")[0]["Visible"] == 1)
    assert bed.told("queues", "peek", box)[0]["Body"] == "from a function"
    assert len(bed.told("queues", "peek")) == 1


def reach(bed) -> dict:
    event = json.dumps({"api": bed.addresses["api"]})
    return json.loads(bed.cli("invoke", bed.names["reaches"], "--payload", event).stdout)


def test_the_operators_listener_refuses_functions(bed):
    """At rung 3 by the user of the peer; at rung 0 the same call succeeds."""
    started(bed)
    rung = bed.json_call("Router.Describe").json["isolation"]["rung"]
    told = reach(bed)
    if rung >= 3:
        assert told["status"] == 403, told
        assert "AccessDenied" in told["body"]
    assert bed.json_call("Router.ListQueues").status == 200
    assert bed.stop() == 0
    bed.environment["ROUTER_ISOLATION_RUNG"] = "0"
    bed.start()
    assert reach(bed)["status"] == 200


def test_the_functions_listener_lets_nobody_in_without_a_key(bed):
    started(bed)
    functions = bed.json_call("Router.Describe").json["addresses"]["functions"]
    from tests.integration.bed import call

    name = urllib.parse.quote(bed.names["answers"])
    reply = call(functions, f"/2015-03-31/functions/{name}/invocations", b"{}")
    assert reply.status == 403
    reply = call(functions, "/", b"{}", {"X-Amz-Target": "Router.ListQueues"})
    assert reply.status in {403, 404}
