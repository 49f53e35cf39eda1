"""SQS over the query protocol, as older SDKs and curl speak it (`bus-…md` 6.1), by plain HTTP."""

import base64
import hashlib
import http.client
import uuid
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


WITHOUT_RESULT = {
    "AddPermission", "ChangeMessageVisibility", "DeleteMessage", "DeleteQueue", "PurgeQueue",
    "RemovePermission", "SetQueueAttributes", "TagQueue", "UntagQueue",
}  # fmt: skip


class Query:
    """Asks one server; an answer's elements without their namespace."""

    def __init__(self, side):
        self.side = side
        self.host = urlsplit(side.url).netloc

    def raw(self, method, path, fields=None):
        connection = http.client.HTTPConnection(self.host)
        body, headers = None, {}
        if fields is not None and method == "POST":
            body = urlencode(fields)
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
        elif fields is not None:
            path = f"{path}?{urlencode(fields)}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, answer.headers, text

    def __call__(self, action, path="/", method="POST", **fields):
        named = {"Action": action, "Version": "2012-11-05"}
        named.update({key.replace("__", "."): value for key, value in fields.items()})
        status, _headers, text = self.raw(method, path, named)
        root = ET.fromstring(text)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return status, root

    def ok(self, action, path="/", method="POST", **fields):
        status, root = self(action, path, method, **fields)
        assert status == 200, ET.tostring(root)
        is_bare = action in WITHOUT_RESULT
        if is_bare and not self.side.follows_aws("query answer without a result"):
            assert root.tag == "wrapper"
        else:
            assert root.tag == f"{action}Response"
        assert root.find("ResponseMetadata/RequestId").text
        assert (root.find(f"{action}Result") is None) == is_bare
        return root.find(f"{action}Result")


@pytest.fixture
def query(side):
    return Query(side)


@pytest.fixture
def ours(router_side):
    return Query(router_side)


@pytest.fixture
def path(query):
    """The path of a new queue."""
    return urlsplit(make(query)).path


def make(query, **more):
    name = f"q-{uuid.uuid4().hex[:8]}"
    return query.ok("CreateQueue", QueueName=name, **more).find("QueueUrl").text


def pairs(root, tag, key="Name"):
    return {one.find(key).text: one.find("Value").text for one in root.findall(tag)}


def test_a_message_goes_through(query, path):
    sent = query.ok(
        "SendMessage",
        path,
        MessageBody="a<b & ü",
        MessageAttribute__1__Name="b",
        MessageAttribute__1__Value__DataType="Binary",
        MessageAttribute__1__Value__BinaryValue=base64.b64encode(b"\x00\x01").decode(),
        MessageAttribute__2__Name="s",
        MessageAttribute__2__Value__DataType="String.x",
        MessageAttribute__2__Value__StringValue="abc",
        MessageAttribute__3__Name="testAttr",
        MessageAttribute__3__Value__DataType="Number",
        MessageAttribute__3__Value__StringValue="100",
    )
    assert sent.find("MD5OfMessageAttributes").text == "d38580c7fe7c9a7f9b6cefed9d7f3c8d"
    got = query.ok(
        "ReceiveMessage",
        path,
        MaxNumberOfMessages=10,
        VisibilityTimeout=30,
        AttributeName__1="ApproximateReceiveCount",
        MessageAttributeName__1="All",
    )
    (message,) = got.findall("Message")
    assert message.find("Body").text == "a<b & ü"
    assert message.find("MessageId").text == sent.find("MessageId").text
    assert pairs(message, "Attribute") == {"ApproximateReceiveCount": "1"}
    attributes = {one.find("Name").text: one.find("Value") for one in
                  message.findall("MessageAttribute")}  # fmt: skip
    assert set(attributes) == {"b", "s", "testAttr"}
    assert attributes["b"].find("BinaryValue").text == "AAE="
    assert attributes["s"].find("StringValue").text == "abc"
    handle = message.find("ReceiptHandle").text
    query.ok("ChangeMessageVisibility", path, ReceiptHandle=handle, VisibilityTimeout=0)
    again = query.ok("ReceiveMessage", path)
    query.ok("DeleteMessage", path, ReceiptHandle=again.find("Message/ReceiptHandle").text)
    empty = query.ok("ReceiveMessage", path)
    assert list(empty) == []


