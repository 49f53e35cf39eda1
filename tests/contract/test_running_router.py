"""The whole router as one process, and unmodified clients: what no part can show alone."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.contract.support import Agent, ClientError
from tests.patience import PATIENCE_S
from tests.rootfs import ENTRY_POINT, python_image

IMAGE = "registry.example/team/picture:1"

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Hook:
    Type: Router::Webhook
    Properties:
      Path: /hook
      Signature: {Scheme: none}
  Picture:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: picture
      PackageType: Image
      ImageUri: ./image
      Timeout: 60
      ImageConfig: {Command: [app.handler]}
  Keyed:
    Type: Router::Webhook
    Properties:
      Path: /keyed
      Signature: {Scheme: none}
      PartitionKey: $.k
"""

IN_IMAGE = """
import os
def handler(event, context):
    seen = [os.path.exists(path) for path in ("/usr/bin/env", "/function/app.py")]
    return {"event": event, "seen": seen, "here": os.getcwd(), "greeting": os.environ["GREETING"]}
"""

CODE = """
import json
import os
import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    if "Records" in event:
        for record in event["Records"]:
            sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=record["body"])
        return None
    if event.get("deny"):
        try:
            boto3.client("sqs").create_queue(QueueName="mine")
        except Exception as error:
            return error.response["Error"]["Code"]
    if event.get("kind"):
        return {"kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn}
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    folder = tmp_path_factory.mktemp("running")
    (folder / "template.yaml").write_text(TEMPLATE)
    python_image(folder / "image/rootfs", IN_IMAGE)
    config = {"Entrypoint": ENTRY_POINT, "WorkingDir": "/function", "Env": ["GREETING=hello"]}
    (folder / "image/config.json").write_text(json.dumps([{"Config": config}]))
    ready = folder / "ready.json"
    command = [
        str(Path(sys.executable).with_name("router")), "run", str(folder / "template.yaml"),
        "--data", str(folder / "data"), "--api", "127.0.0.1:0", "--ingress", "127.0.0.1:0",
        "--ops", "127.0.0.1:0", "--ready-file", str(ready), "--stack-name", "demo",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "ROUTER_IMAGES": f"{IMAGE}={folder}/image"},
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield json.loads(ready.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def aws(router):
    agent = Agent(router["api"])
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def function(aws):
    queue = aws("sqs", "create_queue", QueueName="out")["QueueUrl"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", CODE)
    aws(
        "lambda",
        "create_function",
        FunctionName="relay",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="app.handler",
        Timeout=60,
        Code={"ZipFile": out.getvalue()},
        Environment={"Variables": {"QUEUE": queue}},
    )
    return "relay"


def test_an_uploaded_function_runs_and_carries_one_id(aws, function):
    answer = aws("lambda", "invoke", FunctionName=function, Payload=b'{"a": [1]}', LogType="Tail")
    assert json.loads(answer["Payload"]) == {
        "event": {"a": [1]},
        "id": answer["ResponseMetadata"]["RequestId"],
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:relay",
    }
    assert answer["LogResult"]


def test_an_unpacked_image_runs_by_template_and_by_api(aws):
    """One folder, named by the template itself, and by the settings for a URI."""
    made = {"FunctionName": "drawing", "Role": "arn:aws:iam::000000000000:role/any"}
    aws(
        "lambda",
        "create_function",
        **made,
        PackageType="Image",
        Code={"ImageUri": IMAGE},
        ImageConfig={"Command": ["app.handler"]},
        Environment={"Variables": {"GREETING": "hi"}},
        Timeout=60,
    )
    for name, greeting in (("picture", "hello"), ("drawing", "hi")):
        answer = aws("lambda", "invoke", FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
        assert json.loads(answer["Payload"]) == {
            "event": {"a": 1},
            "seen": [False, True],
            "here": "/function",
            "greeting": greeting,
        }
        assert b"START RequestId" in base64.b64decode(answer["LogResult"])


def counted(router, name):
    with urllib.request.urlopen(router["ops"] + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    found = [line.rpartition(" ")[2] for line in lines if line.startswith(name)]
    return sum(map(float, found))


def wait_for_count(router, name, wanted):
    """What is counted may be counted after it was answered, and in a process that is heard late."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := counted(router, name)) != wanted:
        assert time.monotonic() < deadline, (name, found)
        time.sleep(0.05)


