"""Kinds of sources by ARN (`event-source-mappings.md` 1.3)."""

import pytest

from router.model.source_kind import PEOPLE_SAY, SourceKind, kind_of_arn, source_name

HERE = "us-east-1:000000000000"


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        (f"arn:aws:sqs:{HERE}:jobs", "sqs"),
        (f"arn:aws:sqs:{HERE}:jobs.fifo", "fifo"),
        (f"arn:aws:kinesis:{HERE}:stream/orders", "kinesis"),
        (f"arn:aws:kinesis:{HERE}:stream/orders/consumer/c:1700000000", "kinesis"),
        (f"arn:aws:kinesis:{HERE}:orders", None),
        (f"arn:aws:dynamodb:{HERE}:table/orders/stream/2026-01-05T08:00:00.000", "dynamodb"),
        (f"arn:aws:dynamodb:{HERE}:table/orders", None),
        (f"arn:aws:kafka:{HERE}:cluster/core/1b2c3d4e-0000-4a4a-9b9b-0123456789ab-4", "msk"),
        (f"arn:aws:kafka:{HERE}:vpc-connection/111122223333/core/1b2c3d4e-4", "msk"),
        (f"arn:aws:kafka:{HERE}:topic/core/1b2c3d4e/payments", None),
        (f"arn:aws:mq:{HERE}:broker:shop:b-1b2c3d4e", "mq"),
        (f"arn:aws:rds:{HERE}:cluster:docs", "documentdb"),
        (f"arn:aws:router:{HERE}:webhook/github", "webhook"),
        (f"arn:aws:router:{HERE}:github", None),
        ("arn:aws:s3:::bucket", None),
        ("jobs", None),
        ("", None),
    ],
)
def test_kinds(arn, kind):
    assert kind_of_arn(arn) == kind


def test_every_kind_has_a_name():
    assert set(PEOPLE_SAY) == set(SourceKind)


def test_sources_have_names_for_people():
    queue = f"arn:aws:sqs:{HERE}:jobs"
    cluster = f"arn:aws:kafka:{HERE}:cluster/core/1b2c3d4e"
    assert source_name(queue, (), ()) == queue
    assert source_name(cluster, (), ("orders",)) == f"{cluster}/orders"
    assert source_name("", ("b-1:9092", "b-2:9092"), ("orders",)) == "b-1:9092,b-2:9092/orders"
