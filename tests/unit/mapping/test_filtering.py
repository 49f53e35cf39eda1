"""Filters by kind of source: match documents (10.1), payload against pattern (10.2)."""

import base64
import json
import re
from pathlib import Path

import pytest

from router.mapping import match_document as documents
from router.mapping.filtering import FAMILIES, Form, MatchDocument, RecordFilter, parse_filter
from router.patterns.problems import PatternError

META, OTHER_META = {"meta": ["m"]}, {"meta": ["other"]}
JSON, JSON_MISS = '{"a":"x"}', '{"a":"y"}'
TEXT, TEXT_MISS = "ping", "pong"
BINARY = b"\xff\xfe"


def encoded(payload):
    return base64.b64encode(payload if isinstance(payload, bytes) else payload.encode()).decode()


def webhook(payload):
    is_binary = isinstance(payload, bytes)
    body = encoded(payload) if is_binary else payload
    return documents.of_webhook({"meta": "m", "body": body, "isBase64Encoded": is_binary})


RECORDS = {
    "sqs": ("body", lambda payload: documents.of_sqs({"meta": "m", "body": payload})),
    "kinesis": (
        "data",
        lambda payload: documents.of_kinesis({"meta": "m", "kinesis": {"data": encoded(payload)}}),
    ),
    "kafka": (
        "value",
        lambda payload: documents.of_kafka({"meta": "m", "value": encoded(payload)}),
    ),
    "kafka-key": (
        "key",
        lambda payload: documents.of_kafka({"meta": "m", "key": encoded(payload)}),
    ),
    "mq": ("data", lambda payload: documents.of_mq({"meta": "m", "data": encoded(payload)})),
    "webhook": ("body", webhook),
}
"""Kind of source → its data key, and its match document of a payload with `meta` beside it."""

DROPPED, MATCHED, JUDGED, REFUSED = "dropped", "data counts as matched", "judged", "refused"
STREAM = {
    (TEXT, "text"): REFUSED, (TEXT, "json"): DROPPED,
    (JSON, "text"): REFUSED, (JSON, "json"): JUDGED,
    (BINARY, "text"): REFUSED, (BINARY, "json"): DROPPED,
}  # fmt: skip
KAFKA = {
    (TEXT, "text"): JUDGED, (TEXT, "json"): MATCHED,
    (JSON, "text"): MATCHED, (JSON, "json"): JUDGED,
    (BINARY, "text"): MATCHED, (BINARY, "json"): MATCHED,
}  # fmt: skip
TABLE = {
    "sqs": {
        (TEXT, "text"): JUDGED, (TEXT, "json"): DROPPED,
        (JSON, "text"): DROPPED, (JSON, "json"): JUDGED,
    },
    "kinesis": STREAM, "webhook": STREAM, "kafka": KAFKA, "kafka-key": KAFKA, "mq": KAFKA,
}  # fmt: skip
"""The table of 10.2."""

ROWS = [
    (kind, payload, form, verdict)
    for kind, rows in TABLE.items()
    for (payload, form), verdict in rows.items()
]


def data_pattern(key, form, *, is_hit=True):
    if form == "text":
        return {key: [TEXT if is_hit else TEXT_MISS]}
    return {key: {"a": ["x" if is_hit else "y"]}}


def takes(kind, pattern, document):
    family = FAMILIES[kind.partition("-")[0]]
    return RecordFilter(family, [json.dumps(pattern)]).passes(document)


@pytest.mark.parametrize(("kind", "payload", "form", "verdict"), ROWS)
def test_payload_against_pattern(kind, payload, form, verdict):
    """P21 among them: SQS drops a plain body, Kafka delivers a plain value."""
    key, document_of = RECORDS[kind]
    hit, miss = data_pattern(key, form), data_pattern(key, form, is_hit=False)
    absent = {key: [{"exists": False}]} if form == "text" else {key: {"b": [{"exists": False}]}}
    if verdict == REFUSED:
        with pytest.raises(PatternError, match="must be an object"):
            parse_filter(FAMILIES[kind], json.dumps(hit))
        return
    document = document_of(payload)
    told = [takes(kind, pattern, document) for pattern in (hit, miss, absent)]
    wanted = {
        DROPPED: [False, False, False],
        MATCHED: [True, True, True],
        JUDGED: [True, False, form == "json"],
    }
    assert told == wanted[verdict]
    assert takes(kind, {**hit, **META}, document) == wanted[verdict][0]
    assert not takes(kind, {**hit, **OTHER_META}, document), "metadata always decides too"


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("payload", [JSON, TEXT, BINARY, "", "[]", "5", '"x"', "null"])
def test_metadata_alone_decides_whatever_the_payload(kind, payload):
    document = RECORDS[kind][1](payload if kind != "sqs" or payload != BINARY else TEXT)
    assert takes(kind, META, document)
    assert not takes(kind, OTHER_META, document)


@pytest.mark.parametrize("payload", ["5", '"x"', "null", "true", "", " ", "{", '{"a":1}x'])
def test_json_means_an_object_or_an_array(payload):
    assert documents.text_payload(payload)[0] is Form.TEXT


def test_an_array_of_objects_is_json():
    document = documents.of_sqs({"body": '[{"a":"y"},{"a":"x"}]'})
    assert takes("sqs", {"body": {"a": ["x"]}}, document)
    document = documents.of_sqs({"body": '["ping"]'})
    assert not takes("sqs", {"body": ["ping"]}, document), "JSON payload, plain pattern"


