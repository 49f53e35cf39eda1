"""On-failure records of webhook mappings, with the event where the destination takes it (P17)."""

import msgspec
import orjson

from router.mapping.engine import Discard
from router.model.outcome import Failed
from router.model.progress import LaneProgress, ProgressUpdate
from router.model.record import Record
from router.model.window import Window
from router.outcomes.failure_record import Discarded
from router.sources.webhook_format import WebhookFormat
from tests.unit.mapping.play import spec_of

SHARD = "shardId-000000000001"
RECORD = Record(7, "k", 1_772_446_498_204, 100, b'"body":"{}"}', "id-7")
BUCKET = spec_of(destination_arn="arn:aws:s3:::kept")


def told(spec=BUCKET, window=None):
    lane = LaneProgress(0, 7, window=window)
    update = ProgressUpdate(shard=SHARD, position=7, factor=1, lane=lane)
    failed = Failed("ValueError")
    discard = Discard(1, (RECORD,), "RetryAttemptsExhausted", 3, failed, update)
    discarded = Discarded(
        spec=spec, condition=discard.condition, invoke_count=3, outcome=failed,
        request_id="r", letter_id="l", wall_ms=1_772_446_530_123,
    )  # fmt: skip
    return WebhookFormat().failure_record(discard, discarded)


def test_a_bucket_gets_the_event_as_the_function_got_it():
    document = orjson.loads(told().body)
    event = orjson.loads(document["payload"])
    assert list(event) == ["Records"]
    assert event["Records"][0]["sequenceNumber"] == "7"
    assert document["RouterWebhookBatchInfo"]["shardId"] == SHARD


def test_in_a_window_the_event_has_the_state_the_records_did_not_get_into():
    window = Window(1_772_446_440_000, 1_772_446_500_000, b'{"sum":3}')
    event = orjson.loads(orjson.loads(told(window=window).body)["payload"])
    assert event["state"] == {"sum": 3}
    assert event["window"] == {"start": "2026-03-02T10:14:00Z", "end": "2026-03-02T10:15:00Z"}
    assert event["isFinalInvokeForWindow"] is False
    closed = msgspec.structs.replace(window, state=None)
    assert "window" not in orjson.loads(orjson.loads(told(window=closed).body)["payload"])


def test_a_queue_gets_no_event():
    queue = spec_of(destination_arn="arn:aws:sqs:us-east-1:000000000000:q")
    found = told(queue)
    assert "payload" not in orjson.loads(found.body)
    assert found.object_key == ""
