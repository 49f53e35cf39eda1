"""Where what is told of an event goes: to this router's own at once, elsewhere by the outbox."""

import json

import pytest

from router.asynchronous.endings import Ways, finished
from router.model.limits import EVENT_BYTES_MAX
from router.outcomes.invocation_record import Ended, HoldUp, Response
from router.store.base import EnqueuedMessage

HERE = "arn:aws:sqs:us-east-1:000000000000:here"
TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"
OTHER = "arn:aws:lambda:us-east-1:000000000000:function:other:live"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"


class Mailbox:
    """One queue is this router's."""

    def route(self, row):
        if row.destination != HERE:
            return None
        return EnqueuedMessage(
            queue="here", body=row.body.decode(), attributes=row.attributes,
            trace_header=row.trace_header,
        )  # fmt: skip


def end(ways, condition="RetriesExhausted", payload=b"{}", answer=b'{"errorMessage":"no"}', **more):
    ended = Ended(
        request_id="r", function="f", function_arn="arn:f:$LATEST", condition=condition,
        invoke_count=3, payload=payload, wall_ms=1_000,
        response=Response(executed_version="$LATEST", is_error=True, payload=answer),
    )  # fmt: skip
    return finished(7, ended, ways, Mailbox(), **more)


def test_nothing_is_told_where_nobody_listens():
    told = end(Ways())
    assert (told.id, told.outbox, told.messages, told.events) == (7, [], [], [])


def test_queues_and_functions_of_this_router_get_theirs_at_once():
    told = end(Ways(HERE, TOPIC), trace_header=TRACE)
    (message,), (letter,) = told.messages, told.outbox
    assert json.loads(message.body)["requestContext"]["requestId"] == "r"
    assert (message.attributes, message.trace_header) == (b"", TRACE)
    assert (letter.destination, letter.body, letter.function) == (TOPIC, b"{}", "f")
    assert json.loads(letter.attributes)["ErrorMessage"]["StringValue"] == "no"
    told = end(Ways(OTHER, HERE), trace_header=TRACE)
    (event,), (message,) = told.events, told.messages
    assert (event.function, event.qualifier, event.accepted_ms) == ("other", "live", 1_000)
    assert event.trace_id == TRACE
    assert message.body == "{}"
    assert told.outbox == []


def test_a_success_has_no_dead_letter():
    told = end(Ways(TOPIC, HERE), condition="Success")
    assert [row.attributes for row in told.outbox] == [b""]
    assert told.messages == []


def test_a_record_too_large_for_a_function_waits_to_be_counted():
    told = end(Ways(OTHER), answer=b'"' + b"x" * EVENT_BYTES_MAX + b'"')
    assert told.events == []
    assert told.outbox[0].destination == OTHER


def test_a_bucket_has_a_key():
    told = end(Ways("arn:aws:s3:::b"))
    row = told.outbox[0]
    assert row.object_key == f"aws/lambda/async/f/1970/01/01/1970-01-01T00.00.01-{row.letter_id}"


@pytest.mark.parametrize("code", ["429", "500"])
def test_a_dead_letter_of_what_never_ran_says_why(code):
    ended = Ended(
        request_id="r", function="f", function_arn="a", condition="EventAgeExceeded",
        invoke_count=0, payload=b"{}", wall_ms=0,
    )  # fmt: skip
    told = finished(7, ended, Ways(None, TOPIC), Mailbox(), hold_up=HoldUp(code, "why"))
    attributes = json.loads(told.outbox[0].attributes)
    assert attributes["ErrorCode"]["StringValue"] == code
    assert attributes["ErrorMessage"]["StringValue"] == "why"
