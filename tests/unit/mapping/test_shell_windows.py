"""What the shell says of windows: log lines, results, metrics, with records and without."""

import pytest
from structlog.testing import capture_logs

from router.mapping import engine as e
from router.model.outcome import Failed, NotRun, Succeeded
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.model.window import InvokeWindow, Window
from router.outcomes.window_state import MISSING_STATE
from router.telemetry import metrics
from tests.unit.mapping.test_shell import RECORD, World

RECORDS = e.Invoke(2, "s", 0, (RECORD,), 1, InvokeWindow(0, 60_000, b"{}"))
FINAL = e.Invoke(2, "s", 0, (), 1, InvokeWindow(0, 60_000, b"{}", is_final=True))
EARLY = e.Invoke(2, "s", 0, (), 1, InvokeWindow(0, 60_000, b"{}", is_terminated_early=True))


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.shell.stop()


def count(event: str) -> float:
    labels = {"mapping": "shell-test", "event": event}
    return metrics.REGISTRY.get_sample_value("router_mapping_windows_total", labels) or 0


def value(name: str, **labels: str) -> float:
    labels["mapping"] = "shell-test"
    return metrics.REGISTRY.get_sample_value(f"router_mapping_{name}", labels) or 0


def step(position: int, start_ms: int, state: bytes | None) -> e.SaveProgress:
    window = Window(start_ms, start_ms + 60_000, state)
    lane = LaneProgress(0, position, None, window)
    return e.SaveProgress(3, ProgressUpdate(shard="s", position=position, factor=1, lane=lane))


@pytest.mark.parametrize(("command", "call"), [(FINAL, "final"), (EARLY, "terminated_early")])
async def test_a_call_of_the_window_itself_is_told_and_counted_as_such(world, command, call):
    world.shell.last_result = "before"
    before = {name: value(name) for name in ("records_invoked_total", "batch_records_count")}
    calls = count(call)
    with capture_logs() as lines:
        assert await world.do(command) == [e.InvocationFinished(2, Succeeded())]
    (line,) = [line for line in lines if line["event"] == "window_called"]
    assert (line["call"], line["records"], line["log_level"]) == (call, 0, "info")
    assert line["window"] == {"start_ms": 0, "end_ms": 60_000}
    assert count(call) == calls + 1
    assert world.shell.last_result == "OK"
    assert before == {name: value(name) for name in before}, "no records, no batch"


async def test_p30_a_reply_without_state_is_told_to_the_user_in_words(world):
    world.interpret = lambda *_: MISSING_STATE
    for command in (RECORDS, FINAL):
        with capture_logs() as lines:
            assert await world.do(command) == [e.InvocationFinished(2, MISSING_STATE)]
        (line,) = [line for line in lines if line["event"] == "batch_failed"]
        assert line["error"] == MISSING_STATE.reason
        assert world.shell.last_result == (
            "PROBLEM: Function call failed: the reply of a tumbling window must be a JSON object "
            'with an object "state"'
        )
    finals = count("final")
    world.interpret = lambda *_: Failed("ValueError")
    await world.do(FINAL)
    assert world.shell.last_result == "PROBLEM: Function call failed"
    world.interpret = lambda *_: NotRun("throttled")
    await world.do(FINAL)
    assert count("final") == finals


async def test_a_window_is_counted_when_it_opens_and_not_again_after_a_restart(world):
    opened = count("opened")
    await world.do(step(1, 0, b"{}"), step(2, 0, b'{"a":1}'), step(2, 0, None))
    assert count("opened") == opened + 1
    await world.do(step(3, 60_000, b"{}"))
    assert count("opened") == opened + 2
    again = World()
    lane = LaneProgress(0, 3, None, Window(60_000, 120_000, b"{}"))
    again.shell.start([e.ShardOpened("s", ShardProgress(3, 1, (lane,)))])
    await again.do(step(4, 60_000, b"{}"))
    assert count("opened") == opened + 2
    await again.shell.stop()