def test_a_throttle_has_a_reason_and_is_nothing_else(aws, router, function):
    """16 line 7: 429 with `Reason`, counted in Throttles only."""
    names = [
        f'router_function_{what}_total{{function="relay"'
        for what in ("throttles", "invocations", "cold_starts")
    ]
    before = [counted(router, name) for name in names]
    params = {"FunctionName": function, "ReservedConcurrentExecutions": 0}
    aws("lambda", "put_function_concurrency", **params)
    with pytest.raises(ClientError) as info:
        aws("lambda", "invoke", FunctionName=function, Payload=b"{}")
    assert (info.value.status, info.value.code) == (429, "TooManyRequestsException")
    assert info.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    after = [counted(router, name) for name in names]
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 0, 0]
    aws("lambda", "delete_function_concurrency", FunctionName=function)
    assert aws("lambda", "invoke", FunctionName=function, Payload=b"{}")["StatusCode"] == 200


def test_what_an_invocation_wrote_can_be_read_once_it_is_over(aws, function):
    answer = aws("lambda", "invoke", FunctionName=function, Payload=b"{}", LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    group = f"/aws/lambda/{function}"
    params = {"logGroupName": group, "filterPattern": f'"{request_id}"'}
    found = aws("logs", "filter_log_events", **params)["events"]
    lines = "".join(event["message"] for event in found)
    assert lines == base64.b64decode(answer["LogResult"]).decode()
    streams = aws("logs", "describe_log_streams", logGroupName=group)["logStreams"]
    assert found[0]["logStreamName"] in [stream["logStreamName"] for stream in streams]


def provisioned(aws, is_over, **which):
    """What is shown once `is_over` says so."""
    deadline = time.monotonic() + 60
    while True:
        shown = aws("lambda", "get_provisioned_concurrency_config", **which)
        if is_over(shown):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)


def test_provisioned_concurrency_is_there_before_it_is_needed(aws, router, function):
    """5.3: IN_PROGRESS, READY; goes with its alias; who finds none free runs on demand."""
    which = {"FunctionName": function, "Qualifier": "live"}
    live = {"FunctionName": function, "Name": "live"}
    assert aws("lambda", "publish_version", FunctionName=function)["Version"] == "1"
    aws("lambda", "create_alias", **live, FunctionVersion="1")
    answer = aws(
        "lambda", "put_provisioned_concurrency_config", **which, ProvisionedConcurrentExecutions=1
    )
    assert (answer["Status"], answer["AvailableProvisionedConcurrentExecutions"]) == (
        "IN_PROGRESS",
        0,
    )
    shown = provisioned(aws, lambda shown: shown["Status"] == "READY", **which)
    assert shown["AvailableProvisionedConcurrentExecutions"] == 1
    assert shown["AllocatedProvisionedConcurrentExecutions"] == 1

    def kind_of_start():
        answer = aws("lambda", "invoke", **which, Payload=b'{"kind": true}')
        return json.loads(answer["Payload"])["kind"], answer["ExecutedVersion"]

    assert kind_of_start() == ("provisioned-concurrency", "1")
    labels = f'{{function="{function}",state="ready",version="1"}}'
    metric = f"router_function_provisioned_environments{labels}"
    wait_for_count(router, metric, 1)
    name = f'router_function_provisioned_invocations_total{{function="{function}"'
    wait_for_count(router, name, 1)
    aws("lambda", "update_function_configuration", FunctionName=function, MemorySize=192)
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    assert aws("lambda", "publish_version", FunctionName=function)["Version"] == "2"
    aws("lambda", "update_alias", **live, FunctionVersion="2")
    moving = aws("lambda", "get_provisioned_concurrency_config", **which)
    assert moving["AvailableProvisionedConcurrentExecutions"] == 1
    provisioned(aws, lambda shown: shown["Status"] == "READY", **which)
    assert kind_of_start() == ("provisioned-concurrency", "2")
    wait_for_count(router, metric, 0)
    aws("lambda", "delete_provisioned_concurrency_config", **which)
    assert kind_of_start() == ("on-demand", "2")
    aws("lambda", "delete_alias", **live)