def test_batches(query, path):
    sent = query.ok(
        "SendMessageBatch",
        path,
        SendMessageBatchRequestEntry__1__Id="a",
        SendMessageBatchRequestEntry__1__MessageBody="one",
        SendMessageBatchRequestEntry__2__Id="b",
        SendMessageBatchRequestEntry__2__MessageBody="two",
        SendMessageBatchRequestEntry__2__MessageAttribute__1__Name="a",
        SendMessageBatchRequestEntry__2__MessageAttribute__1__Value__DataType="String",
        SendMessageBatchRequestEntry__2__MessageAttribute__1__Value__StringValue="x",
    )
    entries = sent.findall("SendMessageBatchResultEntry")
    assert [one.find("Id").text for one in entries] == ["a", "b"]
    assert entries[1].find("MD5OfMessageAttributes").text == "a512aac9938034acb0b3c3d965944bf1"
    handles = []
    while len(handles) < 2:
        got = query.ok("ReceiveMessage", path, MaxNumberOfMessages=10)
        handles += [one.find("ReceiptHandle").text for one in got.findall("Message")]
    changed = query.ok(
        "ChangeMessageVisibilityBatch",
        path,
        ChangeMessageVisibilityBatchRequestEntry__1__Id="a",
        ChangeMessageVisibilityBatchRequestEntry__1__ReceiptHandle=handles[0],
        ChangeMessageVisibilityBatchRequestEntry__1__VisibilityTimeout=60,
    )
    assert changed.find("ChangeMessageVisibilityBatchResultEntry/Id").text == "a"
    fields = {}
    for number, handle in enumerate(handles, 1):
        fields[f"DeleteMessageBatchRequestEntry__{number}__Id"] = str(number)
        fields[f"DeleteMessageBatchRequestEntry__{number}__ReceiptHandle"] = handle
    deleted = query.ok("DeleteMessageBatch", path, **fields)
    assert len(deleted.findall("DeleteMessageBatchResultEntry")) == 2


def test_attributes_and_tags(query):
    url = make(
        query, Attribute__1__Name="DelaySeconds", Attribute__1__Value="7",
        Tag__1__Key="a", Tag__1__Value="1",
    )  # fmt: skip
    path = urlsplit(url).path
    query.ok(
        "SetQueueAttributes",
        path,
        Attribute__1__Name="VisibilityTimeout",
        Attribute__1__Value="9",
    )
    shown = query.ok(
        "GetQueueAttributes", path, AttributeName__1="DelaySeconds",
        AttributeName__2="VisibilityTimeout",
    )  # fmt: skip
    assert pairs(shown, "Attribute") == {"DelaySeconds": "7", "VisibilityTimeout": "9"}
    query.ok("TagQueue", path, Tag__1__Key="b", Tag__1__Value="2")
    query.ok("UntagQueue", path, TagKey__1="a")
    assert pairs(query.ok("ListQueueTags", path), "Tag", "Key") == {"b": "2"}


def test_a_queue_is_found_by_its_url_and_listed(query):
    url = make(query)
    name = url.rpartition("/")[2]
    assert query.ok("GetQueueUrl", QueueName=name).find("QueueUrl").text == url
    listed = query.ok("ListQueues", QueueNamePrefix=name)
    assert [one.text for one in listed.findall("QueueUrl")] == [url]
    query.ok("SendMessage", "/", QueueUrl=url, MessageBody="m")
    query.ok("PurgeQueue", urlsplit(url).path)
    query.ok("DeleteQueue", urlsplit(url).path)
    status, root = query("GetQueueUrl", QueueName=name)
    assert status == 400
    if query.side.follows_aws("code of a missing queue"):
        assert root.find("Error/Type").text == "Sender"
        assert root.find("Error/Code").text == "AWS.SimpleQueueService.NonExistentQueue"


def test_fifo(query):
    url = query.ok(
        "CreateQueue", QueueName=f"q-{uuid.uuid4().hex[:8]}.fifo",
        Attribute__1__Name="FifoQueue", Attribute__1__Value="true",
    ).find("QueueUrl").text  # fmt: skip
    path = urlsplit(url).path
    ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
    sent = query.ok("SendMessage", path, MessageBody="m", **ids)
    assert int(sent.find("SequenceNumber").text) >= 0
    got = query.ok("ReceiveMessage", path, AttributeName__1="All")
    attributes = pairs(got.find("Message"), "Attribute")
    assert (attributes["MessageGroupId"], attributes["MessageDeduplicationId"]) == ("g", "d")


# Ours alone: ElasticMQ is more lenient, or does not do it.


def test_get_works_and_the_version_may_be_missing(ours):
    path = urlsplit(make(ours)).path
    status, _, text = ours.raw("GET", path, {"Action": "SendMessage", "MessageBody": "by GET"})
    assert status == 200, text
    got = ours.ok("ReceiveMessage", path, "GET")
    assert got.find("Message/Body").text == "by GET"
    listed, _, text = ours.raw("GET", "/", {"Action": "ListQueues", "Version": "2012-11-05"})
    assert listed == 200, text