def test_any_filter_of_several():
    texts = [json.dumps({"body": {"a": [letter]}}) for letter in "xyz"]
    family = FAMILIES["webhook"]
    for body, wanted in (('{"a":"z"}', True), ('{"a":"q"}', False)):
        assert RecordFilter(family, texts).passes(webhook(body)) == wanted


def test_kinesis_members_are_at_the_top_beside_the_outer_ones():
    record = {
        "eventID": "shardId-0:1",
        "eventSource": "aws:kinesis",
        "kinesis": {"partitionKey": "7", "data": encoded(JSON)},
    }
    pattern = {"partitionKey": ["7"], "eventSource": ["aws:kinesis"], "data": {"a": ["x"]}}
    assert takes("kinesis", pattern, documents.of_kinesis(record))
    assert not takes("kinesis", {"kinesis": {"partitionKey": ["7"]}}, documents.of_kinesis(record))


DYNAMODB = {
    "eventName": "INSERT",
    "eventSource": "aws:dynamodb",
    "dynamodb": {
        "ApproximateCreationDateTime": 1772446498.0,
        "NewImage": {"state": {"S": "open"}, "total": {"N": "12"}},
    },
    "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({"eventName": ["INSERT"], "eventSource": ["aws:dynamodb"]}, True),
        ({"dynamodb": {"NewImage": {"state": {"S": ["open"]}}}}, True),
        ({"dynamodb": {"NewImage": {"state": ["open"]}}}, False),
        ({"dynamodb": {"NewImage": {"total": {"N": [{"numeric": ["=", 12]}]}}}}, False),
        ({"dynamodb": {"NewImage": {"total": {"N": ["12"]}}}}, True),
        ({"dynamodb": {"NewImage": {"state": [{"exists": False}]}}}, True),
        ({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 1772446497]}]}}, True),
        ({"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}}, True),
    ],
)
def test_dynamodb(pattern, wanted):
    """P22."""
    assert takes("dynamodb", pattern, documents.of_dynamodb(DYNAMODB)) == wanted


@pytest.mark.parametrize(
    "text", ['{"eventSource": "aws:sqs"}', '{"eventSource": []}', "{}", "[]", "", "x"]
)
@pytest.mark.parametrize("kind", FAMILIES)
def test_no_pattern(kind, text):
    """P22."""
    with pytest.raises(PatternError):
        parse_filter(FAMILIES[kind], text)


def test_the_dynamodb_key_must_be_an_object():
    with pytest.raises(PatternError, match='"dynamodb" must be an object'):
        parse_filter(FAMILIES["dynamodb"], '{"$or":[{"dynamodb":["x"]},{"a":["x"]}]}')


def test_kafka_value_and_key_are_judged_apart():
    record = {"value": encoded(JSON), "key": encoded(TEXT)}
    document = documents.of_kafka(record)
    assert takes("kafka", {"value": {"a": ["x"]}, "key": ["ping"]}, document)
    assert not takes("kafka", {"value": {"a": ["x"]}, "key": ["pong"]}, document)
    assert takes("kafka", {"value": {"a": ["x"]}, "key": {"a": ["x"]}}, document)
    assert not takes("kafka", {"value": {"a": ["y"]}, "key": {"a": ["x"]}}, document)
    tombstone = documents.of_kafka({"topic": "t"})
    assert takes("kafka", {"value": {"a": ["x"]}, "topic": ["t"]}, tombstone)


def test_text_and_object_at_once_is_what_no_payload_is():
    pattern = {"$or": [{"body": ["ping"]}, {"z": ["z"]}], "body": {"a": ["x"]}}
    absent = {"$or": [{"body": ["ping"]}, {"z": ["z"]}], "body": {"q": [{"exists": False}]}}
    for payload in (TEXT, JSON):
        assert not takes("sqs", pattern, documents.of_sqs({"body": payload}))
        assert not takes("sqs", absent, documents.of_sqs({"body": payload}))


def test_payloads_are_read_only_for_filters_that_name_them():
    family = FAMILIES["webhook"]
    assert not RecordFilter(family, ['{"headers":{"x-a":["1"]}}']).reads_payload
    assert RecordFilter(family, ['{"path":["/"]}', '{"body":{"a":["x"]}}']).reads_payload
    assert not RecordFilter(family, ['{"bodyguard":["x"]}']).reads_payload
    unread = MatchDocument({"path": "/", "body": JSON})
    assert RecordFilter(family, ['{"path":["/"]}']).passes(unread)


def test_the_filters_of_the_readme_do_what_it_says():
    readme = Path(__file__).parents[3].joinpath("README.md").read_text()
    texts = re.findall(r"- Pattern: '(.*)'", readme)
    assert len(texts) == 2
    wanted = RecordFilter(FAMILIES["webhook"], texts)
    for body, event, passes in (
        ({"ref": "refs/tags/v1"}, "push", True),
        ({"ref": "refs/heads/main"}, "push", False),
        ({"action": "published"}, "release", True),
        ({"action": "deleted"}, "release", False),
    ):
        record = {"body": json.dumps(body), "headers": {"x-github-event": event}}
        assert wanted.passes(documents.of_webhook(record)) == passes


def test_records_are_never_changed():
    record = {"body": JSON, "meta": "m"}
    documents.of_sqs(record)
    documents.of_webhook(record)
    assert record == {"body": JSON, "meta": "m"}
