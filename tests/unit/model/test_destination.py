"""What a destination's text names."""

import pytest

from router.model.destination import (
    DestinationError,
    is_dead_letter_target,
    is_invocation_destination,
    kind_of,
    parse_destination,
)

HERE = ("us-east-1", "000000000000")


@pytest.mark.parametrize(
    ("text", "kind", "name", "where", "qualifier", "is_fifo"),
    [
        ("arn:aws:sqs:us-east-1:000000000000:q", "sqs", "q", HERE, None, False),
        ("arn:aws:sqs:us-east-1:000000000000:q.fifo", "sqs", "q.fifo", HERE, None, True),
        ("arn:aws:sns:us-east-1:000000000000:t", "sns", "t", HERE, None, False),
        ("arn:aws:sns:us-east-1:000000000000:t.fifo", "sns", "t.fifo", HERE, None, True),
        ("arn:aws:s3:::my.bucket", "s3", "my.bucket", ("", ""), None, False),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", "function", "f", HERE, None, False),
        ("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", "function", "f", HERE,
         "$LATEST", False),
        ("arn:aws:lambda:us-east-1:000000000000:function:f:live", "function", "f", HERE, "live",
         False),
        ("arn:aws:events:us-east-1:000000000000:event-bus/b", "events", "b", HERE, None, False),
        ("kafka://failed.records-1", "kafka", "failed.records-1", ("", ""), None, False),
        ("kafka://bucket.fifo", "kafka", "bucket.fifo", ("", ""), None, False),
    ],
)  # fmt: skip
def test_it_is_taken_apart(text, kind, name, where, qualifier, is_fifo):
    found = parse_destination(text)
    assert (found.kind, found.name, found.text) == (kind, name, text)
    assert (found.region, found.account) == where
    assert (found.qualifier, found.is_fifo) == (qualifier, is_fifo)
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "", "q", "kafka://", "kafka://.hidden", "kafka://a/b", "kafka://" + "x" * 250,
        "arn:aws:sqs:us-east-1:000000000000:", "arn:aws:sqs:::q", "arn:aws:s3:::bucket/key",
        "arn:aws:sns:us-east-1:000000000000:t:subscription", "arn:aws:events:us-east-1:0:bus",
        "arn:aws:lambda:us-east-1:000000000000:layer:f", "arn:aws:lambda:us-east-1:0:function:",
        "arn:aws:sqs:us-east-1:000000000000:q\n", "kafka://topic\n",
    ],
)  # fmt: skip
def test_what_names_none_is_refused(text):
    with pytest.raises(DestinationError):
        parse_destination(text)
    assert kind_of(text) is None


def test_none_is_no_kind():
    assert kind_of(None) is None


@pytest.mark.parametrize(
    ("text", "on_success", "on_failure", "dead_letter"),
    [
        ("arn:aws:sqs:us-east-1:000000000000:q", True, True, True),
        ("arn:aws:sqs:us-east-1:000000000000:q.fifo", False, False, False),
        ("arn:aws:sns:us-east-1:000000000000:t", True, True, True),
        ("arn:aws:sns:us-east-1:000000000000:t.fifo", False, False, False),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", True, True, False),
        ("arn:aws:events:us-east-1:000000000000:event-bus/b", True, True, False),
        ("arn:aws:s3:::bucket", False, True, False),
        ("kafka://topic", False, False, False),
        ("q", False, False, False),
    ],
)
def test_what_is_told_of_events_goes_to(text, on_success, on_failure, dead_letter):
    assert is_invocation_destination(text, is_failure=False) == on_success
    assert is_invocation_destination(text, is_failure=True) == on_failure
    assert is_dead_letter_target(text) == dead_letter
