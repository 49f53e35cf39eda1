"""Rows: trouble first, found by words, a page at a time."""

import time

from router.ops import rows as r
from router.ops.trouble import Level
from tests.unit.ops import made


def names(rows):
    return [row.facts.name for row in rows]


def test_trouble_comes_first_then_names():
    board = made.boarded(
        made.snapshot(
            [
                made.mapping("b"),
                made.mapping("A"),
                made.mapping("off", is_enabled=False),
                made.mapping("warns", result="PROBLEM: x"),
                made.mapping("old", result="PROBLEM: x", oldest_ms=made.WALL_MS - 9_000),
                made.mapping("broken", is_orphan=True),
                made.mapping("noted", is_enabled=False, lag=3),
            ]
        )
    )
    assert names(board.mappings) == ["broken", "old", "warns", "noted", "A", "b", "off"]
    assert board.mappings[0].why.startswith("function worker")
    assert board.mappings[-1].level is Level.OFF
    assert r.troubled(board.mappings) == 3
    assert r.troubled(board.mappings, Level.NOTE) == 4


def test_rates_and_sums():
    history = made.past()
    feed = made.mapping(invoked=100.0, failed=10.0, lag=5)
    work = made.function(ok=50.0, errors=5.0, durations=(0, 50, 5, 0, 0))
    hook = made.webhook(accepted=80.0, duplicates=20.0, refused={"x": 1.0}, durations=(9, 0, 0))
    made.ticked(history, made.snapshot([feed], [work], [hook], at_s=10))
    feed = made.mapping(invoked=200.0, failed=20.0, lag=7, oldest_ms=made.WALL_MS)
    work = made.function(ok=90.0, errors=15.0, durations=(0, 50, 95, 0, 0))
    hook = made.webhook(accepted=100.0, duplicates=20.0, refused={"x": 1.0})
    board = made.boarded(made.snapshot([feed], [work], [hook], at_s=20), history)
    assert board.mappings[0].per_s == 9
    assert board.mappings[0].failed == 20
    assert board.functions[0].per_s == 5
    assert 10 < board.functions[0].p50_ms < 100
    assert board.functions[0].failed == 15
    assert board.webhooks[0].per_s == 2
    total = board.total
    assert (total.accepted, total.accepted_per_s) == (120, 2)
    assert (total.handled, total.handled_per_s) == (180, 9)
    assert (total.failed_minute, total.lag, total.oldest_ms) == (20, 7, made.WALL_MS)


def test_pages_and_words():
    board = made.boarded(made.snapshot([made.mapping(f"feed-{n:03}") for n in range(250)]))

    def found(query, number):
        return r.page(
            board.mappings, lambda facts: f"{facts.name} {facts.kind}", query, number, 100
        )

    assert names(found("", 1).rows) == [f"feed-{n:03}" for n in range(100)]
    last = found("", 3)
    assert (last.first, len(last.rows), last.total, last.of) == (200, 50, 250, 250)
    assert found("", 99).first == 200
    one = found("FEED-017 sqs", 1)
    assert (names(one.rows), one.total, one.of) == (["feed-017"], 1, 250)
    none = found("nothing", 2)
    assert (none.first, none.total, list(none.rows)) == (0, 0, [])


def test_what_needs_attention_is_the_worst_of_all_kinds():
    board = made.boarded(
        made.snapshot(
            [made.mapping(f"m{n}", is_orphan=True) for n in range(9)],
            [made.function(problem="not started: x"), made.function("noted", problem="y")],
            [made.webhook(refused={"x": 1.0})],
            [made.destination(trouble="away", waiting=1)],
            running=10,
        )
    )
    found = r.attention(board, 4)
    kinds = [(kind, why.level) for kind, _id, _name, why in found]
    assert kinds == [
        *[("mapping", Level.BAD)] * 4,
        ("function", Level.BAD),
        ("destination", Level.BAD),
        ("router", Level.WARN),
        ("webhook", Level.WARN),
    ]


def test_ten_thousand_mappings_hold_nobody_up_for_long():
    facts = [
        made.mapping(f"m{n}", invoked=float(n), lag=n, oldest_ms=made.WALL_MS)
        for n in range(10_000)
    ]
    work = made.snapshot(facts, at_s=10)
    slices = []
    for steps in (r.tick(work, made.past()), r.board(work, made.past())):
        began_s = time.thread_time()
        for _ in steps:
            slices.append(time.thread_time() - began_s)
            began_s = time.thread_time()
    assert len(slices) > 300
    # Nearly all are a millisecond; three sort or add up all there are, once in each snapshot.
    assert sorted(slices)[-20] < 0.05
