"""The two demos: plain batches, and windows with a filter and changing shards."""

import asyncio
import random
from collections import Counter
from pathlib import Path

from examples.common.ledger import Seen
from examples.common.process import Router, console, kill_and_start
from examples.webhooks.demo.ledger import read_windows
from examples.webhooks.demo.posts import POSTS, Post, Sent

EXAMPLES = Path(__file__).resolve().parent.parent


class Plain:
    """`template.yaml`: batches, bisect, discards. With `is_chaotic`, one kill -9 half-way."""

    template = EXAMPLES / "template.yaml"
    mapping = "Events"

    def __init__(self, *, is_chaotic: bool) -> None:
        self.kills = 1 if is_chaotic else 0

    def is_wanted(self, _post: Post) -> bool:
        """Whether the function is to see it."""
        return True

    async def disturb(self, router: Router, sent: Sent) -> None:
        """What happens while the posts flow."""
        if self.kills:
            await _kill_at(router, sent, POSTS // 2)

    def is_done(self, _router: Router, _seen: Seen, _posts: dict[str, Post]) -> bool:
        """Whether nothing more is to come once every record has ended somewhere."""
        return True

    def rows(
        self, _router: Router, _seen: Seen, _posts: dict[str, Post]
    ) -> tuple[dict[str, str], bool]:
        """More rows for the table, and whether they are as they should be."""
        return {}, True


class Windows:
    """`windows.yaml`: a filter, state per window, Shards 4 → 7 → 2 and two times kill -9."""

    template = EXAMPLES / "windows.yaml"
    mapping = "Counts"
    kills = 2

    def is_wanted(self, post: Post) -> bool:
        """What the template's filter says."""
        return post.action not in {None, "deleted"}

    async def disturb(self, router: Router, sent: Sent) -> None:
        """What happens while the posts flow."""
        await _kill_at(router, sent, POSTS // 5)
        await _reshard_at(router, sent, POSTS * 2 // 5, 7)
        await _kill_at(router, sent, POSTS * 3 // 5)
        await _reshard_at(router, sent, POSTS * 4 // 5, 2)

    def is_done(self, router: Router, seen: Seen, posts: dict[str, Post]) -> bool:
        """Whether every window that holds something has ended."""
        _, counted = _windows(router)
        return counted.total() >= sum(1 for d in seen.first if not posts[d].is_poison)

    def rows(
        self, router: Router, seen: Seen, posts: dict[str, Post]
    ) -> tuple[dict[str, str], bool]:
        """The counts the windows ended with, against what the function handled."""
        windows, counted = _windows(router)
        handled = [post for delivery in seen.first if not (post := posts[delivery]).is_poison]
        expected = Counter(f"{post.key} {post.event}" for post in handled)
        unwanted = [delivery for delivery in seen.first if not self.is_wanted(posts[delivery])]
        wrong = sum(((counted - expected) + (expected - counted)).values())
        return {
            "filtered out": f"{sum(1 for p in posts.values() if not self.is_wanted(p)):,}",
            "filtered out, yet handled": f"{len(unwanted)}",
            "windows ended": f"{len(windows)} on {len({shard for shard, _ in windows})} shards",
            "counted in windows": f"{counted.total():,}",
            "counted wrongly": f"{wrong}",
        }, not unwanted and not wrong


def _windows(router: Router) -> tuple[dict[tuple[str, str], dict], Counter[str]]:
    """Each window once: a final call that was cut off by a kill is made again."""
    windows: dict[tuple[str, str], dict] = {}
    for found in read_windows(router):
        windows[(found["shard"], found["start"])] = found
    counted: Counter[str] = Counter()
    for window in windows.values():
        counted.update(window["counts"])
    return windows, counted


async def _kill_at(router: Router, sent: Sent, count: int) -> None:
    """SIGKILL when that many are accepted, then a start on the same data."""
    await _accepted(sent, count)
    await asyncio.sleep(random.uniform(0, 0.2))
    await kill_and_start(router)


async def _reshard_at(router: Router, sent: Sent, count: int, shards: int) -> None:
    """`router apply` with another number of shards when that many are accepted."""
    await _accepted(sent, count)
    before = router.parameters.get("Shards", "4")
    await asyncio.to_thread(lambda: router.apply(Shards=str(shards)))
    console.print(f"[yellow]Shards {before} → {shards} while posts flow[/yellow]")


async def _accepted(sent: Sent, count: int) -> None:
    while len(sent.accepted) < count:
        await asyncio.sleep(0.005)
