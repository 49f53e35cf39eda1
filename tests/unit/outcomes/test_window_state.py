"""P30: the reply of a tumbling window must hold an object `state`; it is kept byte for byte."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.outcomes.interpret import INVALID_RESPONSE, interpret
from router.outcomes.window_state import MISSING_STATE, STATE_TOO_LARGE, state_of
from tests.unit.mapping.play import record, spec_of

BATCH = (record(7), record(8), record(9))
REPORTING = spec_of(is_reporting_failures=True)


def judged(reply: bytes, spec=REPORTING, error_type=None, state_bytes_max=1_000):
    return interpret(reply, error_type, spec, BATCH, state_bytes_max=state_bytes_max)


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (b'{"state":{}}', b"{}"),
        (b' {"x": [1], "state" : { "a" : 1.10 } , "y": null} ', b'{ "a" : 1.10 }'),
        (b'{"st\\u0061te":{"a":1}}', b'{"a":1}'),
        (b'{"state":{"a":1},"state":{"b":2}}', b'{"b":2}'),
        (b'{"state":{"n":' + b"9" * 5000 + b"}}", b'{"n":' + b"9" * 5000 + b"}"),
        ('{"state":{"ä":"☃"}}'.encode(), '{"ä":"☃"}'.encode()),
    ],
)
def test_the_state_is_kept_byte_for_byte(reply, state):
    assert state_of(reply) == state


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"null", b"{}", b'""', b"[]", b"7", b"true", b"nonsense", b'{"state":{}} x',
        b'{"batchItemFailures":[]}', b'{"State":{}}', b'{"state":null}', b'{"state":[]}',
        b'{"state":"{}"}', b'{"state":1}', b'[{"state":{}}]', b'{"state":{"a":NaN}}',
        b'{"state":{"a":Infinity}}', b'{"state":{"a":"\xff"}}', b'{"state":{"a":1}',
        b'{"state":' + b'{"a":' * 100_000 + b"}" * 100_001,
    ],
)  # fmt: skip
def test_p30_a_reply_without_an_object_state_is_a_function_error(reply):
    assert judged(reply) == MISSING_STATE
    assert judged(reply, spec_of()) == MISSING_STATE
    assert not MISSING_STATE.is_invalid_response  # it bisects like an exception
    assert '"state"' in MISSING_STATE.reason


def test_what_python_writes_beside_a_good_state_does_not_spoil_it():
    assert judged(b'{"state":{"a":1},"note":NaN}') == Succeeded(b'{"a": 1}')
    half = json.dumps({"state": {"a": "\ud800"}}).encode()
    assert json.loads(state_of(half)) == {"a": "\ud800"}


def test_p12_p31_the_partial_response_rules_hold_beside_the_state():
    for failures in (b"", b',"batchItemFailures":[]', b',"batchItemFailures":null'):
        assert judged(b'{"state":{"a":1}' + failures + b"}") == Succeeded(b'{"a":1}')
    tail = b'{"state":{"a":1},"batchItemFailures":[{"itemIdentifier":"8"}]}'
    assert judged(tail) == PartlySucceeded((1,), b'{"a":1}')
    assert judged(tail, spec_of()) == Succeeded(b'{"a":1}')
    for entry in (b'{"itemIdentifier":"1"}', b'{"itemIdentifier":8}', b'{"itemIdentifier":""}',
                  b'{"itemIdentifier":null}', b"{}", b"null"):  # fmt: skip
        assert judged(b'{"state":{},"batchItemFailures":[' + entry + b"]}") == INVALID_RESPONSE


def test_a_function_error_comes_first():
    assert judged(b'{"state":{}}', error_type="ValueError") == Failed("ValueError")


def test_without_a_window_nobody_asks_for_a_state():
    assert judged(b"null", state_bytes_max=None) == Succeeded()
    assert judged(b'{"state":{}}', state_bytes_max=None) == Succeeded()


def test_a_state_that_no_event_could_carry_is_a_function_error():
    state = b'{"a":"' + b"x" * 92 + b'"}'
    assert judged(b'{"state":' + state + b"}", state_bytes_max=100) == Succeeded(state)
    assert judged(b'{"state":' + state + b"}", state_bytes_max=99) == STATE_TOO_LARGE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=60)
@given(st.dictionaries(st.text(), json_values, max_size=5), st.booleans(), json_values)
def test_any_state_comes_back_as_it_was(state, is_ascii, other):
    reply = json.dumps({"a": other, "state": state}, ensure_ascii=is_ascii)
    found = state_of(reply.encode("utf-8", "surrogatepass"))
    assert found is not None
    assert json.loads(found) == state
