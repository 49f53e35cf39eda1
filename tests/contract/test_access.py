"""Who may call what: signatures, keys of environments, the private service."""

import http.client
import json
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.contract.support import KEY, SECRET, Agent, ClientError


@pytest.fixture
def agent(harness):
    agents = []

    def make(listener, key, secret):
        agents.append(Agent(harness.url(listener), key, secret))
        return agents[-1]

    yield make
    for made in agents:
        made.close()


def test_a_right_signature_may_do_everything(agent):
    aws = agent("keyed", KEY, SECRET)
    assert aws("sts", "get_caller_identity")["Arn"].endswith(f":user/{KEY}")
    url = aws("sqs", "create_queue", QueueName="signed")["QueueUrl"]
    sent = {"QueueUrl": url, "MessageBody": "ä+ /%2F"}
    aws("sqs", "send_message", **sent)
    (got,) = aws("sqs", "receive_message", QueueUrl=url, AttributeNames=["SenderId"])["Messages"]
    assert got["Body"] == "ä+ /%2F"
    assert got["Attributes"]["SenderId"] == KEY
    # Escapes in path and query are signed twice over.
    arn = "arn:aws:lambda:us-east-1:000000000000:function:none"
    with pytest.raises(ClientError) as info:
        aws("lambda", "get_function", FunctionName=arn, Qualifier="$LATEST")
    assert info.value.status == 404


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        (KEY, "another", "InvalidSignatureException"),
        ("AKIDUNKNOWN", SECRET, "UnrecognizedClientException"),
    ],
)
def test_wrong_signatures(agent, key, secret, code):
    aws = agent("keyed", key, secret)
    with pytest.raises(ClientError) as info:
        aws("lambda", "list_functions")
    assert (info.value.status, info.value.code) == (403, code)
    with pytest.raises(ClientError) as info:
        aws("sts", "get_caller_identity")
    assert info.value.status == 403
    with pytest.raises(ClientError) as info:
        aws("sqs", "list_queues")
    assert info.value.status == 403


