"""A queue of AWS as a source; its client is played."""

import asyncio

import pytest

from router.sources.aws_queue import AwsQueueSource
from router.sources.sqs_client import LOST, SqsProblem
from tests.patience import PATIENCE_S, until

ARN = "arn:aws:sqs:eu-central-1:210987654321:jobs"
URL = "https://sqs.eu-central-1.amazonaws.com/210987654321/jobs"


class Client:
    def __init__(self):
        self.calls = []
        self.replies = {
            "GetQueueAttributes": {"Attributes": {"VisibilityTimeout": "45"}},
            "ReceiveMessage": {},
            "DeleteMessageBatch": {},
        }
        self.gate = asyncio.Event()
        self.gate.set()

    async def endpoint(self):
        return "https://sqs.eu-central-1.amazonaws.com"

    async def call(self, operation, members, wait_s=0):
        self.calls.append((operation, members))
        await self.gate.wait()
        reply = self.replies[operation]
        if isinstance(reply, Exception):
            raise reply
        return reply(members) if callable(reply) else reply

    def members(self, operation):
        return [members for name, members in self.calls if name == operation]


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def source(client):
    return AwsQueueSource(client, ARN)


MESSAGE = {
    "MessageId": "m1", "ReceiptHandle": "r1", "Body": "b", "MD5OfBody": "d",
    "Attributes": {"SentTimestamp": "1"},
    "MD5OfMessageAttributes": "da",
    "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": "AP8="}},
}  # fmt: skip


async def test_a_receive_asks_for_everything_and_no_more_than_ten(client, source):
    client.replies["ReceiveMessage"] = {"Messages": [MESSAGE]}
    (found,) = await source.receive(1_000, 60_000, None, asyncio.Event())
    (asked,) = client.members("ReceiveMessage")
    assert asked == {
        "QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20,
        "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
    }  # fmt: skip
    assert (found.message_id, found.receipt, found.body) == ("m1", "r1", "b")
    assert (found.md5_of_body, found.md5_of_attributes) == ("d", "da")
    assert found.system == {"SentTimestamp": "1"}
    assert found.attributes == MESSAGE["MessageAttributes"]


async def test_a_longer_visibility_timeout_is_asked_for(client, source):
    await source.receive(3, 0, 330, asyncio.Event())
    (asked,) = client.members("ReceiveMessage")
    assert (asked["VisibilityTimeout"], asked["MaxNumberOfMessages"]) == (330, 3)


async def test_no_permission_is_needed_but_those_of_the_contract(client, source):
    """8.1: ReceiveMessage, DeleteMessage, GetQueueAttributes."""
    await source.visibility_s()
    await source.receive(1, 0, None, asyncio.Event())
    await source.delete(["r"])
    await source.backlog()
    await until(lambda: len({name for name, _members in client.calls}) == 3)
    assert {name for name, _members in client.calls} == {
        "GetQueueAttributes", "ReceiveMessage", "DeleteMessageBatch",
    }  # fmt: skip
    assert {members["QueueUrl"] for _name, members in client.calls} == {URL}


async def test_settings_of_a_queue_that_was_gone_are_asked_for_again(client, source):
    await source.visibility_s()
    client.replies["ReceiveMessage"] = SqsProblem("QueueDoesNotExist", "")
    with pytest.raises(SqsProblem):
        await source.receive(1, 0, None, asyncio.Event())
    client.replies["ReceiveMessage"] = {}
    await source.receive(1, 0, None, asyncio.Event())
    await source.visibility_s()
    assert len(client.members("GetQueueAttributes")) == 2


async def test_settings_hold_for_a_minute(client):
    now_s = [0.0]
    source = AwsQueueSource(client, ARN, lambda: now_s[0])
    assert await source.visibility_s() == 45
    client.replies["GetQueueAttributes"] = {"Attributes": {"VisibilityTimeout": "50"}}
    now_s[0] = 59
    assert await source.visibility_s() == 45
    now_s[0] = 61
    assert await source.visibility_s() == 50


async def test_a_stop_cuts_off_the_wait_but_not_an_answer_on_its_way(client, source, monkeypatch):
    monkeypatch.setattr("router.sources.aws_queue.STOP_S", 0.05)
    await source.visibility_s()
    client.replies["ReceiveMessage"] = {"Messages": [MESSAGE]}
    client.gate.clear()
    stop = asyncio.Event()
    waiting = asyncio.create_task(source.receive(1, 20_000, None, stop))
    await asyncio.sleep(0.01)
    stop.set()
    await asyncio.sleep(0.01)
    client.gate.set()
    assert len(await waiting) == 1, "it was just being answered"
    client.gate.clear()
    stop = asyncio.Event()
    waiting = [asyncio.create_task(source.receive(1, 20_000, None, stop)) for _ in range(3)]
    await asyncio.sleep(0.01)
    stop.set()
    assert [len(await one) for one in waiting] == [0, 0, 0]
    assert len(await source.receive(1, 20_000, None, stop)) == 0, "also one that begins after it"
    assert client.members("ReceiveMessage")[-1]["WaitTimeSeconds"] == 0
    client.gate.set()
    assert len(await source.receive(1, 20_000, None, asyncio.Event())) == 1, "it goes on"


async def test_a_receive_that_runs_out_of_time_by_itself_was_not_cut_off(client, source):
    client.replies["ReceiveMessage"] = TimeoutError()
    with pytest.raises(TimeoutError):
        await source.receive(1, 20_000, None, asyncio.Event())


