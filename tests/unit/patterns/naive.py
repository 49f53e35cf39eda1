"""A matcher that is slow, short and written from the contract alone
(`docs/contracts/bus-http-and-schedules.md` 1.5), to compare the real one with.

JSON values here: `Obj` (pairs in order, keys may repeat), list, str, `Num` (as spelled), True,
False, None.
"""

import itertools
import json
from decimal import Decimal


class Obj(list):
    """An object: pairs of key and value."""


class Num(str):
    """A number as it is spelled."""

    __slots__ = ()


def to_text(value):
    if isinstance(value, Obj):
        return "{" + ",".join(f"{json.dumps(k)}:{to_text(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_text, value)) + "]"
    return str(value) if isinstance(value, Num) else json.dumps(value)


def leaves(value, path=(), places=None, counter=None):
    """(path, scalar, {array: index}) of every leaf."""
    places, counter = places or {}, counter or itertools.count()
    if isinstance(value, Obj):
        for key, item in value:
            yield from leaves(item, (*path, key), places, counter)
    elif isinstance(value, list):
        array = next(counter)
        for index, item in enumerate(value):
            yield from leaves(item, path, {**places, array: index}, counter)
    else:
        yield ".".join(path), value, places


def rules(pattern):
    """A list of {path: tests}, one per combination of branches."""
    return _fields(pattern, [{}], ())


def _fields(pattern, found, path):
    for key, value in pattern:
        if key == "$or":
            found = [
                rule
                for branch in value
                for rule in _fields(branch, [dict(one) for one in found], path)
            ]
        elif isinstance(value, Obj):
            found = _fields(value, found, (*path, key))
        else:
            for rule in found:
                rule[".".join((*path, key))] = value
    return found


def matches(pattern, event):
    event_leaves = list(leaves(event))
    return any(_rule_matches(rule, event_leaves) for rule in rules(pattern))


def _rule_matches(rule, event_leaves):
    choices = []
    for path, tests in rule.items():
        here = [(value, places) for at, value, places in event_leaves if at == path]
        good = [places for value, places in here if any(passes(test, value) for test in tests)]
        if not here and any(is_absent(test) for test in tests):
            good = [{}]
        choices.append(good)
    return any(
        all(
            first[array] == second[array]
            for first, second in itertools.combinations(chosen, 2)
            for array in first.keys() & second.keys()
        )
        for chosen in itertools.product(*choices)
    )


def is_absent(test):
    return isinstance(test, Obj) and test == [("exists", False)]


def comparable(number):
    double = float(number)
    if double in (float("inf"), float("-inf")):
        return None
    return double if Decimal(repr(double)) == Decimal(number) else None


def same(wanted, value):
    if isinstance(wanted, Num) != isinstance(value, Num):
        return False
    if isinstance(wanted, Num):
        if comparable(wanted) is None or comparable(value) is None:
            return str(wanted) == str(value)
        return comparable(wanted) == comparable(value)
    return type(wanted) is type(value) and wanted == value


def spells_ipv4(text):
    parts = text.split(".")
    if len(parts) == 4 and len(text) < 16 and all(p.isascii() and p.isdigit() for p in parts):
        numbers = [int(part) for part in parts]
        if max(numbers) < 256:
            return numbers
    return None


def passes(test, value):
    if not isinstance(test, Obj):
        if isinstance(test, str) and type(value) is str and spells_ipv4(test):
            return spells_ipv4(value) == spells_ipv4(test)
        return same(test, value)
    [(operator, operand)] = test
    is_text = type(value) is str
    match operator:
        case "exactly":
            return same(operand, value)
        case "exists":
            return operand
        case "anything-but":
            if isinstance(operand, Obj):
                [(inner, texts)] = operand
                texts = texts if isinstance(texts, list) else [texts]
                return not any(passes(Obj([(inner, text)]), value) for text in texts)
            unwanted = operand if isinstance(operand, list) else [operand]
            return not any(same(one, value) for one in unwanted)
        case "numeric":
            return isinstance(value, Num) and in_range(operand, value)
        case "cidr":
            return is_text and in_network(operand, value)
        case "prefix":
            if isinstance(operand, Obj):
                return is_text and any(rest is not None for rest in folded(operand[0][1], value))
            return is_text and value[: len(operand)] == operand
        case "suffix":
            if isinstance(operand, Obj):
                return is_text and any(
                    "" in folded(operand[0][1], value[at:]) for at in range(len(value) + 1)
                )
            return is_text and value[len(value) - len(operand) :] == operand
        case "equals-ignore-case":
            return is_text and "" in folded(operand, value)
        case "wildcard":
            return is_text and wild(operand, value)
    raise AssertionError(operator)


def in_range(operand, value):
    number = comparable(value)
    if number is None:
        return False
    told = {
        "=": lambda n: number == n,
        "<": lambda n: number < n,
        "<=": lambda n: number <= n,
        ">": lambda n: number > n,
        ">=": lambda n: number >= n,
    }
    return all(told[operand[at]](float(operand[at + 1])) for at in range(0, len(operand), 2))


def in_network(operand, value):
    block, bits = operand.split("/")
    one, other = spells_ipv4(block), spells_ipv4(value)
    if other is None:
        return False
    first, second = ("".join(f"{n:08b}" for n in numbers) for numbers in (one, other))
    return first[: int(bits)] == second[: int(bits)]


def folded(text, value):
    """What can be left of a string after the text, each character in either case."""
    if not text:
        return {value}
    left = set()
    for case in {text[0].lower(), text[0].upper()}:
        if value[: len(case)] == case:
            left |= folded(text[1:], value[len(case) :])
    return left


def wild(text, value):
    if not text:
        return not value
    if text[0] == "*":
        return any(wild(text[1:], value[at:]) for at in range(len(value) + 1))
    if text[0] == "\\":
        return value[:1] == text[1] and wild(text[2:], value[1:])
    return value[:1] == text[0] and wild(text[1:], value[1:])