def test_provisioned_concurrency_of_what_cannot_start_fails(aws, function):
    aws("lambda", "update_function_configuration", FunctionName=function, Handler="gone.handler")
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    version = aws("lambda", "publish_version", FunctionName=function)["Version"]
    aws("lambda", "update_function_configuration", FunctionName=function, Handler="app.handler")
    aws("lambda", "wait:function_updated_v2", FunctionName=function)
    which = {"FunctionName": function, "Qualifier": version}
    aws("lambda", "put_provisioned_concurrency_config", **which, ProvisionedConcurrentExecutions=1)
    shown = provisioned(aws, lambda shown: shown["Status"] != "IN_PROGRESS", **which)
    assert (shown["Status"], shown["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert shown["AvailableProvisionedConcurrentExecutions"] == 0
    aws("lambda", "delete_provisioned_concurrency_config", **which)


def test_a_function_may_not_make_queues(aws, function):
    answer = aws("lambda", "invoke", FunctionName=function, Payload=b'{"deny": true}')
    assert json.loads(answer["Payload"]) == "AccessDeniedException"


def test_a_mapping_made_through_the_api_delivers(aws, router, function):
    created = aws(
        "lambda",
        "create_event_source_mapping",
        FunctionName=function,
        EventSourceArn="arn:aws:router:us-east-1:000000000000:webhook/demo-Hook",
    )
    wait_for(aws, created["UUID"], "Enabled")
    for number in range(3):
        request = urllib.request.Request(f"{router['ingress']}/hook", f"hello {number}".encode())
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202
    queue = aws("sqs", "get_queue_url", QueueName="out")["QueueUrl"]
    got = []
    deadline = time.monotonic() + PATIENCE_S
    while len(got) < 3 and time.monotonic() < deadline:
        answer = aws("sqs", "receive_message", QueueUrl=queue, WaitTimeSeconds=2)
        for message in answer.get("Messages", []):
            got.append(message["Body"])
            handle = message["ReceiptHandle"]
            aws("sqs", "delete_message", QueueUrl=queue, ReceiptHandle=handle)
    assert sorted(got) == ["hello 0", "hello 1", "hello 2"]
    while (
        aws("lambda", "get_event_source_mapping", UUID=created["UUID"])["LastProcessingResult"]
        != "OK"
    ):
        assert time.monotonic() < deadline + PATIENCE_S
        time.sleep(0.05)
    changed = aws("lambda", "update_event_source_mapping", UUID=created["UUID"], Enabled=False)
    assert changed["State"] == "Disabling"
    wait_for(aws, created["UUID"], "Disabled")
    gone = aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])
    assert gone["State"] == "Deleting"
    assert created["UUID"] not in {
        item["UUID"] for item in aws("lambda", "list_event_source_mappings")["EventSourceMappings"]
    }


SHARED = """
import json
import os
import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    for record in event["Records"]:
        told = [json.loads(record["body"])["k"], context.function_version,
                os.environ["AWS_LAMBDA_FUNCTION_VERSION"], context.invoked_function_arn]
        sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(told))
"""


