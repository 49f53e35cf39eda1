"""Tapes of queues' engines, and of more lanes than AWS gives: nothing secret, the same again."""

import random

import orjson
import pytest

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.lanes import lane_of
from router.mapping.tape import stand_in
from router.mapping.trace import TracedEngine, TracedQueueEngine, TraceError, replay
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.progress import ShardProgress
from router.model.record import Record
from router.model.resources import SourceAccess
from router.model.source_kind import SourceKind
from tests.unit.mapping.play import WALL_MS
from tests.unit.mapping.play import spec_of as stream_spec
from tests.unit.mapping.queue_play import spec_of

SECRET = "s3cr3t"
SLOTS = 5


def a_message(number: int, *, fifo: bool, until_ms: int) -> q.Message:
    return q.Message(
        number,
        f"{SECRET}-group-{number % 3}" if fifo else "",
        WALL_MS,
        100,
        SECRET.encode(),
        f"{SECRET}-id-{number % 40}",
        receipt=f"{SECRET}-receipt-{number}",
        until_ms=until_ms,
    )


def answer(command: q.Command, draw: random.Random, now_ms: int, *, fifo: bool) -> q.Event:
    """Whatever a queue and a function may say."""
    match command:
        case q.Receive(command_id, messages_max):
            if draw.random() < 0.2:
                return q.ReceiveFailed(command_id, "down")
            names = [draw.randrange(1_000) for _ in range(draw.randrange(messages_max + 1))]
            found = tuple(
                a_message(name, fifo=fifo, until_ms=now_ms + draw.randrange(1, 3_000))
                for name in dict.fromkeys(names)
            )
            gone = (q.Receipt(f"{SECRET}-x", f"{SECRET}-y", now_ms + 5_000),)
            return q.MessagesReceived(command_id, found, gone if draw.random() < 0.3 else ())
        case q.Invoke(command_id, messages):
            outcomes = (Succeeded(), Failed("ValueError"), NotRun("throttled"),
                        PartlySucceeded((len(messages) - 1,)))  # fmt: skip
            return q.InvocationFinished(command_id, draw.choice(outcomes))
        case q.Delete(command_id, receipts):
            if draw.random() < 0.2:
                return q.DeleteFailed(command_id, "down")
            return q.MessagesDeleted(
                command_id, (0,) if draw.random() < 0.2 else ()[: len(receipts)]
            )


def recorded(seed: int, *, fifo: bool) -> TracedQueueEngine:
    """Three hundred steps of a queue's life."""
    draw = random.Random(seed)
    spec = spec_of(fifo=fifo, filters=(SECRET,), window_ms=0 if fifo else 50)
    engine = TracedQueueEngine(spec, SLOTS, b"salt")
    waiting = engine.handle(q.QueueOpened(), 0, WALL_MS)
    now_ms = 0
    for _ in range(300):
        now_ms += draw.randrange(60)
        event: q.Event = e.Tick()
        if waiting and draw.random() < 0.8:
            command = waiting.pop(draw.randrange(len(waiting)))
            if isinstance(command, q.Invoke):
                started = q.InvocationStarted(command.command_id)
                waiting += engine.handle(started, now_ms, WALL_MS + now_ms)
            event = answer(command, draw, now_ms, fifo=fifo)
        waiting += engine.handle(event, now_ms, WALL_MS + now_ms)
    engine.handle(e.DrainRequested(), now_ms, WALL_MS + now_ms)
    return engine


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_queues_tape_replays(seed: int, *, fifo: bool) -> None:
    engine = recorded(seed, fifo=fifo)
    assert b'"is":"Delete"' in b"".join(engine.tape.lines)
    lines, difference = replay(engine.tape.lines)
    assert difference is None, str(difference)
    assert lines[1:] == engine.tape.lines[1:]


@pytest.mark.parametrize("fifo", [False, True])
def test_nothing_of_a_message_is_on_the_tape(*, fifo: bool) -> None:
    text = b"".join(recorded(1, fifo=fifo).tape.lines).decode()
    assert SECRET not in text
    assert "arn:" not in text


def test_another_decision_about_a_queue_is_told() -> None:
    lines = recorded(1, fifo=False).tape.lines
    number, step = next(
        (number, step)
        for number, step in enumerate(map(orjson.loads, lines))
        if any(it["is"] == "Invoke" for it in step.get("commands", ()))
    )
    step["commands"] = []
    _, difference = replay([*lines[:number], orjson.dumps(step), *lines[number + 1 :]])
    assert difference is not None
    assert difference.line == number + 1
    assert "+ Invoke(" in str(difference)


def test_a_streams_event_is_none_of_a_queue() -> None:
    head = recorded(1, fifo=False).tape.lines[0]
    with pytest.raises(TraceError, match="nobody knows"):
        replay([head, b'{"now":0,"wall":0,"event":{"is":"ShardOpened"},"commands":[]}'])


def kafka_engine(factor: int) -> TracedEngine:
    """A partition of which two hundred keys were read."""
    spec = stream_spec(
        factor=factor,
        kind=SourceKind.KAFKA,
        bootstrap_servers=(f"{SECRET}:9092",),
        topics=(SECRET,),
        source_access=(SourceAccess("SASL_SCRAM_512_AUTH", f"arn:{SECRET}"),),
        consumer_group=SECRET,
    )
    engine = TracedEngine(spec, None, b"salt")
    fetch = engine.handle(e.ShardOpened("orders-0", ShardProgress(-1)), 0, WALL_MS)[0]
    records = tuple(Record(p, f"{SECRET}-{p}", WALL_MS, 100, b"") for p in range(200))
    engine.handle(e.RecordsFetched(fetch.command_id, records, 199), 1, WALL_MS)
    return engine


@pytest.mark.parametrize("factor", [11, 64, 1_000])
def test_a_mapping_with_more_lanes_than_aws_gives_replays(factor: int) -> None:
    engine = kafka_engine(factor)
    _, difference = replay(engine.tape.lines)
    assert difference is None, str(difference)
    assert SECRET not in b"".join(engine.tape.lines).decode()
    for key in ("", "a", "x" * 256):
        assert lane_of(stand_in(key, (factor,)), factor) == lane_of(key, factor)


@pytest.mark.parametrize(
    ("before", "after", "is_cut"), [(4, 9, False), (4, 50, True), (50, 4, True), (50, 1, False)]
)
def test_a_tape_ends_where_its_keys_would_change_lanes_unseen(
    before: int, after: int, *, is_cut: bool
) -> None:
    engine = kafka_engine(before)
    engine.handle(e.SettingsChanged(stream_spec(factor=after)), 2, WALL_MS)
    assert engine.tape.is_cut == is_cut
    _, difference = replay(engine.tape.lines)
    assert difference is None
