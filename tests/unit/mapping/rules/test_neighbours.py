"""P5: what stands in a mapping's way."""

import msgspec
import pytest

from router.mapping.rules.neighbours import (
    check_duplicate,
    check_visibility,
    find_duplicate,
    visibility_s,
)
from router.mapping.rules.refusal import Conflict
from router.model.resources import Queue
from tests.unit.mapping.rules.sources import CLUSTER, HOOK, QUEUE, SERVERS, STREAM, UUID, mapping

OTHER = "00000000-93b4-4f8a-8f0e-6f1b2a7c9d10"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
ADVICE = f"Please update or delete the existing mapping with UUID {UUID}"


def endpoints(*servers):
    return {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}}}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("sqs", (f'An event source mapping with SQS arn (" {QUEUE} ") and function (" f ") already '
                 f"exists. {ADVICE}")),
        ("fifo", (f'An event source mapping with SQS arn (" {QUEUE}.fifo ") and function (" f ") '
                  f"already exists. {ADVICE}")),
        ("kinesis", (f'The event source arn (" {STREAM} ") and function (" f ") provided mapping '
                     f"already exists. {ADVICE}")),
        ("webhook", (f'The event source arn (" {HOOK} ") and function (" f ") provided mapping '
                     f"already exists. {ADVICE}")),
        ("kafka", ('An event source mapping with event source ("b-1:9092,b-2:9092"), function '
                   f'("{ARN}"), topics ("t1") already exists. {ADVICE}')),
        ("msk", (f'An event source mapping with event source ("{CLUSTER}"), function ("{ARN}"), '
                 f'topics ("t1") already exists. {ADVICE}')),
    ],
)  # fmt: skip
def test_texts_with_their_blanks(kind, text):
    """The Kafka text has none."""
    found = check_duplicate(mapping(kind, OTHER), [mapping(kind)], ARN)
    assert isinstance(found, Conflict)
    assert found.message == text


def test_one_shared_server_and_topic_are_the_same_source():
    known = mapping("kafka", **endpoints("b-1:9092", "b-2:9092"))
    same = mapping("kafka", OTHER, **endpoints("b-2:9092", "b-9:9092"))
    assert find_duplicate(same, [known]) is known
    apart = mapping("kafka", OTHER, **endpoints("b-9:9092"))
    assert find_duplicate(apart, [known]) is None
    topic = mapping("kafka", OTHER, SelfManagedEventSource=SERVERS, Topics=["t2"])
    assert find_duplicate(topic, [known]) is None


def test_another_function_qualifier_or_source_is_another_mapping():
    known = mapping("sqs")
    assert find_duplicate(known, [known]) is None
    assert find_duplicate(mapping("sqs", OTHER, "g"), [known]) is None
    assert find_duplicate(mapping("fifo", OTHER), [known]) is None
    alias = msgspec.structs.replace(mapping("sqs", OTHER), qualifier="live")
    assert find_duplicate(alias, [known]) is None
    assert find_duplicate(alias, [known, msgspec.structs.replace(alias, uuid="x")]).uuid == "x"


def test_a_consumer_group_is_one_mappings_alone():
    """7.1: unique among Kafka mappings; queues and streams have none."""
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "shop"}}
    known = mapping("kafka", **group)
    other = mapping("kafka", OTHER, "g", Topics=["t2"], **group)
    found = check_duplicate(other, [known], ARN)
    assert found.message == (
        f"The consumer group shop is used by another event source mapping already, with UUID {UUID}"
    )
    assert check_duplicate(known, [known], ARN) is None
    assert check_duplicate(mapping("sqs", OTHER), [mapping("webhook")], ARN) is None


def test_a_queue_hides_messages_as_long_as_the_function_may_take():
    queue = Queue(name="q", arn=QUEUE, created_s=1, modified_s=1)
    assert visibility_s(queue) == 30
    set_to = msgspec.structs.replace(queue, attributes={"VisibilityTimeout": "5"})
    assert visibility_s(set_to) == 5
    assert check_visibility(30, 30) is None
    assert check_visibility(30, 60).message == (
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    )
