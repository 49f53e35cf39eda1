"""Tapes of engines: nothing secret in them, bounded, and the same decisions when asked again."""

import orjson
import pytest

from router.mapping import engine as e
from router.mapping import tape
from router.mapping.lanes import lane_of
from router.mapping.tape import stand_in
from router.mapping.trace import TracedEngine, TraceError, replay
from router.model.outcome import Failed, Succeeded
from router.model.progress import ShardProgress
from router.model.record import Record
from tests.unit.mapping.play import WALL_MS, spec_of

SECRET = "s3cr3t"


def recorded(**settings: object) -> TracedEngine:
    """A short life: two records, a failure, a success, a settings change."""
    spec = spec_of(filters=(f'{{"body":["{SECRET}"]}}',), **settings)
    engine = TracedEngine(spec, None, b"salt")
    state = b'{"total":"%b"}' % SECRET.encode()

    def tell(event: e.Event, now_ms: int) -> list[e.Command]:
        return engine.handle(event, now_ms, WALL_MS + now_ms)

    fetch = tell(e.ShardOpened("shard-0", ShardProgress(0)), 0)[0]
    data = b'"body":"%b"}' % SECRET.encode()
    records = tuple(Record(p, f"{SECRET}-{p}", WALL_MS, 100, data, SECRET) for p in (1, 2))
    said = tell(e.RecordsFetched(fetch.command_id, records, 2), 1)
    invoke = next(command for command in said if isinstance(command, e.Invoke))
    save = tell(e.InvocationFinished(invoke.command_id, Failed("ValueError")), 20)[-1]
    tell(e.ProgressStored(save.command_id), 21)
    due_ms = engine.next_wakeup_ms()
    assert due_ms is not None
    invoke = tell(e.Tick(), due_ms)[-1]
    tell(e.InvocationFinished(invoke.command_id, Succeeded(state)), due_ms + 5)
    tell(e.SettingsChanged(spec_of(batch_size=7)), due_ms + 6)
    return engine


@pytest.mark.parametrize("settings", [{}, {"factor": 10}, {"tumbling_window_ms": 60_000}])
def test_a_tape_replays(settings: dict[str, object]) -> None:
    engine = recorded(**settings)
    lines, difference = replay(engine.tape.lines)
    assert difference is None
    assert lines[1:] == engine.tape.lines[1:]


def test_nothing_of_a_record_a_state_or_a_filter_is_on_the_tape() -> None:
    engine = recorded(tumbling_window_ms=60_000, destination_arn=f"arn:{SECRET}")
    assert SECRET not in b"".join(engine.tape.lines).decode()


def test_a_stand_in_has_the_lanes_of_its_key() -> None:
    for key in ("", "a", "repository/α", "x" * 256):
        for factor in range(1, 11):
            assert lane_of(stand_in(key), factor) == lane_of(key, factor)


def test_another_decision_is_told_with_its_line() -> None:
    lines = recorded().tape.lines
    step = orjson.loads(lines[2])
    step["commands"][-1]["attempt"] = 9
    _, difference = replay([*lines[:2], orjson.dumps(step), *lines[3:]])
    assert difference is not None
    assert difference.line == 3
    assert "- Invoke(" in str(difference)
    assert "attempt=9" in str(difference)
    assert "+ Invoke(" in str(difference)


def test_an_event_that_cannot_follow_is_a_difference() -> None:
    lines = recorded().tape.lines
    _, difference = replay([lines[0], *lines[2:]])
    assert difference is not None
    assert "EngineError" in str(difference)


def test_a_full_tape_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "TAPE_BYTES_MAX", 2_000)
    engine = recorded()
    assert engine.tape.is_cut
    assert sum(len(line) + 1 for line in engine.tape.lines) <= 2_000


def test_a_stopped_tape_takes_nothing_down() -> None:
    engine = recorded()
    before = len(engine.tape.lines)
    engine.tape.is_on = False
    engine.handle(e.DrainRequested(), 10_000_000, WALL_MS)
    assert len(engine.tape.lines) == before


@pytest.mark.parametrize("text", [b"", b'{"version":99}', b'{"a":1}'])
def test_what_is_no_trace_is_refused(text: bytes) -> None:
    with pytest.raises(TraceError, match="no trace"):
        replay([text])


def test_an_unknown_event_is_refused() -> None:
    lines = recorded().tape.lines
    with pytest.raises(TraceError, match="nobody knows"):
        replay([lines[0], b'{"now":0,"wall":0,"event":{"is":"Magic"},"commands":[]}'])