def test_a_weighted_alias_keeps_each_key_of_a_mapping_on_one_version(aws, router):
    """Batches hold keys of both versions; each key's records go to one of them."""
    queue = aws("sqs", "create_queue", QueueName="shares")["QueueUrl"]
    aws(
        "lambda", "create_function", FunctionName="shared", Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any", Handler="app.handler", Timeout=20,
        Code={"ZipFile": zipped({"app.py": SHARED})}, Publish=True,
        Environment={"Variables": {"QUEUE": queue}},
    )  # fmt: skip
    aws("lambda", "wait:function_active_v2", FunctionName="shared")
    aws("lambda", "update_function_configuration", FunctionName="shared", MemorySize=256)
    assert aws("lambda", "publish_version", FunctionName="shared")["Version"] == "2"
    aws(
        "lambda", "create_alias", FunctionName="shared", Name="live", FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )  # fmt: skip
    created = aws(
        "lambda",
        "create_event_source_mapping",
        FunctionName="shared:live",
        EventSourceArn="arn:aws:router:us-east-1:000000000000:webhook/demo-Keyed",
        MaximumBatchingWindowInSeconds=1,
    )
    wait_for(aws, created["UUID"], "Enabled")
    for number in range(48):
        body = json.dumps({"k": f"key-{number % 12}"}).encode()
        with urllib.request.urlopen(f"{router['ingress']}/keyed", body) as answer:
            assert answer.status == 202
    got = []
    deadline = time.monotonic() + 60
    while len(got) < 48 and time.monotonic() < deadline:
        answer = aws(
            "sqs", "receive_message", QueueUrl=queue, WaitTimeSeconds=2, MaxNumberOfMessages=10
        )
        for message in answer.get("Messages", []):
            got.append(json.loads(message["Body"]))
            handle = message["ReceiptHandle"]
            aws("sqs", "delete_message", QueueUrl=queue, ReceiptHandle=handle)
    assert sorted(key for key, *_ in got) == sorted(f"key-{n % 12}" for n in range(48))
    versions = {(key, version) for key, version, *_ in got}
    assert len(versions) == 12
    assert {version for _, version in versions} == {"1", "2"}
    assert all(version == variable for _, version, variable, _ in got)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:shared:live"
    assert {invoked for *_, invoked in got} == {arn}
    aws("lambda", "delete_event_source_mapping", UUID=created["UUID"])


LAYERED = """
import os
import subprocess

import both
import one
import two


def handler(event, context):
    return {
        "both": both.TEXT,
        "modules": [one.TEXT, two.TEXT],
        "tool": subprocess.run(["tool"], capture_output=True, text=True).stdout,
        "opt": sorted(os.listdir("/opt")),
        "writes": can_write("/opt/x"),
        "boto": __import__("boto3").__file__,
    }


def can_write(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
"""


def zipped(files, modes=()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name in modes else 0o100644) << 16
            archive.writestr(entry, text)
    return out.getvalue()


def test_layers_are_seen_below_opt_the_later_over_the_earlier(aws):
    """Modules, tools and a boto3 of its own; the layer lives on after its version is deleted."""
    first = zipped(
        {
            "python/one.py": "TEXT = 1",
            "python/both.py": "TEXT = 'first'",
            "bin/tool": "#!/bin/sh\necho from a layer\n",
        },
        {"bin/tool"},
    )
    second = zipped(
        {
            "python/lib/python3.11/site-packages/two.py": "TEXT = 2",
            "python/both.py": "TEXT = 'second'",
            "python/boto3.py": "",
        }
    )
    arns = [
        aws("lambda", "publish_layer_version", LayerName=name, Content={"ZipFile": data})[
            "LayerVersionArn"
        ]
        for name, data in (("first", first), ("second", second))
    ]
    aws(
        "lambda", "create_function", FunctionName="layered", Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any", Handler="app.handler", Timeout=30,
        Code={"ZipFile": zipped({"app.py": LAYERED})}, Layers=arns,
    )  # fmt: skip
    for name in ("first", "second"):
        aws("lambda", "delete_layer_version", LayerName=name, VersionNumber=1)
    answer = aws("lambda", "invoke", FunctionName="layered", Payload=b"{}")
    assert json.loads(answer["Payload"]) == {
        "both": "second",
        "modules": [1, 2],
        "tool": "from a layer\n",
        "opt": ["bin", "python"],
        "writes": False,
        "boto": "/opt/python/boto3.py",
    }


