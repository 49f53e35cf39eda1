"""What became of what was sent, as the functions' logs and the router's log tell it."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from examples.common.process import Router

HANDLED = re.compile(r"(\S+) at (\d+\.\d+)")
"""How the functions of the examples say that they have handled something."""


@dataclass(kw_only=True)
class Item:
    """One thing that is sent: a webhook, a record, a message."""

    id: str
    key: str
    """Whose order counts: a repository, a customer."""
    turn: int
    """The how many-th of its key."""
    is_poison: bool
    """No function can handle it."""
    accepted_at: float | None = None


@dataclass
class Seen:
    """What a function says it did."""

    first: dict[str, float] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    handled: int = 0

    def out_of_order(self, items: Mapping[str, Item]) -> int:
        """First sights that came before an earlier item of the same key."""
        wrong = 0
        for ids in self.order.values():
            turns = [items[it].turn for it in ids]
            wrong += sum(
                1 for before, after in zip(turns, turns[1:], strict=False) if after < before
            )
        return wrong

    def waits(self, items: Mapping[str, Item]) -> list[float]:
        """Seconds from the answer to the sender to the function, of everything it saw."""
        return [
            max(0.0, at - accepted_at)
            for it, at in self.first.items()
            if (accepted_at := items[it].accepted_at) is not None
        ]


def read_handled(router: Router, items: Mapping[str, Item]) -> Seen:
    """The functions' own log lines, in the order of the times they printed."""
    lines = [
        (float(match.group(2)), match.group(1))
        for text in function_logs(router)
        for match in HANDLED.finditer(text)
        if match.group(1) in items
    ]
    # Environments write side by side; a stable sort keeps the order of each one's lines.
    lines.sort(key=lambda line: line[0])
    seen = Seen(handled=len(lines))
    for at, it in lines:
        if it not in seen.first:
            seen.first[it] = at
            seen.order.setdefault(items[it].key, []).append(it)
    return seen


def function_logs(router: Router) -> Iterator[str]:
    """All that functions have printed, what was rotated away first."""
    for path in sorted((router.data / "logs").glob("*.log*"), reverse=True):
        yield path.read_text("utf-8", "replace")


@dataclass
class Batches:
    """What the router's log tells of one mapping's invocations."""

    sizes: list[int] = field(default_factory=list)
    bisects: int = 0

    @property
    def mean_and_largest(self) -> str:
        """For the table."""
        mean = sum(self.sizes) / max(1, len(self.sizes))
        return f"{mean:.1f}, {max(self.sizes, default=0)}"


def read_batches(router: Router, mapping: str) -> Batches:
    """Sizes of all batches that were invoked, and how often one was split."""
    found = Batches()
    for line in router.log.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("mapping") != mapping:
                continue
            if entry.get("event") in {"batch_handled", "batch_failed"}:
                found.sizes.append(entry["records"])
            found.bisects += entry.get("event") == "batch_bisected"
    return found


def count_attempts(router: Router, pattern: re.Pattern[str]) -> Counter[str]:
    """How often a pattern's group is in what the functions have printed."""
    return Counter(
        match.group(1) for text in function_logs(router) for match in pattern.finditer(text)
    )
