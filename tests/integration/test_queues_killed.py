"""Embedded queues through `kill -9` (K1): what was answered is there, in order, once (D1, D2)."""

import signal
import threading

from tests.integration.bed import template, until

QUEUES = """
  Dead:
    Type: AWS::SQS::Queue
    Properties: {QueueName: dead.fifo, FifoQueue: true}
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: orders.fifo
      FifoQueue: true
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1}
"""
ORDERS, DEAD = "/000000000000/orders.fifo", "/000000000000/dead.fifo"
ARN = "arn:aws:sqs:us-east-1:000000000000:dead.fifo"
GROUPS = 5
MOVED = 40
"""Ten of each of four groups, as one receive gives them; eight a second."""


def ask(bed, operation, **members):
    reply = bed.json_call(f"AmazonSQS.{operation}", **members)
    assert reply.status == 200, reply.body
    return reply.json if reply.body else {}


def kill_and_start(bed):
    bed.process.send_signal(signal.SIGKILL)
    bed.process.wait()
    bed.start()


def send(bed, group, n):
    body = f"{group}:{n}"
    return ask(
        bed,
        "SendMessage",
        QueueUrl=ORDERS,
        MessageBody=body,
        MessageGroupId=str(group),
        MessageDeduplicationId=body,
    )


def receive(bed, url, **more):
    answer = ask(bed, "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, **more)
    return answer.get("Messages", [])


def test_what_was_answered_survives_in_order_and_is_still_deduplicated(bed):
    bed.write(template(QUEUES))
    bed.start()
    answered = {group: [] for group in range(GROUPS)}
    unsure = {}

    def pour(group):
        for n in range(10_000):
            unsure[group] = n
            try:
                sent = send(bed, group, n)
            except (OSError, AssertionError):
                return
            answered[group].append(sent)

    threads = [threading.Thread(target=pour, args=(group,)) for group in range(GROUPS)]
    for thread in threads:
        thread.start()
    until(lambda: sum(map(len, answered.values())) > 200)
    kill_and_start(bed)
    for thread in threads:
        thread.join()
    for group, sent in answered.items():
        # Whoever was not answered asks again, as SDKs do: never a second copy.
        send(bed, group, unsure[group])
        assert send(bed, group, 0)["MessageId"] == sent[0]["MessageId"]
    seen = {group: [] for group in range(GROUPS)}
    while messages := receive(
        bed, ORDERS, ReceiveRequestAttemptId=f"n{sum(map(len, seen.values()))}"
    ):
        for message in messages:
            group, _, n = message["Body"].partition(":")
            seen[int(group)].append(int(n))
        entries = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)
        ]
        done = ask(bed, "DeleteMessageBatch", QueueUrl=ORDERS, Entries=entries)
        assert "Failed" not in done
    assert seen == {group: list(range(unsure[group] + 1)) for group in range(GROUPS)}


def test_a_receive_whose_answer_was_lost_is_asked_for_again(bed):
    bed.write(template(QUEUES))
    bed.start()
    for n in range(3):
        send(bed, 0, n)
    first = receive(bed, ORDERS, ReceiveRequestAttemptId="try", VisibilityTimeout=60)
    kill_and_start(bed)
    again = receive(bed, ORDERS, ReceiveRequestAttemptId="try", VisibilityTimeout=60)
    assert [one["ReceiptHandle"] for one in again] == [one["ReceiptHandle"] for one in first]
    assert len(again) == 3


def test_a_move_task_goes_on_by_itself(bed):
    bed.write(template(QUEUES))
    bed.start()
    for n in range(MOVED):
        send(bed, n % 4, n)
    while receive(bed, ORDERS, VisibilityTimeout=0):
        pass
    ask(bed, "StartMessageMoveTask", SourceArn=ARN, MaxNumberOfMessagesPerSecond=8)

    def task():
        return ask(bed, "ListMessageMoveTasks", SourceArn=ARN)["Results"][0]

    until(lambda: task()["ApproximateNumberOfMessagesMoved"] > 0)
    kill_and_start(bed)
    assert task()["ApproximateNumberOfMessagesMoved"] < MOVED
    until(lambda: task()["Status"] != "RUNNING")
    assert task()["Status"] == "COMPLETED"
    assert task()["ApproximateNumberOfMessagesMoved"] == MOVED
    seen = []
    while messages := receive(bed, ORDERS):
        seen += [one["Body"] for one in messages]
    assert sorted(seen) == sorted(f"{n % 4}:{n}" for n in range(MOVED))
    for group in "0123":
        mine = [int(body.partition(":")[2]) for body in seen if body[0] == group]
        assert mine == sorted(mine)
    assert receive(bed, DEAD) == []