ECHOES = """
def handler(event, context):
    if event["rawPath"] == "/raise":
        raise ValueError("no")
    http = event["requestContext"]["http"]
    return {
        "method": http["method"],
        "path": event["rawPath"],
        "query": event.get("queryStringParameters"),
        "body": event.get("body"),
        "arn": context.invoked_function_arn,
        "id": context.aws_request_id == event["requestContext"]["requestId"],
        "who": event["requestContext"]["accountId"],
    }
"""


def test_a_function_has_a_url(aws, router):
    """By path, as names below localhost are not known everywhere."""
    aws(
        "lambda", "create_function", FunctionName="echoes", Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any", Handler="app.handler", Timeout=30,
        Code={"ZipFile": zipped({"app.py": ECHOES})},
    )  # fmt: skip
    made = aws("lambda", "create_function_url_config", FunctionName="echoes", AuthType="NONE")
    where = urllib.parse.urlsplit(made["FunctionUrl"])
    assert where.port == urllib.parse.urlsplit(router["ingress"]).port
    url_id = where.hostname.partition(".")[0]
    asked = urllib.request.Request(
        f"{router['ingress']}/lambda-url/{url_id}/deep?a=1&a=2", b"text",
        {"Content-Type": "text/plain"}, method="PUT",
    )  # fmt: skip
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["content-type"] == "application/json"
        assert json.load(answer) == {
            "method": "PUT", "path": "/deep", "query": {"a": "1,2"}, "body": "text",
            "arn": "arn:aws:lambda:us-east-1:000000000000:function:echoes", "id": True,
            "who": "anonymous",
        }  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as info:
        urllib.request.urlopen(f"{router['ingress']}/lambda-url/{url_id}/raise")
    assert (info.value.code, info.value.read()) == (502, b"Internal Server Error")
    for status in ("2xx", "5xx"):
        name = f'router_function_url_requests_total{{function="echoes",status_class="{status}"}}'
        wait_for_count(router, name, 1)


def wait_for(aws, uuid, state):
    deadline = time.monotonic() + PATIENCE_S
    while (found := aws("lambda", "get_event_source_mapping", UUID=uuid)["State"]) != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


EXTENSION = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
curl -sS -D /tmp/head -o /dev/null -H "Lambda-Extension-Name: ${0##*/}" \\
    -d '{"events": ["INVOKE", "SHUTDOWN"]}' "$api/register"
me=$(grep -i '^lambda-extension-identifier' /tmp/head | tr -d '\\r' | cut -d' ' -f2)
while true; do
    event=$(curl -sS -H "Lambda-Extension-Identifier: $me" "$api/event/next")
    echo "heard $event"
    case "$event" in *SHUTDOWN*) exit 0 ;; esac
done
"""


def test_an_extension_of_a_layer_hears_of_invocations_and_of_the_end(aws):
    """8.3: a program in a layer's zip, published and attached by an unmodified client."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("extensions/listener.sh")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, EXTENSION)
    layer = aws(
        "lambda", "publish_layer_version", LayerName="ears", Content={"ZipFile": out.getvalue()}
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return event\n")
    aws(
        "lambda",
        "create_function",
        FunctionName="heard",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="app.handler",
        Timeout=60,
        Code={"ZipFile": code.getvalue()},
        Layers=[layer["LayerVersionArn"]],
    )
    answer = aws("lambda", "invoke", FunctionName="heard", Payload=b"[1]")
    assert json.loads(answer["Payload"]) == [1]
    request_id = answer["ResponseMetadata"]["RequestId"]
    aws("lambda", "delete_function", FunctionName="heard")

    def events():
        found = aws("logs", "filter_log_events", logGroupName="/aws/lambda/heard")["events"]
        texts = [event["message"] for event in found if event["message"].startswith("heard ")]
        return [json.loads(text.partition(" ")[2]) for text in texts]

    deadline = time.monotonic() + PATIENCE_S
    while len(heard := events()) < 2:
        assert time.monotonic() < deadline, heard
        time.sleep(0.05)
    assert [event["eventType"] for event in heard] == ["INVOKE", "SHUTDOWN"]
    assert (heard[0]["requestId"], heard[1]["shutdownReason"]) == (request_id, "spindown")