def test_a_given_queue_url_wins_over_the_path(ours):
    first, second = make(ours), make(ours)
    ours.ok("SendMessage", urlsplit(first).path, QueueUrl=second, MessageBody="m")
    assert list(ours.ok("ReceiveMessage", urlsplit(first).path)) == []
    assert ours.ok("ReceiveMessage", urlsplit(second).path).find("Message/Body").text == "m"


def test_errors_in_the_words_of_this_protocol(ours):
    path = urlsplit(make(ours)).path
    status, headers, text = ours.raw("POST", "/000000000000/missing", {"Action": "ReceiveMessage"})
    root = ET.fromstring(text)
    assert (status, headers["Content-Type"]) == (400, "text/xml")
    assert root.tag == f"{NAMESPACE}ErrorResponse"
    error = root.find(f"{NAMESPACE}Error")
    assert [child.tag.removeprefix(NAMESPACE) for child in error] == [
        "Type", "Code", "Message", "Detail",
    ]  # fmt: skip
    assert error.find(f"{NAMESPACE}Message").text == (
        "The specified queue does not exist for this wsdl version."
    )
    assert root.find(f"{NAMESPACE}RequestId").text == headers["x-amzn-RequestId"]
    for action in ("CreateQueue", "ListQueues", "Nope"):
        status, root = ours(action, path)
        assert status == 400
        assert root.find("Error/Code").text == "InvalidAction"
        assert root.find("Error/Message").text == (
            f"The action {action} is not valid for this endpoint."
        )
    for method in ("GET", "POST"):
        status, _, text = ours.raw(method, path, {"MessageBody": "no action"})
        assert (status, text) == (404, b"<UnknownOperationException/>")


@pytest.mark.parametrize(
    ("action", "fields", "code"),
    [
        ("SendMessage", {}, "MissingParameter"),
        ("ReceiveMessage", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("ReceiveMessage", {"MaxNumberOfMessages": "x"}, "SerializationException"),
        ("SetQueueAttributes", {"Attribute.1.Value": "x"}, "SerializationException"),
        ("DeleteMessage", {"ReceiptHandle": "bad \x00 handle"}, "ReceiptHandleIsInvalid"),
        ("SendMessageBatch", {}, "MissingParameter"),
        ("SendMessage", {"MessageBody": "m", "MessageBody.1": "m"}, "SerializationException"),
        ("SendMessage", {"a" + ".1" * 20: "m"}, "SerializationException"),
    ],
)
def test_refusals(ours, action, fields, code):
    path = urlsplit(make(ours)).path
    status, root = ours(action, path, **fields)
    assert (status, root.find("Error/Code").text) == (400, code)


def test_a_body_comes_back_byte_by_byte(ours):
    path = urlsplit(make(ours)).path
    body = "a\r\nb\tc\rd <&>\"' \U0001f600\ufffd"
    ours.ok("SendMessage", path, MessageBody=body)
    message = ours.ok("ReceiveMessage", path).find("Message")
    assert message.find("Body").text == body
    assert message.find("MD5OfBody").text == hashlib.md5(body.encode()).hexdigest()


def test_permissions(ours):
    url = make(ours)
    path = urlsplit(url).path
    fields = {"AWSAccountId.1": "111122223333", "ActionName.1": "SendMessage"}
    ours.ok("AddPermission", path, Label="l", **fields)
    shown = ours.ok("GetQueueAttributes", path, AttributeName__1="Policy")
    assert '"Sid":"l"' in pairs(shown, "Attribute")["Policy"]
    _status, root = ours("AddPermission", path, Label="l", **fields)
    assert root.find("Error/Message").text == (
        "Value l for parameter Label is invalid. Reason: Already exists."
    )
    ours.ok("RemovePermission", path, Label="l")
    assert list(ours.ok("GetQueueAttributes", path, AttributeName__1="Policy")) == []


def test_move_tasks_are_listed(ours):
    url = make(ours)
    arn = pairs(
        ours.ok("GetQueueAttributes", urlsplit(url).path, AttributeName__1="QueueArn"), "Attribute"
    )["QueueArn"]
    policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}'
    source = make(ours, Attribute__1__Name="RedrivePolicy", Attribute__1__Value=policy)
    listed = ours.ok("ListDeadLetterSourceQueues", urlsplit(url).path)
    assert [one.text for one in listed.findall("QueueUrl")] == [source]
    assert ours.ok("StartMessageMoveTask", SourceArn=arn).find("TaskHandle").text
    task = ours.ok("ListMessageMoveTasks", SourceArn=arn).find("ListMessageMoveTasksResultEntry")
    assert task.find("SourceArn").text == arn


def test_sts_answers_too(ours):
    connection = http.client.HTTPConnection(ours.host)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", headers)
    text = connection.getresponse().read()
    connection.close()
    assert b"<Account>000000000000</Account>" in text
