"""SIGTERM while callers wait for functions, and what a stop cuts off (S1, S2)."""

import json
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.integration.bed import (
    Reply,
    call,
    function,
    mapping,
    queue,
    template,
    to_queue,
    until,
    webhook,
)

CALLED = '''"""Tells that it was called, and returns when it is told to."""

import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)


def handler(event, context):
    name = event.get("rawPath", "").strip("/") or event["name"]
    with socket.create_connection((HOST, int(PORT))) as wire:
        wire.sendall(b'{"what": "called", "name": "%s"}\\n' % name.encode())
        return {"answer": wire.makefile().readline().strip()}
'''

URL = """
  Url:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !Ref Worker, AuthType: NONE}
"""


@pytest.fixture
def called(bed):
    """A function that callers wait for; how long, `bed.ear.answer` says."""
    bed.write(template(webhook(), function(timeout=120), URL))
    bed.code(CALLED)
    return bed


def begin(pool: ThreadPoolExecutor, bed) -> dict[str, Future[Reply]]:
    """One caller by the URL, one by the API; both are at the function when it returns."""
    (name,) = [
        it["FunctionName"] for it in bed.rest("GET", "/2015-03-31/functions").json["Functions"]
    ]
    host = {"Host": bed.host_of_url(name)}
    invocations = f"/2015-03-31/functions/{name}/invocations"
    event = json.dumps({"name": "api"}).encode()
    begun = {
        "url": pool.submit(call, bed.addresses["ingress"], "/url", headers=host),
        "api": pool.submit(call, bed.addresses["api"], invocations, event),
    }
    until(lambda: {facts["name"] for facts in bed.ear.heard} == {"url", "api"})
    return begun


def drain(bed) -> None:
    """SIGTERM, and the drain has begun."""
    bed.signal(signal.SIGTERM)
    until(lambda: call(bed.addresses["ops"], "/ready").status == 503)


def test_s1_callers_under_way_have_their_answers_and_new_ones_are_told_to_come_again(called):
    bed = called
    answers = ["wait"]
    bed.ear.answer = lambda _facts: until(lambda: answers[0] != "wait") and answers[0]
    bed.start()
    with ThreadPoolExecutor(2) as pool:
        begun = begin(pool, bed)
        drain(bed)
        url = bed.addresses["ingress"]
        for refused in (
            bed.post("late", 0),
            call(url, "/late", headers={"Host": f"{'a' * 32}.lambda-url.us-east-1.localhost"}),
            bed.rest("GET", "/2015-03-31/functions"),
            bed.json_call("AmazonSQS.ListQueues"),
        ):
            assert refused.status == 503, refused
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["connection"] == "close"
        assert bed.json_call("Router.ListQueues").status == 200, "who looks is still told"
        assert not any(future.done() for future in begun.values())
        answers[0] = "done"
        assert begun["url"].result().json == {"answer": "done"}
        assert begun["api"].result().json == {"answer": "done"}
    assert bed.wait() == 0
    assert bed.lines("drained")


@pytest.mark.parametrize("how", ["second signal", "deadline"])
def test_s2_callers_that_wait_for_ever_do_not_hold_up_a_stop(called, how):
    bed = called
    bed.environment["ROUTER_DRAIN_S"] = "0.5" if how == "deadline" else "60"
    bed.ear.answer = lambda _facts: time.sleep(90) or "late"
    bed.start()
    with ThreadPoolExecutor(2) as pool:
        begun = begin(pool, bed)
        drain(bed)
        if how == "second signal":
            bed.signal(signal.SIGTERM)
        assert bed.wait(40) == 0
        for future in begun.values():
            with pytest.raises(OSError):  # no answer: nobody knows what became of it
                future.result()


@pytest.mark.parametrize("how", ["second signal", "deadline"])
def test_s2_what_a_stop_cuts_off_is_no_failure_of_the_function(bed, how):
    """Lost 0 either way: a record without retries runs again, and is not given up."""
    bed.write(
        template(
            webhook(), queue(), function(timeout=60), mapping(MaximumRetryAttempts=0, **to_queue())
        )
    )
    bed.code()
    bed.environment["ROUTER_DRAIN_S"] = "0.5" if how == "deadline" else "60"
    bed.ear.answer = lambda _facts: time.sleep(90) or "ok"
    bed.start()
    assert bed.post("a", 0).status == 202
    until(bed.ear.records)
    drain(bed)
    if how == "second signal":
        bed.signal(signal.SIGTERM)
    assert bed.wait() == 0
    bed.ear.answer = lambda _facts: "ok"
    bed.start()
    until(lambda: bed.ear.handled() == [("a", 0)], what="the record that was cut off")
    waiting = bed.json_call("Router.ListQueues").json["Queues"]
    assert [queue["Visible"] for queue in waiting] == [0], waiting
    assert bed.stop() == 0