def request(harness, listener, target, body=b"{}", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", harness.servers[listener].port)
    connection.request("POST", "/", body, {"X-Amz-Target": target, **(headers or {})})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


def test_no_signature(harness):
    status, document = request(harness, "keyed", "AmazonSQS.ListQueues")
    assert (status, document["message"]) == (403, "Missing Authentication Token")
    broken = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b, nonsense"}
    status, document = request(harness, "keyed", "AmazonSQS.ListQueues", headers=broken)
    assert (status, document["__type"]) == (
        403,
        "com.amazonaws.sqs#IncompleteSignatureException",
    )


def test_the_token_of_this_machine_stands_for_a_signature(harness):
    token = {"X-Router-Token": "the-token"}
    assert request(harness, "keyed", "Router.Echo", b'{"a": 1}', token) == (
        200,
        {"echo": {"a": 1}},
    )
    status, _ = request(harness, "keyed", "Router.Echo", headers={"X-Router-Token": "other"})
    assert status == 403


def test_the_private_service(harness):
    assert request(harness, "open", "Router.Echo", b'{"a": 1}') == (200, {"echo": {"a": 1}})
    status, document = request(harness, "open", "Router.Echo", b'{"fail": 1}')
    assert (status, document) == (400, {"__type": "not_found", "message": "no such thing"})
    status, document = request(harness, "open", "Router.Nope")
    assert (status, document["__type"]) == (404, "UnknownOperationException")
    status, document = request(harness, "open", "Router.Echo", b"[1]")
    assert (status, document["__type"]) == (400, "SerializationException")
    # Environments cannot reach it at all.
    status, document = request(harness, "functions", "Router.Echo", b"{}")
    assert status == 403


def test_a_function_may_invoke_and_use_queues_and_nothing_else(agent, harness):
    aws = agent("functions", "ASIAFUNCTION", "fn-secret")
    assert aws("sts", "get_caller_identity")["Arn"].endswith(":user/fn")
    admin = agent("open", "any", "any")
    url = admin("sqs", "create_queue", QueueName="for-functions")["QueueUrl"]
    aws("sqs", "send_message", QueueUrl=url, MessageBody="from a function")
    with pytest.raises(ClientError) as info:
        aws("lambda", "invoke", FunctionName="none")
    assert info.value.status == 404
    for service, operation, params in (
        ("lambda", "list_functions", {}),
        ("lambda", "get_function", {"FunctionName": "f"}),
        ("lambda", "delete_function", {"FunctionName": "f"}),
        ("lambda", "create_event_source_mapping", {"FunctionName": "f"}),
        ("sqs", "create_queue", {"QueueName": "q"}),
        ("sqs", "delete_queue", {"QueueUrl": url}),
        ("sqs", "purge_queue", {"QueueUrl": url}),
        ("sqs", "set_queue_attributes", {"QueueUrl": url, "Attributes": {}}),
    ):
        with pytest.raises(ClientError) as info:
            aws(service, operation, **params)
        assert (info.value.status, info.value.code) == (403, "AccessDeniedException")
    with pytest.raises(ClientError):
        agent("functions", KEY, SECRET)("sqs", "list_queues")


def test_nonsense_is_refused_not_crashed_on(harness):
    port = harness.servers["open"].port
    for method, path, headers, body, expected in (
        ("GET", "/", {}, None, 404),
        ("GET", "/nowhere/at/all", {}, None, 404),
        ("GET", "/2015-03-31/functions/%ff", {}, None, 400),
        ("PATCH", "/2015-03-31/functions", {}, None, 404),
        ("POST", "/", {"X-Amz-Target": "AmazonSQS"}, b"{}", 404),
        ("POST", "/", {"X-Amz-Target": "Kinesis_20131202.PutRecord"}, b"{}", 404),
        ("POST", "/", {"X-Amz-Target": "AmazonSQS.SendMessage"}, b"{", 400),
        ("POST", "/", {"X-Amz-Target": "AmazonSQS.SendMessage"}, b'{"QueueUrl": [1]}', 400),
        ("POST", "/", {"X-Amz-Target": "AmazonSQS.SendMessage"}, b"[" * 100_000, 400),
        ("POST", "/", {"X-Amz-Target": "AmazonSQS.SendMessage"}, b'{"QueueUrl": "\\ud800"}', 400),
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, b"Action=Nope", 404),
        ("POST", "/2015-03-31/functions", {}, b'{"Code": {"ZipFile": "%%%"}}', 400),
        ("POST", "/2015-03-31/functions", {}, b'{"Timeout": 1e400}', 400),
        ("GET", "/2015-03-31/functions?MaxItems=x", {}, None, 400),
        ("GET", "/_router/code/x", {}, None, 403),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == expected, (method, path, answer.status, text)
        assert b"Traceback" not in text


def test_queue_urls_carry_the_host_the_caller_used(harness):
    headers = {"Host": "router.internal:1234"}
    _, document = request(
        harness, "open", "AmazonSQS.CreateQueue", b'{"QueueName": "hosted"}', headers
    )
    assert document["QueueUrl"] == "http://router.internal:1234/000000000000/hosted"
    for url in ("hosted", "http://elsewhere/000000000000/hosted", "/000000000000/hosted"):
        body = json.dumps({"QueueUrl": url, "MessageBody": "x"}).encode()
        status, _ = request(harness, "open", "AmazonSQS.SendMessage", body)
        assert status == 200
    body = b'{"QueueUrl": "http://h/111111111111/hosted", "MessageBody": "x"}'
    status, _ = request(harness, "open", "AmazonSQS.SendMessage", body)
    assert status == 400


def form(harness, listener, key, secret, **fields):
    """Status and answer of a signed form."""
    url = harness.url(listener) + "/"
    body = urlencode(fields)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(Credentials(key, secret), "sqs", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", harness.servers[listener].port)
    connection.request("POST", "/", body, dict(request.headers))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def test_a_form_is_checked_as_json_is(harness):
    status, text = form(harness, "functions", "ASIAFUNCTION", "fn-secret", Action="ListQueues")
    assert (status, b"<ListQueuesResponse" in text) == (200, True)
    create = {"Action": "CreateQueue", "QueueName": "of-a-function"}
    status, text = form(harness, "functions", "ASIAFUNCTION", "fn-secret", **create)
    assert (status, b"<Code>AccessDeniedException</Code>" in text) == (403, True)
    status, text = form(harness, "keyed", KEY, "wrong", **create)
    assert (status, b"<Code>SignatureDoesNotMatch</Code>" in text) == (403, True)
    status, text = form(harness, "keyed", KEY, SECRET, **create)
    assert (status, b"<CreateQueueResult>" in text) == (200, True)
