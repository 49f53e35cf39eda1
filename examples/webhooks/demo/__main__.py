"""`make demo`: 5,000 real GitHub webhooks through the router, and what became of them.

Starts `router run` on a template as a user would, posts signed payloads over HTTP and counts
honestly: by sets of delivery ids, from what the sender was told and what the function and the
failure queue have seen. With `--chaos` the router is killed with SIGKILL in the middle and started
again on the same data. With `--windows` the template filters and counts in tumbling windows, the
number of shards is changed twice while posts flow, and the router is killed twice.
"""

import argparse
import asyncio
import sys
import time

import aiohttp

from examples.common.ledger import read_batches, read_handled
from examples.common.process import ROOT, Router, console, fresh_folder, wait_for_user
from examples.common.queues import peek, queue_url, waiting
from examples.common.report import (
    aws_command,
    median_and_p99,
    progress_bars,
    show_next,
    show_table,
)
from examples.webhooks.demo.posts import POSTS, REPOSITORIES, SECRET, Sent, make_posts, send_all
from examples.webhooks.demo.stories import Plain, Windows

FAILED = "github-failed"
"""The failure queue of the templates."""

SETTLE_S_MAX = 180


async def run(router: Router, story: Plain | Windows) -> tuple[dict[str, str], bool]:
    """Send, wait until everything has ended somewhere, count. Rows of the table, and all well."""
    streams = make_posts()
    posts = {it.id: it for stream in streams for it in stream}
    sent = Sent()
    connector = aiohttp.TCPConnector(limit=REPOSITORIES)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        with progress_bars() as progress:
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
                discarded = await waiting(session, router, FAILED)
                progress.update(handling, completed=len(seen.first) + discarded)
                have_ended = wanted - poison <= seen.first.keys() and discarded >= len(poison)
                if have_ended and story.is_done(router, seen, posts):
                    break
                await asyncio.sleep(0.25)
        router.addresses["queue"] = await queue_url(session, router, FAILED)
    failures = await peek(router, FAILED)
    seen = read_handled(router, posts)
    batches = read_batches(router, story.mapping)
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
        "invocations": f"{len(batches.sizes):,}",
        "batch: mean, largest": batches.mean_and_largest,
        "bisects": f"{batches.bisects:,}",
        "discarded to the queue": f"{in_queue:,}  (poison posted: {len(poison)})",
        **more,
        "out of order": f"{wrong_order}",
        "lost": f"{lost}",
        "accept to handled p50, p99": median_and_p99(waits),
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


def main() -> int:
    """Run the demo; 0 when everything adds up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="leave the router running")
    parser.add_argument("--chaos", action="store_true", help="kill -9 the router in the middle")
    parser.add_argument(
        "--windows", action="store_true", help="windows, a filter, changing shards, two kills"
    )
    options = parser.parse_args()
    story = Windows() if options.windows else Plain(is_chaotic=options.chaos)
    router = Router(fresh_folder("demo"), story.template, {"ROUTER_SECRET_GITHUB": SECRET})
    console.print(f"router run {story.template.relative_to(ROOT)}")
    try:
        router.start()
        rows, is_well = asyncio.run(run(router, story))
        show_table({name: [value] for name, value in rows.items()}, is_well=is_well)
        receive = f"sqs receive-message --queue-url {router.addresses['queue']}"
        more = {"failure queue": aws_command(router, receive)}
        show_next(router, "demo", keeps=options.keep, more=more)
        if options.keep:
            wait_for_user(router)
    except KeyboardInterrupt:
        is_well = False
    finally:
        status = router.stop()
    if status != 0:
        console.print(f"[red]the router ended with status {status}[/red]")
        return 1
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
