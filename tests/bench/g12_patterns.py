"""G12: what 1,000 rules cost an event, beside asking each rule in turn; and beside 100 rules.

Rules as people write them for an event bus: most name a source and a kind of event, many also a
value, a number, a prefix or what it must not be; one in twenty has nothing exact. Events are about
900 bytes, parsed already for both sides; flattening is part of our time. The baseline compiles its
rules too and gives up at the first field that fails. Both must tell the same.
"""

import json
import os
import random
import statistics
import sys
import time
from typing import Any

from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern

GOAL = 0.12
GOAL_GROWTH = 6.0
RULES, FEW = 1_000, 100
EVENTS = 300
ROUNDS = 7

NAMES = ["orders", "carts", "users", "stock", "bills", "mail", "search", "pages"]
SOURCES = [f"shop.{name}" for name in NAMES]
KINDS = [f"{noun}.{verb}" for noun in ("item", "order", "user") for verb in ("made", "gone", "set")]
STATES = ["open", "paid", "sent", "back", "lost"]
REGIONS = [f"region-{number}" for number in range(20)]


def make_rule(rng: random.Random) -> dict[str, Any]:
    base: dict[str, Any] = {"source": [rng.choice(SOURCES)], "detail-type": [rng.choice(KINDS)]}
    detail: dict[str, Any] = {
        0: {"state": rng.sample(STATES, 2)},
        1: {"amount": [{"numeric": [">", rng.randrange(500), "<=", 500 + rng.randrange(500)]}]},
        2: {"customer": {"region": [rng.choice(REGIONS)]}},
        3: {"state": [{"anything-but": rng.choice(STATES)}]},
        4: {"customer": {"id": [{"prefix": f"c-{rng.randrange(100):02}"}]}},
        5: {"items": {"sku": [f"sku-{rng.randrange(1_000)}"]}},
    }[rng.randrange(6)]
    if rng.random() < 0.05:
        return {
            "source": [{"prefix": rng.choice(SOURCES)[:6]}],
            "detail": {"note": [{"wildcard": f"*{rng.randrange(100)}*"}]},
        }
    return {**base, "detail": detail}


def make_event(rng: random.Random) -> dict[str, Any]:
    return {
        "version": "0",
        "id": f"{rng.getrandbits(64):x}",
        "source": rng.choice(SOURCES),
        "detail-type": rng.choice(KINDS),
        "account": "000000000000",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "state": rng.choice(STATES),
            "amount": rng.randrange(1_000),
            "customer": {"id": f"c-{rng.randrange(10_000):04}", "region": rng.choice(REGIONS)},
            "items": [
                {"sku": f"sku-{rng.randrange(1_000)}", "count": rng.randrange(9), "text": "x" * 40}
                for _item in range(6)
            ],
            "note": f"note {rng.randrange(1_000)} " + "x" * 100,
        },
    }


def naive(pattern: dict[str, Any]):
    """A compiled rule: a function of an event, keys checked in the order they are written."""
    fields = [
        (key, naive(value) if isinstance(value, dict) else leaf(value))
        for key, value in pattern.items()
    ]

    def matches(value: Any) -> bool:
        if isinstance(value, list):
            return any(matches(item) for item in value)
        if not isinstance(value, dict):
            return False
        return all(key in value and check(value[key]) for key, check in fields)

    return matches


def leaf(tests: list[Any]):
    equal = {test for test in tests if isinstance(test, str)}
    checks = [operator(*next(iter(test.items()))) for test in tests if isinstance(test, dict)]

    def matches(value: Any) -> bool:
        if isinstance(value, list):
            return any(matches(item) for item in value)
        return value in equal or any(check(value) for check in checks)

    return matches


def operator(name: str, operand: Any):
    match name:
        case "prefix":
            return lambda value: isinstance(value, str) and value.startswith(operand)
        case "anything-but":
            return lambda value: value != operand
        case "wildcard":
            text = operand.strip("*")
            return lambda value: isinstance(value, str) and text in value
        case "numeric":
            _above, low, _below, high = operand
            return lambda value: isinstance(value, int | float) and low < value <= high
    raise AssertionError(name)


def index_of(rules: list[dict[str, Any]]) -> PatternIndex[int]:
    return PatternIndex(
        (number, parse_pattern(json.dumps(rule)).rules) for number, rule in enumerate(rules)
    )


def timed(ask, events: list[dict[str, Any]]) -> float:
    """CPU microseconds per event."""
    began = time.process_time()
    for event in events:
        ask(event)
    return (time.process_time() - began) / len(events) * 1e6


def run(*, is_quick: bool = False) -> dict[str, Any]:
    rng = random.Random(12)
    rules = [make_rule(rng) for _rule in range(RULES)]
    events = [make_event(rng) for _event in range(20 if is_quick else EVENTS)]
    many, few = index_of(rules), index_of(rules[:FEW])
    each = list(enumerate(map(naive, rules)))

    def one_by_one(event: dict[str, Any]) -> set[int]:
        return {number for number, matches in each if matches(event)}

    matched = 0
    for event in events:
        wanted = one_by_one(event)
        assert many.match(event) == wanted
        matched += len(wanted)
    costs: dict[str, list[float]] = {"index": [], "few": [], "naive": []}
    contenders = {"index": many.match, "few": few.match, "naive": one_by_one}
    for _round in range(2 if is_quick else ROUNDS):
        for name, ask in contenders.items():
            costs[name].append(timed(ask, events))
    us = {name: statistics.median(found) for name, found in costs.items()}
    best = {name: min(found) for name, found in costs.items()}
    shared = {
        "is_steady": max(costs["naive"]) <= 2 * min(costs["naive"]),
        "us_per_event": {name: round(cost, 1) for name, cost in us.items()},
        "matches_per_event": round(matched / len(events), 1),
        "cores": os.cpu_count(),
    }
    return {
        "G12": _result(us["index"] / us["naive"], best["index"] / best["naive"], GOAL) | shared,
        "G12_growth": _result(us["index"] / us["few"], best["index"] / best["few"], GOAL_GROWTH)
        | shared,
    }


def _result(ratio: float, best: float, goal: float) -> dict[str, Any]:
    return {
        "ratio": round(ratio, 3),
        "goal": goal,
        "ok": ratio <= goal,
        "ratio_best": round(best, 3),
        "ok_best": best <= goal,
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
