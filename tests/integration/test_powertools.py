"""Functions written with AWS's own library for handlers, unchanged, on queues of a real router."""

import shutil
from collections import Counter, defaultdict
from importlib import metadata
from pathlib import Path

import pytest

from tests.integration.bed import until
from tests.integration.queue_bed import Side

HANDLER = '''"""What its users write: a function for one record, and the processor does the rest."""

import json
import os
import socket

from aws_lambda_powertools.utilities import batch

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")
processor = batch.{processor}


def work(record):
    facts = dict(record.json_body, received=record.attributes.approximate_receive_count)
    wire.write(json.dumps(facts).encode() + b"\\n")
    wire.flush()
    if wire.readline() == b"fail\\n":
        raise ValueError("told to fail")


def handler(event, context):
    return batch.process_partial_response(
        event=event, record_handler=work, processor=processor, context=context
    )
'''

NEEDED = ("aws-lambda-powertools", "jmespath", "typing-extensions")


def vendored(folder: Path) -> None:
    """The library beside the handler's code, as `sam build` puts it there."""
    for name in NEEDED:
        for file in metadata.files(name) or ():
            if file.suffix == ".py":
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


@pytest.fixture
def running(bed):
    def run(server, processor):
        vendored(bed.folder / "code")
        return Side(bed, server, HANDLER.format(processor=processor))

    return run


class Failing:
    """Two records fail twice each; what was tried, in order, and what went well."""

    def __init__(self, *bad):
        self._bad = Counter(dict.fromkeys(bad, 2))
        self.tried = defaultdict(list)
        self.done = defaultdict(list)

    def __call__(self, facts):
        group, n = facts.get("g"), facts["n"]
        self.tried[group].append(n)
        if self._bad[group, n]:
            self._bad[group, n] -= 1
            return "fail"
        self.done[group].append(n)
        return "ok"


def test_d9_only_what_the_processor_names_comes_again(running, ear, elasticmq):
    side = running(elasticmq, "BatchProcessor(batch.EventType.SQS)")
    ear.answer = failing = Failing((None, 3), (None, 7))
    queue = side.create("powertools", VisibilityTimeout=3)
    queue.send({"n": n} for n in range(10))
    side.map(queue, FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: len(failing.done[None]) >= 10, what="ten records that went well")
    queue.empties()
    assert Counter(failing.tried[None]) == Counter([*range(10), 3, 3, 7, 7])
    assert {f["received"] for f in ear.heard if f["n"] == 3} == {"1", "2", "3"}


def test_p24_groups_of_a_fifo_queue_stay_in_order(running, ear, elasticmq):
    side = running(elasticmq, "SqsFifoPartialProcessor(skip_group_on_error=True)")
    ear.answer = failing = Failing(("a", 2), ("b", 0))
    queue = side.create("powertools.fifo", VisibilityTimeout=3)
    queue.send({"g": group, "n": n} for n in range(6) for group in "abc")
    side.map(queue, FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: sum(map(len, failing.done.values())) >= 18, what="all records that went well")
    queue.empties()
    assert failing.done == {group: list(range(6)) for group in "abc"}
    assert failing.tried["a"] == [0, 1, 2, 2, 2, 3, 4, 5]
    assert failing.tried["b"] == [0, 0, 0, 1, 2, 3, 4, 5]
    assert failing.tried["c"] == [0, 1, 2, 3, 4, 5]
