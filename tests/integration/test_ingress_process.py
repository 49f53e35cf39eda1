"""The process that reads requests from outside, as an operator meets it."""

import os
import signal

from tests.integration.bed import (
    call,
    function,
    ingress_pids,
    mapping,
    template,
    until,
    webhook,
)


def begin(bed, processes):
    bed.environment["ROUTER_INGRESS_PROCESSES"] = str(processes)
    bed.write(template(webhook(), function(), mapping()))
    bed.code()
    bed.start()
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])


def about_ingress(bed):
    (check,) = [row for row in bed.told("doctor") if row["check"] == "ingress"]
    return check


def accepted(bed):
    rows = bed.metrics()["router_webhook_requests_total"]
    return sum(value for labels, value in rows if labels["result"] == "accepted")


def test_it_is_named_and_when_it_is_killed_all_goes_on(bed):
    begin(bed, 1)
    (pid,) = ingress_pids(bed.addresses["pid"])
    check = about_ingress(bed)
    assert check["ok"]
    assert f"process {pid}, locked in by plain" in check["text"]
    until(lambda: accepted(bed) == 1)
    os.kill(pid, signal.SIGKILL)
    # Its port is the router's own: who connects meanwhile is served by the next one.
    reply = bed.post("a", 1)
    assert reply.status == 202
    until(lambda: bed.ear.handled() == [("a", 0), ("a", 1)])
    assert ingress_pids(bed.addresses["pid"]) != [pid]
    assert "started again 1 times" in about_ingress(bed)["text"]
    until(lambda: accepted(bed) == 2)


def test_not_ready_while_nobody_reads_requests(bed):
    begin(bed, 1)
    (pid,) = ingress_pids(bed.addresses["pid"])

    def ready():
        return call(bed.addresses["ops"], "/ready")

    assert ready().status == 200
    os.kill(pid, signal.SIGKILL)
    until(lambda: ready().status == 503, what="a word about it")
    until(lambda: ready().status == 200, what="another process")
    assert bed.post("a", 1).status == 202


def test_without_one_the_router_reads_them_itself(bed):
    begin(bed, 0)
    assert ingress_pids(bed.addresses["pid"]) == []
    assert "in the router's own process" in about_ingress(bed)["text"]
    until(lambda: accepted(bed) == 1)
