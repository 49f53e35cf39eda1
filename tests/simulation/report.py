"""What a person sees of simulated runs: a failing seed made small, and what was met."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tests.simulation.kinds import KINDS, is_on, kind_of, kind_of_options, without
from tests.simulation.parts import Parts
from tests.simulation.run import REAL, Result, simulate_seed
from tests.simulation.seeds import MINUTES, SEEDS_PER_SOMETIMES


def failure_text(result: Result, switched_off: Iterable[str] = ()) -> str:
    """Everything needed to look into a failed run, the replay line last."""
    options = result.options
    lines = [
        f"seed {options.seed} failed: {type(result.error).__name__}: {result.error}",
        "options: " + ", ".join(_said(options)),
        f"not needed to fail: {', '.join(switched_off) or '-'}",
        f"the last {len(result.last_steps)} of {result.steps} steps (virtual ms):",
        *result.last_steps,
        f"replay: make sim SEED={options.seed}"
        + (f" MINUTES={options.minutes}" if options.minutes != MINUTES else "")
        + (f" KIND={result.kind}" if kind_of(options.seed).name != result.kind else ""),
    ]
    return "\n".join(lines)


def minimise(result: Result, parts: Parts = REAL) -> tuple[Result, tuple[str, ...]]:
    """Run a failing seed again with options switched off one at a time; keep what still fails."""
    smallest = result
    off: tuple[str, ...] = ()
    seed, minutes = result.options.seed, result.options.minutes
    for switch in kind_of_options(result.options).switches:
        if not is_on(smallest.options, switch):
            continue
        tried = (*off, switch)
        again = simulate_seed(seed, minutes, parts, _switching_off(tried), result.kind)
        if again.error is not None and _kind(again.error) == _kind(result.error):
            smallest, off = again, tried
    return smallest, off


def sometimes_table(results: Iterable[Result]) -> str:
    """How many runs met what a set of runs must meet."""
    rows = [
        (f"{kind}: {name}", count)
        for kind, counts in count_seen(results).items()
        for name, count in counts.items()
    ]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}} {count:>6}" for name, count in rows)


def count_seen(results: Iterable[Result]) -> dict[str, dict[str, int]]:
    """By kind, runs in which each of the *sometimes* properties was seen."""
    counts: dict[str, dict[str, int]] = {}
    for result in results:
        of = counts.setdefault(result.kind, dict.fromkeys(KINDS[result.kind].sometimes, 0))
        for name in result.seen:
            of[name] += 1
    return counts


def missed(results: Iterable[Result]) -> list[str]:
    """What should have been seen in so many seeds of a kind, and was not."""
    counted = list(results)
    seeds = Counter(result.kind for result in counted)
    return [
        f"{kind}: {name}"
        for kind, counts in count_seen(counted).items()
        for name, count in counts.items()
        if not count and seeds[kind] >= SEEDS_PER_SOMETIMES
    ]


def _kind(error: Exception | None) -> str:
    """What went wrong, whichever records it was about."""
    return re.sub(r"\b[a-z]+-\d\w*|[\d(),.\s]+", "", str(error))[:40]


def _switching_off(switches: tuple[str, ...]) -> Callable[[Any], Any]:
    def change(options: Any) -> Any:
        for switch in switches:
            options = without(options, switch)
        return options

    return change


def _said(options: Any) -> Iterable[str]:
    """Options that are not the default, the mapping's settings among them."""
    for struct in (options.spec, options):
        for field in msgspec.structs.fields(struct):
            value = getattr(struct, field.name)
            if value != field.default and field.name not in _UNSAID:
                yield f"{field.name}={value}"


_UNSAID = {"uuid", "name", "function_arn", "source_arn", "destination_arn", "spec", "seed"}
