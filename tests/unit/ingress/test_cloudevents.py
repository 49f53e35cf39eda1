"""CloudEvents 1.0 over HTTP: modes, attributes, and what is no event (`bus-…md` 4.4)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ingress.cloudevents import (
    EVENTS_MAX,
    NotAnEvent,
    consent,
    decode_attribute,
    events_of,
    is_structured,
)

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = {f"ce-{name}": value for name, value in EVENT.items()}


def read(body, kind=STRUCTURED, **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    return events_of({"content-type": kind, **headers}, body, text)


def refused(body, kind=STRUCTURED, **headers):
    with pytest.raises(NotAnEvent) as caught:
        read(body, kind, **headers)
    return caught.value


def test_binary_is_left_as_sent():
    (part,), is_batch = read(b"\xff\x00", "image/png", **BINARY)
    assert (part.body, part.text, is_batch) == (b"\xff\x00", None, False)
    assert part.headers == {"content-type": "image/png", **BINARY}
    assert not is_structured(part.headers)


def test_binary_without_a_content_type():
    (part,), _ = events_of(BINARY, b"", "")
    assert part.headers == BINARY


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_binary_attributes_are_all_needed(name):
    headers = {key: value for key, value in BINARY.items() if key != f"ce-{name}"}
    assert f"ce-{name} is missing" in str(refused(b"", "text/plain", **headers))
    assert f"ce-{name} is missing" in str(
        refused(b"", "text/plain", **headers, **{f"ce-{name}": ""})
    )
    wrong = {**headers, f"ce-{name}": "%ff"}
    assert f"ce-{name} is not well encoded" in str(refused(b"", "text/plain", **wrong))


def test_a_plain_request_is_no_event():
    error = refused({"a": 1}, "application/json")
    assert (error.status, error.reason) == (400, "not_cloudevent")


def test_structured_is_left_as_sent():
    body = b' {"specversion":"1.0", "id":"1","source":"/s","type":"t","data":{"a":[1e400]},"ext":7}'
    (part,), is_batch = read(body, "Application/CloudEvents+JSON; charset=UTF-8")
    assert (part.body, part.text, is_batch) == (body, body.decode(), False)
    assert is_structured(part.headers)


@pytest.mark.parametrize(
    "more",
    [
        {"data": None},
        {"data": "text", "datacontenttype": "text/plain"},
        {"data": [1]},
        {"data_base64": "AAEC"},
        {"data_base64": ""},
        {"data": None, "data_base64": "AAEC"},
        {"data_base64": None, "data": 1},
        {"subject": None, "datacontenttype": None},
        {"time": "2026-01-02T03:04:05Z", "partitionkey": "k"},
    ],
)
def test_structured_events(more):
    (part,), _ = read({**EVENT, **more})
    assert json.loads(part.body) == {**EVENT, **more}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({**EVENT, "specversion": "0.3"}, "specversion 1.0"),
        ({**EVENT, "id": ""}, "$.id"),
        ({**EVENT, "id": None}, "$.id"),
        ({**EVENT, "id": 7}, "$.id"),
        ({**EVENT, "source": ""}, "$.source"),
        ({**EVENT, "subject": ""}, "$.subject"),
        ({**EVENT, "data": 1, "data_base64": "AAEC"}, "not both"),
        ({**EVENT, "data_base64": "A"}, "base64"),
        ({**EVENT, "data_base64": "é"}, "base64"),
        ({**EVENT, "data_base64": 1}, "$.data_base64"),
        ({"id": "1"}, "specversion"),
        ([EVENT], "object"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"specversion":"1.0","id":"\\ud800","source":"s","type":"t"}', "not JSON"),
        (b'{"data":' + b"[" * 100_000, "not JSON"),
    ],
)
def test_structured_bodies_that_are_no_event(body, text):
    error = refused(body)
    assert (error.status, error.reason) == (400, "not_cloudevent")
    assert text in str(error)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("application/cloudevents+avro", {}),
        ("application/cloudevents-batch+avro", {}),
        ("application/cloudevents", {}),
        ("application/cloudevents+json; charset=utf-16", {}),
        (STRUCTURED, {"content-encoding": "gzip"}),
    ],
)
def test_formats_that_are_not_understood_are_415(kind, more):
    error = refused(EVENT, kind, **more)
    assert (error.status, error.reason) == (415, "format_unknown")


def test_each_event_of_a_batch_is_as_if_it_had_come_alone():
    first = b'{"specversion":"1.0","id":"1","source":"/s","type":"t", "data" : 1.50}'
    second = '{"id":"é","type":"t","source":"/s","specversion":"1.0"}'.encode()
    kind = "application/cloudevents-batch+json; charset=utf-8"
    parts, is_batch = read(b" [ " + first + b" ,\n" + second + b"]", kind, x="y")
    assert is_batch
    assert [part.body for part in parts] == [first, second]
    assert [part.text for part in parts] == [first.decode(), second.decode()]
    assert parts[1].headers == {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "content-length": str(len(second)),
        "x": "y",
    }


def test_an_empty_batch():
    assert read([], BATCH) == ([], True)


def test_one_wrong_event_refuses_the_batch():
    bad = {**EVENT, "specversion": "0.3"}
    assert "item 2" in str(refused([EVENT, EVENT, bad], BATCH))
    assert "$[1]" in str(refused([EVENT, {"id": "1"}], BATCH))
    assert "array" in str(refused(EVENT, BATCH))


def test_a_batch_is_bounded():
    assert len(read([EVENT] * EVENTS_MAX, BATCH)[0]) == EVENTS_MAX
    error = refused([EVENT] * (EVENTS_MAX + 1), BATCH)
    assert (error.status, error.reason) == (413, "too_many_events")


@pytest.mark.parametrize("item", [b"1", b"{}", b"[]"])
def test_a_batch_of_many_small_things_ends_at_the_first(item):
    body = b"[" + b",".join([item] * 300_000) + b"]"
    assert "$[0]" in str(refused(body, BATCH))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%f0%9f%98%80", "Euro € 😀"),
        ('"quoted \\" and \\\\"', 'quoted " and \\'),
        ('" %25 "', " % "),
        ("%2541", "%41"),
        (" padded ", "padded"),
        ("", ""),
        ('"', '"'),
    ],
)
def test_attributes_in_headers(value, text):
    assert decode_attribute(value) == text


@pytest.mark.parametrize("value", ["%", "%4", "%zz", "100%", "%ff", "%e2%82", "\xff"])
def test_attributes_nobody_could_have_encoded(value):
    with pytest.raises(ValueError):
        decode_attribute(value)


@given(st.text(st.characters(codec="utf-8")))
def test_attributes_round_trip(text):
    def encoded(character):
        if "!" <= character <= "~" and character not in '"%':
            return character
        return "".join(f"%{byte:02X}" for byte in character.encode())

    assert decode_attribute("".join(map(encoded, text))) == text


def test_consent():
    assert dict(consent("a.example", (), None)) == {
        "webhook-allowed-origin": "*",
        "webhook-allowed-rate": "*",
    }
    assert dict(consent("A.example", ("a.Example",), 120)) == {
        "webhook-allowed-origin": "A.example",
        "webhook-allowed-rate": "120",
    }
    assert consent("b.example", ("a.example",), 120) == ()
    assert consent("", (), None) == ()
