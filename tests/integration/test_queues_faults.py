"""Queue mappings when functions, receipts, turns and messages go wrong (8.1, 8.4; D5, P24, P25).

On embedded queues and on those of a real server.
"""

import json
import threading
import time
from collections import defaultdict

import pytest

from tests.integration.bed import FUNCTION, WAIT_S, call, until
from tests.integration.queue_bed import Side, send_all
from tests.sizes import size, sized

REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


@pytest.fixture(params=["embedded", "elasticmq"])
def server(request):
    return request.getfixturevalue("elasticmq") if request.param == "elasticmq" else None


@pytest.fixture
def name(request):
    """Of this test alone: the server is everybody's."""
    words = "".join(word if word.isalnum() else "-" for word in request.node.name)
    return f"{words[-40:]}-{time.monotonic_ns()}.fifo"


class Careful:
    """Answers for a function that reports what fails, and of its group all that is behind it."""

    def __init__(self, fails):
        self.fails = fails
        """Given a body and how often it was received."""
        self.done = defaultdict(list)
        """Per group what was not reported, in order."""
        self.running = {}
        """Per call its groups."""

    def __call__(self, facts):
        if facts["what"] != "event":
            self.running.pop(facts["call"], None)
            return "{}"
        failed, stopped = [], set()
        groups = {it["attributes"]["MessageGroupId"] for it in facts["event"]["Records"]}
        for others in list(self.running.values()):
            assert not groups & others, "a group in two calls at a time"
        self.running[facts["call"]] = groups
        for record in facts["event"]["Records"]:
            body = json.loads(record["body"])
            count = int(record["attributes"]["ApproximateReceiveCount"])
            if body["g"] in stopped or self.fails(body, count):
                stopped.add(body["g"])
                failed.append({"itemIdentifier": record["messageId"]})
            else:
                self.done[body["g"]].append(body["n"])
        return json.dumps({"return": {"batchItemFailures": failed}})

    def check_order(self, groups, each):
        """D5: nothing of a group was done before all before it was, and all was.

        Some of it may be done twice: a machine that does much else lets receipts expire.
        """
        for number in range(groups):
            done = self.done[f"g{number}"]
            news = [n for place, n in enumerate(done) if n not in done[:place]]
            skips = [place for place, n in enumerate(news) if n != place]
            assert not skips, (number, news[max(0, skips[0] - 5) : skips[0] + 5], done)
            assert len(news) == each, number
        again = sum(map(len, self.done.values())) - groups * each
        print(f"{again} of {groups * each} were done again")


def groups_of(count, each):
    return [[{"g": f"g{group}", "n": n} for n in range(each)] for group in range(count)]


@sized(300, 600)
def test_p24_a_batch_that_partly_fails_while_more_of_its_group_is_in_flight(bed, server, name):
    """Small batches of large receives: several batches of one group are hidden at a time."""
    groups, each = size((6, 21), (20, 300))
    side = Side(bed, server)
    queue = side.create(name, VisibilityTimeout=2)
    careful = bed.ear.answer = Careful(lambda body, count: body["n"] % 7 == 3 and count == 1)
    send_all(queue, groups_of(groups, each))
    side.map(queue, BatchSize=4, **REPORTS)
    queue.empties(wait_s=size(90, 400))
    careful.check_order(groups, each)


@sized(300, 300)
def test_receipts_that_expire_while_the_function_works(bed, server, name):
    """Their messages come again, in order, one call of a group at a time; none is lost (D1, D6)."""
    side = Side(bed, server)
    queue = side.create(name, VisibilityTimeout=2)
    careful = Careful(lambda _body, _count: False)
    slow = set(range(0, 20, 5))

    def answer(facts):
        reply = careful(facts)
        if facts["what"] == "event":
            numbers = {json.loads(it["body"])["n"] for it in facts["event"]["Records"]}
            if numbers & slow:
                slow.difference_update(numbers)
                time.sleep(1.7)
        return reply

    bed.ear.answer = answer
    side.map(queue, BatchSize=2, **REPORTS)
    # A mapping is not made on a queue that hides messages for less than its function may take.
    settings = {"QueueUrl": queue.url, "Attributes": {"VisibilityTimeout": "1"}}
    side.ask("SetQueueAttributes", **settings)
    send_all(queue, groups_of(4, 20))
    queue.empties(wait_s=90)
    careful.check_order(4, 20)


