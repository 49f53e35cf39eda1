"""`make demo`: 5,000 real GitHub webhooks through the router, and what became of them.

Starts `router run` on a template as a user would, posts signed payloads over HTTP and counts
honestly: by sets of delivery ids, from what the sender was told and what the function and the
failure queue have seen. With `--chaos` the router is killed with SIGKILL in the middle and started
again on the same data. With `--windows` the template filters and counts in tumbling windows, the
number of shards is changed twice while posts flow, and the router is killed twice.
"""

import argparse
import asyncio
import contextlib
import shutil
import sys
import time

import aiohttp
from ledger import queue_url, read_batches, read_failures, read_handled, waiting
from posts import POSTS, REPOSITORIES, Sent, make_posts, send_all
from process import ROOT, Router, console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from stories import Plain, Windows

SETTLE_S_MAX = 180
MUST_BE_ZERO = {"lost", "out of order", "counted wrongly", "filtered out, yet handled"}


async def run(router: Router, story: Plain | Windows) -> tuple[dict[str, str], bool]:
    """Send, wait until everything has ended somewhere, count. Rows of the table, and all well."""
    streams = make_posts()
    posts = {it.delivery: it for stream in streams for it in stream}
    sent = Sent()
    connector = aiohttp.TCPConnector(limit=REPOSITORIES)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        with Progress(
            TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console, disable=not console.is_terminal,
        ) as progress:  # fmt: skip
            posting = progress.add_task("posting webhooks", total=POSTS)
            disturbing = asyncio.create_task(story.disturb(router, sent))
            await send_all(session, router, streams, sent, lambda: progress.advance(posting))
            await disturbing
            wanted = {d for d, post in sent.accepted.items() if story.is_wanted(post)}
            poison = {d for d in wanted if posts[d].is_poison}
            handling = progress.add_task("handling and discarding", total=len(wanted))
            deadline = time.monotonic() + SETTLE_S_MAX
            while time.monotonic() < deadline:
                seen = read_handled(router, posts)
                discarded = await waiting(session, router)
                progress.update(handling, completed=len(seen.first) + discarded)
                have_ended = wanted - poison <= seen.first.keys() and discarded >= len(poison)
                if have_ended and story.is_done(router, seen, posts):
                    break
                await asyncio.sleep(0.25)
        failures = await read_failures(session, router)
        router.addresses["queue"] = await queue_url(session, router)
    seen = read_handled(router, posts)
    sizes, bisects = read_batches(router)
    in_queue = sum(document["RouterWebhookBatchInfo"]["batchSize"] for document in failures)
    lost = len(wanted) - len(seen.first.keys() & wanted) - in_queue
    wrong_order = seen.out_of_order(posts)
    waits = seen.waits(posts)
    more, is_story_well = story.rows(router, seen, posts)
    excuse = "beside poison, or in flight at kill -9" if story.kills else "beside poison"
    rows = {
        "posted": f"{POSTS:,} of {len({p.event for p in posts.values()})} event types,"
        f" {REPOSITORIES} repositories",
        "accepted (202)": f"{len(sent.accepted):,}",
        "refused (401)": f"{sent.refused.pop(401, 0):,}",
        "refused otherwise": f"{sum(sent.refused.values()):,}",
        "duplicates dropped": f"{sent.duplicates:,}",
        "records handled": f"{len(seen.first):,}",
        "handled more than once": f"{seen.handled - len(seen.first):,}  ({excuse})",
        "invocations": f"{len(sizes):,}",
        "batch: mean, largest": f"{sum(sizes) / max(1, len(sizes)):.1f}, {max(sizes, default=0)}",
        "bisects": f"{bisects:,}",
        "discarded to the queue": f"{in_queue:,}  (poison posted: {len(poison)})",
        **more,
        "out of order": f"{wrong_order}",
        "lost": f"{lost}",
        "accept to handled p50, p99": f"{percentile(waits, 0.5) * 1000:,.0f} ms,"
        f" {percentile(waits, 0.99) * 1000:,.0f} ms",
    }  # fmt: skip
    is_well = (
        lost == 0
        and wrong_order == 0
        and in_queue == len(poison)
        and not (seen.first.keys() & poison)
        and sent.wrong_duplicates == 0
        and sum(sent.refused.values()) == 0
        and len(sent.accepted) == POSTS
        and is_story_well
    )
    return rows, is_well


def percentile(values: list[float], share: float) -> float:
    """The value at a share of the sorted list."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def show(router: Router, rows: dict[str, str], *, is_well: bool, keeps: bool) -> None:
    """The table, and how to look further."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        is_bad = name in MUST_BE_ZERO and value != "0"
        table.add_row(name, f"[bold red]{value}[/]" if is_bad else value)
    console.print()
    console.print(table)
    console.print()
    verdict = "[green]everything adds up[/]" if is_well else "[bold red]something does not add up[/]"
    console.print(verdict)
    metrics = router.addresses["ops"] + "/metrics"
    api, queue = router.addresses["api"], router.addresses["queue"]
    aws = (
        f"AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 "
        f"aws --endpoint-url {api} sqs receive-message --queue-url {queue}"
    )
    if not keeps:
        console.print("to look further, leave it running: make demo KEEP=1", soft_wrap=True)
    console.print(f"metrics        {metrics}", soft_wrap=True)
    console.print(f"failure queue  {aws}", soft_wrap=True)
    console.print(f"router's log   {router.log.relative_to(ROOT)}", soft_wrap=True)
    command = f".venv/bin/router logs --data {router.data.relative_to(ROOT)}"
    console.print(f"function's log {command}", soft_wrap=True)


def main() -> int:
    """Run the demo; 0 when everything adds up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="leave the router running")
    parser.add_argument("--chaos", action="store_true", help="kill -9 the router in the middle")
    parser.add_argument(
        "--windows", action="store_true", help="windows, a filter, changing shards, two kills"
    )
    options = parser.parse_args()
    folder = ROOT / ".router" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    story = Windows() if options.windows else Plain(is_chaotic=options.chaos)
    router = Router(folder, story.template)
    console.print(f"router run {story.template.relative_to(ROOT)}")
    router.start()
    try:
        rows, is_well = asyncio.run(run(router, story))
        show(router, rows, is_well=is_well, keeps=options.keep)
        if options.keep:
            assert router.process is not None
            console.print(f"\nstill running as process {router.process.pid}; Ctrl-C stops it")
            with contextlib.suppress(KeyboardInterrupt):
                router.process.wait()
    finally:
        status = router.stop()
    if status != 0:
        console.print(f"[red]the router ended with status {status}[/red]")
        return 1
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
