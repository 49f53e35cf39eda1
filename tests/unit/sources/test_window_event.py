"""The members of a window's event, in AWS's order."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.engine import Invoke
from router.model.function import InvokeReply
from router.model.outcome import Succeeded
from router.model.record import Record
from router.model.window import InvokeWindow, window_frame_bytes
from router.outcomes.window_state import MISSING_STATE, STATE_TOO_LARGE
from router.sources.webhook_event import build_event
from router.sources.webhook_format import WebhookFormat
from router.sources.window_event import window_tail
from tests.unit.mapping.play import record, spec_of

START_MS, END_MS = 1_772_446_440_000, 1_772_446_560_000
SHARD = "shardId-000000000004"
SPEC = spec_of(tumbling_window_ms=120_000)


def test_the_members_come_as_aws_sends_them():
    window = InvokeWindow(START_MS, END_MS, b'{"meter-17": 282}')
    event = json.loads(build_event((), SHARD, window_tail(window, SHARD, SPEC.source_arn)))
    assert list(event.items()) == [
        ("Records", []),
        ("window", {"start": "2026-03-02T10:14:00Z", "end": "2026-03-02T10:16:00Z"}),
        ("state", {"meter-17": 282}),
        ("shardId", SHARD),
        ("eventSourceARN", SPEC.source_arn),
        ("isFinalInvokeForWindow", False),
        ("isWindowTerminatedEarly", False),
    ]


@pytest.mark.parametrize(("is_final", "is_early"), [(True, False), (False, True)])
def test_the_calls_of_a_window_itself(is_final, is_early):
    window = InvokeWindow(START_MS, END_MS, b"{}", is_final, is_early)
    event = json.loads(WebhookFormat().build_event(SPEC, Invoke(1, SHARD, 0, (), 1, window)))
    assert event["Records"] == []
    assert event["isFinalInvokeForWindow"] is is_final
    assert event["isWindowTerminatedEarly"] is is_early


def test_records_come_before_the_window_and_an_ordinary_event_has_none():
    item = record(5)
    fragment = type(item)(5, "k", 1, 100, b'"body":"x"}')
    windowed = Invoke(1, SHARD, 0, (fragment,), 1, InvokeWindow(START_MS, END_MS, b'{"a":1}'))
    ordinary = Invoke(1, SHARD, 0, (fragment,), 1)
    event = json.loads(WebhookFormat().build_event(SPEC, windowed))
    assert [found["sequenceNumber"] for found in event["Records"]] == ["5"]
    assert event["state"] == {"a": 1}
    assert list(json.loads(WebhookFormat().build_event(SPEC, ordinary))) == ["Records"]


@given(
    st.integers(0, 4_000_000_000_000), st.integers(1_000, 900_000), st.booleans(), st.booleans(),
    st.dictionaries(st.text(), st.integers()),
)  # fmt: skip
def test_d11_the_size_of_a_window_is_never_too_small(start_ms, width_ms, final, early, state):
    text = json.dumps(state).encode()
    window = InvokeWindow(start_ms, start_ms + width_ms, text, final, early)
    event = build_event((), SHARD, window_tail(window, SHARD, SPEC.source_arn))
    frame_bytes = window_frame_bytes(SHARD, SPEC.source_arn)
    assert len(event) == frame_bytes + len(text) - final - early


def test_the_reply_is_asked_for_a_state_by_its_call_and_not_by_the_settings_of_the_moment():
    """A window switched off or on while its function ran."""
    windowed = Invoke(1, SHARD, 0, (record(5),), 1, InvokeWindow(START_MS, END_MS, b"{}"))
    ordinary = Invoke(1, SHARD, 0, (record(5),), 1)
    interpret = WebhookFormat().interpret
    assert interpret(spec_of(), windowed, InvokeReply(payload=b"null")) == MISSING_STATE
    assert interpret(SPEC, ordinary, InvokeReply(payload=b"null")) == Succeeded()


def test_a_state_that_fills_the_event_is_kept_and_a_larger_one_is_not():
    windowed = Invoke(1, SHARD, 0, (), 1, InvokeWindow(START_MS, END_MS, b"{}"))
    room = SPEC.event_bytes_max - window_frame_bytes(SHARD, SPEC.source_arn)
    state = b'{"a":"' + b"x" * (room - 8) + b'"}'
    fits = WebhookFormat().interpret(
        SPEC, windowed, InvokeReply(payload=b'{"state":' + state + b"}")
    )
    assert fits == Succeeded(state)
    longer = InvokeReply(payload=b'{"state":' + state[:-2] + b'x"}}')
    assert WebhookFormat().interpret(SPEC, windowed, longer) == STATE_TOO_LARGE


def test_the_handler_of_the_readme_keeps_its_windows(capsys):
    readme = Path(__file__).parents[3].joinpath("README.md").read_text()
    code = readme.partition("### Tumbling windows")[2].partition("```python")[2].partition("```")[0]
    names: dict = {}
    exec(code, names)
    format_ = WebhookFormat()
    fragments = [
        Record(number, key, 1, 100, b'"partitionKey":"%b"}' % key.encode())
        for number, key in enumerate(("a", "b", "a"), 1)
    ]
    state = b"{}"
    for records, is_final in ((fragments[:1], False), (fragments[1:], False), ((), True)):
        window = InvokeWindow(START_MS, END_MS, state, is_final)
        call = Invoke(1, SHARD, 0, tuple(records), 1, window)
        reply = names["handler"](json.loads(format_.build_event(SPEC, call)), None)
        outcome = format_.interpret(SPEC, call, InvokeReply(payload=json.dumps(reply).encode()))
        assert isinstance(outcome, Succeeded)
        state = outcome.state
    assert json.loads(state) == {"a": 2, "b": 1}
    assert "{'a': 2, 'b': 1}" in capsys.readouterr().out