@sized(240, 400)
def test_throttles_that_last_a_minute(bed, server, name):
    """Long: a minute and more. The batch is kept while it is hidden, then left; nothing is lost."""
    held_s, hidden_s = size(8, 65), 3
    bed.environment["ROUTER_CONCURRENCY_MAX"] = "1"
    holder = FUNCTION.format(name="Holder", code="code", handler="app.handler", timeout=120)
    side = Side(bed, server, more=holder)
    queue = side.create(name, VisibilityTimeout=hidden_s)
    careful = Careful(lambda _body, _count: False)
    is_held = threading.Event()

    def answer(facts):
        if facts["what"] == "event" and "hold" in facts["event"]:
            is_held.set()
            time.sleep(held_s)
            return "{}"
        return careful(facts)

    bed.ear.answer = answer
    path = f"/2015-03-31/functions/{side.function('Holder')}/invocations"
    holding = threading.Thread(
        target=call,
        args=(bed.addresses["api"], path, b'{"hold": 1}'),
        kwargs={"wait_s": 240},
    )
    holding.start()
    is_held.wait(WAIT_S)
    send_all(queue, groups_of(8, 10))
    side.map(queue, **REPORTS)
    holding.join()
    assert not careful.done
    queue.empties(wait_s=60)
    assert careful.done == {f"g{it}": list(range(10)) for it in range(8)}
    counts = [
        int(record["attributes"]["ApproximateReceiveCount"])
        for facts in list(bed.ear.heard)
        if facts["what"] == "event" and "Records" in facts["event"]
        for record in facts["event"]["Records"]
    ]
    # Of what waits only the batch whose turn it would be is received, as long as it is hidden.
    in_vain = sum(counts) - len(counts)
    print(f"{in_vain} receives in vain of 80 messages, each at most {max(counts) - 1} times")
    assert in_vain <= 10 * (held_s / hidden_s + 2)


@sized(300, 300)
def test_poison_holds_up_its_own_group_and_no_longer_than_its_policy_says(bed, server, name):
    """Three receives, hidden for 3 s each: 9 s, whatever else the queue does."""
    hidden_s, tries = 3, 3
    side = Side(bed, server)
    letters = side.create(f"dead-{name}")
    policy = {"deadLetterTargetArn": letters.arn, "maxReceiveCount": tries}
    queue = side.create(name, VisibilityTimeout=hidden_s, RedrivePolicy=json.dumps(policy))
    careful = Careful(lambda body, _count: body["g"] == "g0" and body["n"] == 0)
    bed.ear.answer = careful
    side.map(queue, BatchSize=1, **REPORTS)
    sent = time.monotonic()
    queue.send([{"g": "g0", "n": 0}])
    send_all(queue, groups_of(6, 20)[1:])
    queue.send({"g": "g0", "n": n} for n in range(1, 5))
    until(lambda: sum(len(careful.done[f"g{it}"]) for it in range(1, 6)) == 100, what="the others")
    others_s = time.monotonic() - sent
    assert not careful.done["g0"], "the others waited for the poison"
    queue.empties(wait_s=60)
    assert careful.done["g0"] == [1, 2, 3, 4]
    assert letters.take_all() == [{"g": "g0", "n": 0}]
    sights = [
        (facts["at"], json.loads(facts["event"]["Records"][0]["body"]))
        for facts in list(bed.ear.heard)
        if facts["what"] == "event"
    ]
    of_group = [(at, body["n"]) for at, body in sights if body["g"] == "g0"]
    assert [n for _, n in of_group] == [0] * tries + [1, 2, 3, 4]
    held_up_s = of_group[tries][0] - of_group[0][0]
    print(f"the others took {others_s:.1f} s, the group waited {held_up_s:.1f} s")
    # Hidden from the receive on, which is before the first sight and after it was sent.
    assert of_group[tries][0] - sent >= tries * hidden_s
    assert held_up_s <= tries * (hidden_s + 10)
