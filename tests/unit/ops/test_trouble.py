"""Trouble, and its reason in a line."""

import pytest

from router.ops import trouble
from router.ops.facts import LaneFacts, Notice
from router.ops.trouble import Level
from tests.unit.ops import made


def of_mapping(history=None, at_s=0.0, **more):
    facts = made.mapping(**more)
    return [
        (reason.level, reason.text)
        for reason in trouble.of_mapping(
            facts, history or made.past(), made.snapshot([facts], at_s=at_s)
        )
    ]


def lane(attempts, rest_ms=0):
    return LaneFacts("shard-1:0", "waiting", 10, attempts, rest_ms, made.WALL_MS)


def test_a_mapping_without_trouble_has_no_reason():
    assert of_mapping() == []
    assert of_mapping(lag=10_000, oldest_ms=made.WALL_MS - 10_000) == []
    assert of_mapping(is_enabled=False, lag=0, result="PROBLEM: old", trouble="away") == []


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        ({"is_enabled": False, "lag": 1}, Level.NOTE, "switched off; 1 record waits"),
        ({"is_orphan": True}, Level.BAD, "function worker does not exist: its records wait"),
        ({"trouble": "cannot receive: no such queue"}, Level.BAD, "cannot receive: no such queue"),
        (
            {"result": "PROBLEM: Function call failed"},
            Level.WARN,
            "the last batch failed: Function call failed",
        ),
        (
            {"result": "PROBLEM: x", "last_error": "card", "last_error_ms": made.WALL_MS - 5_000},
            Level.WARN,
            "the last batch failed (5 s ago): card",
        ),
        ({"stuck": lane(1)}, Level.WARN, "lane shard-1:0 failed once"),
        (
            {"stuck": lane(3, 11_200), "stuck_lanes": 3, "last_error": "ValueError"},
            Level.BAD,
            (
                "lane shard-1:0 failed 3 times in a row, next try in 12 s; 2 other lanes too: "
                "ValueError"
            ),
        ),
        (
            {"oldest_ms": made.WALL_MS - 400_000},
            Level.WARN,
            "its oldest record has waited 6 min 40 s",
        ),
        ({"dropped": 2.0, "discarded": 2.0}, Level.BAD,
         "2 records given up in ten minutes that no destination took"),
        ({"discarded": 1.0}, Level.WARN, "1 record given up in ten minutes"),
        ({"not_run": 1.0}, Level.WARN, "1 batch found no free concurrency in a minute"),
    ],
)  # fmt: skip
def test_reasons_of_mappings(facts, level, text):
    assert of_mapping(**facts) == [(level, text)]


def test_a_lag_that_grows_is_told_before_it_is_old():
    history = made.past()
    for number in range(1, 31):
        at_s = number * 10
        made.ticked(history, made.snapshot([made.mapping(lag=100 * number)], at_s=at_s))
    assert of_mapping(history, 300, lag=3_000) == [
        (Level.WARN, "falls behind: 1,700 records more than three minutes ago")
    ]
    assert of_mapping(history, 300, lag=1_310) == []  # it fell meanwhile
    steady = made.past()
    for number in range(1, 31):
        made.ticked(steady, made.snapshot([made.mapping(lag=50_000)], at_s=number * 10))
    assert of_mapping(steady, 300, lag=50_900) == []  # large, but no fifth more


def test_the_worst_comes_first():
    levels = [level for level, _ in of_mapping(stuck=lane(1), dropped=1.0, discarded=1.0)]
    assert levels == [Level.BAD, Level.WARN]
    assert trouble.worst([]) is Level.WELL
    assert trouble.worst([], Level.OFF) is Level.OFF


def of_function(**more):
    return [(it.level, it.text) for it in trouble.of_function(made.function(**more), made.past())]


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        ({"errors": 1.0, "ok": 9.0, "problem": "KeyError"}, Level.WARN,
         "1 of 10 invocations failed in a minute: KeyError"),
        ({"timeouts": 5.0, "crashes": 1.0, "ok": 6.0}, Level.BAD,
         "6 of 12 invocations failed in a minute"),
        ({"problem": "not started: no module"}, Level.BAD, "not started: no module"),
        ({"problem": "KeyError"}, Level.NOTE, "its last invocation failed: KeyError"),
        ({"throttles": 2.0}, Level.WARN, "2 invocations found no free concurrency in a minute"),
        ({"dropped": 1.0}, Level.WARN, "1 asynchronous event given up in ten minutes"),
        ({"reserved": 0}, Level.NOTE, "switched off: it has a reserved concurrency of 0"),
    ],
)  # fmt: skip
def test_reasons_of_functions(facts, level, text):
    assert of_function(**facts) == [(level, text)]
    assert of_function(ok=100.0) == []


def test_reasons_of_webhooks():
    def of(**more):
        return [(it.level, it.text) for it in trouble.of_webhook(made.webhook(**more), made.past())]

    assert of(accepted=9.0, duplicates=3.0) == []
    assert of(problem="no secret") == [(Level.BAD, "refuses everything: no secret")]
    assert of(accepted=8.0, refused={"bad_signature": 2.0}) == [
        (Level.WARN, "2 of 10 requests refused in a minute, mostly: bad signature")
    ]
    assert of(refused={"x": 1.0, "too_large": 4.0}) == [
        (Level.BAD, "5 of 5 requests refused in a minute, mostly: too large")
    ]
    assert of(expired=1.0) == [
        (Level.BAD, "1 record aged out in ten minutes before they were handled")
    ]


def test_reasons_of_destinations():
    def of(**more):
        found = trouble.of_destination(made.destination(**more), made.WALL_MS)
        return [(it.level, it.text) for it in found]

    assert of(waiting=3, oldest_ms=made.WALL_MS - 1_000) == []
    assert of(waiting=1, oldest_ms=made.WALL_MS - 61_000) == [
        (Level.WARN, "its oldest record has waited 1 min 1 s")
    ]
    assert of(waiting=2, trouble="unreachable: refused", since_ms=made.WALL_MS) == [
        (Level.BAD, "unreachable: refused; nothing delivered since 08:00:00, 2 records wait")
    ]
    assert of(kept=1) == [(Level.NOTE, "1 message lies here for somebody to look at")]
    assert of(kept=1, is_read=True) == []


def test_reasons_of_the_router():
    def of(**more):
        return [(it.level, it.text) for it in trouble.of_router(made.router(**more))]

    assert of() == []
    assert of(notices=(Notice("template", "line 3: bad", is_bad=False),)) == [
        (Level.WARN, "template: line 3: bad")
    ]
    assert of(running=10, held_bytes=97, held_bytes_max=100, free_bytes=5) == [
        (Level.WARN, "mappings hold 97 B, all they may: they read more slowly"),
        (Level.WARN, "all 10 slots for invocations are taken"),
        (Level.WARN, "5 B left on the store's disk"),
    ]
