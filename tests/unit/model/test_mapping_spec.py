"""From a stored mapping to what its engine is told."""

import msgspec

from router.model.mapping_spec import spec_of
from router.model.resources import Mapping, Pollers, SourceAccess

UUID = "5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d10"


def spec(**settings):
    mapping = Mapping(uuid=UUID, name="m", function="f", last_modified_ms=1, **settings)
    return spec_of(mapping, "us-east-1", "000000000000", 60_000)


def test_units_and_limits():
    queue = spec(
        event_source_arn="arn:aws:sqs:us-east-1:000000000000:jobs",
        qualifier="live",
        window_s=5,
        record_age_s_max=60,
        response_types=("ReportBatchItemFailures",),
        concurrency_max=2,
    )
    assert queue.kind == "sqs"
    assert queue.function_arn == "arn:aws:lambda:us-east-1:000000000000:function:f:live"
    assert (queue.window_ms, queue.record_age_ms_max) == (5_000, 60_000)
    assert queue.is_reporting_failures
    assert queue.concurrency_max == 2
    assert queue.pollers is None


def test_kafka_waits_half_a_second_until_told_otherwise():
    """2 and 7.1: 500 ms while no window was set; the group is the UUID when none was given."""
    kafka = {"topics": ("t",), "bootstrap_servers": ("b:9092",)}
    unset = spec(window_s=None, **kafka)
    assert (unset.kind, unset.source_arn, unset.window_ms) == ("kafka", "", 500)
    assert unset.consumer_group == UUID
    given = spec(window_s=0, consumer_group="g", pollers=Pollers(1, 4), **kafka)
    assert (given.window_ms, given.consumer_group, given.pollers) == (0, "g", Pollers(1, 4))


def test_what_an_older_version_stored_can_be_read():
    """Mappings stored before queues and Kafka came were of webhooks and had a window."""
    arn = "arn:aws:router:us-east-1:000000000000:webhook/hook"
    old = {"uuid": UUID, "name": "m", "function": "f", "event_source_arn": arn,
           "window_s": 3, "last_modified_ms": 5, "extra": {"KMSKeyArn": "k"}}  # fmt: skip
    mapping = msgspec.json.decode(msgspec.json.encode(old), type=Mapping)
    assert (mapping.kind, mapping.window_s, mapping.source_access) == ("webhook", 3, ())
    kafka = msgspec.structs.replace(mapping, source_access=(SourceAccess("BASIC_AUTH", "s"),))
    assert msgspec.json.decode(msgspec.json.encode(kafka), type=Mapping) == kafka