async def test_fifo_a_lost_answer_is_asked_for_again_under_its_attempt(client):
    source = AwsQueueSource(client, ARN + ".fifo")
    client.replies["ReceiveMessage"] = SqsProblem(LOST, "")
    with pytest.raises(SqsProblem):
        await source.receive(10, 0, None, asyncio.Event())
    client.replies["ReceiveMessage"] = SqsProblem("InternalError", "")
    with pytest.raises(SqsProblem):
        await source.receive(10, 0, None, asyncio.Event())
    client.replies["ReceiveMessage"] = {}
    await source.receive(10, 0, None, asyncio.Event())
    lost, again, fresh = (
        members["ReceiveRequestAttemptId"] for members in client.members("ReceiveMessage")
    )
    assert lost == again != fresh


async def test_fifo_an_attempt_is_asked_for_again_once(client):
    """A queue that cannot repeat it would hold up the mapping for as long as it remembers."""
    source = AwsQueueSource(client, ARN + ".fifo")
    client.replies["ReceiveMessage"] = SqsProblem(LOST, "HTTP 500 with an answer that is no JSON")
    for _ in range(4):
        with pytest.raises(SqsProblem):
            await source.receive(10, 0, None, asyncio.Event())
    first, again, second, again_2 = (
        members["ReceiveRequestAttemptId"] for members in client.members("ReceiveMessage")
    )
    assert first == again != second == again_2


async def test_deletions_go_by_tens_and_tell_what_stays(client, source):
    def reply(members):
        receipts = {entry["Id"]: entry["ReceiptHandle"] for entry in members["Entries"]}
        failed = [{"Id": name} for name, receipt in receipts.items() if receipt in {"r3", "r17"}]
        if "r25" in receipts.values():
            raise SqsProblem(LOST, "")
        done = [{"Id": name} for name in receipts if {"Id": name} not in failed]
        return {"Successful": done, "Failed": failed}

    client.replies["DeleteMessageBatch"] = reply
    failed = await source.delete([f"r{number}" for number in range(27)])
    assert sorted(failed) == [3, 17, *range(20, 27)]
    assert all(len(it["Entries"]) <= 10 for it in client.members("DeleteMessageBatch"))


async def test_the_count_of_messages_keeps_nobody_waiting(client):
    now_s = [0.0]
    source = AwsQueueSource(client, ARN, lambda: now_s[0])
    names = [f"ApproximateNumberOfMessages{more}" for more in ("", "NotVisible", "Delayed")]
    client.replies["GetQueueAttributes"] = {"Attributes": dict.fromkeys(names, "2")}
    assert await source.backlog() == 0
    async with asyncio.timeout(PATIENCE_S):
        while await source.backlog() != 6:
            await asyncio.sleep(0.001)
    assert len(client.members("GetQueueAttributes")) == 1
    client.replies["GetQueueAttributes"] = SqsProblem(LOST, "")
    now_s[0] = 16
    assert await source.backlog() == 6
    await asyncio.sleep(0.01)
    assert await source.backlog() == 6, "as known last"


@pytest.mark.parametrize(
    "message",
    [
        None,
        "m1",
        {**MESSAGE, "Body": None},
        {**MESSAGE, "Attributes": {"SentTimestamp": "yesterday"}},
        {key: value for key, value in MESSAGE.items() if key != "ReceiptHandle"},
        {**MESSAGE, "MessageAttributes": {"a": {"BinaryValue": "AP8="}}},
        {**MESSAGE, "MessageAttributes": ["a"]},
    ],
)
async def test_what_is_no_message_of_sqs_is_a_problem_with_a_name(client, source, message):
    """It ends no mapping: the queue is asked again after a while."""
    client.replies["ReceiveMessage"] = {"Messages": [MESSAGE, message]}
    with pytest.raises(SqsProblem, match="not as SQS answers"):
        await source.receive(10, 0, None, asyncio.Event())


@pytest.mark.parametrize(
    "reply", [{}, {"Attributes": {}}, {"Attributes": {"VisibilityTimeout": "x"}}]
)
async def test_settings_that_cannot_be_read_are_a_problem_with_a_name(client, source, reply):
    client.replies["GetQueueAttributes"] = reply
    with pytest.raises(SqsProblem, match="not as SQS answers"):
        await source.visibility_s()


@pytest.mark.parametrize(
    "reply", [{"Successful": None}, {"Successful": "all"}, {"Successful": [None, {}, {"Id": 1}]}]
)
async def test_of_a_deletion_that_cannot_be_read_nothing_is_known(client, source, reply):
    client.replies["DeleteMessageBatch"] = reply
    assert list(await source.delete(["r0", "r1"])) == [0, 1]


async def test_only_what_is_said_to_be_deleted_is(client, source):
    """D4: a deletion nobody confirmed is made again."""
    client.replies["DeleteMessageBatch"] = {"Successful": [{"Id": "0"}, {"Id": "2"}]}
    assert list(await source.delete(["r0", "r1", "r2"])) == [1]
    client.replies["DeleteMessageBatch"] = {}
    assert list(await source.delete(["r0", "r1"])) == [0, 1]


async def test_with_a_queue_its_messages_are_gone(client, source):
    """There is nothing left to delete: whoever ends the mapping does not wait for it."""
    client.replies["DeleteMessageBatch"] = SqsProblem("QueueDoesNotExist", "")
    assert list(await source.delete([f"r{n}" for n in range(25)])) == []


async def test_without_message_groups_nothing_of_a_fifo_queue_is_handed_out(client):
    """A server that names no groups must not cost a FIFO queue its order."""
    source = AwsQueueSource(client, ARN + ".fifo")
    client.replies["ReceiveMessage"] = {"Messages": [MESSAGE]}
    with pytest.raises(SqsProblem, match="message group"):
        await source.receive(10, 0, None, asyncio.Event())
