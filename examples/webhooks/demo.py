"""`make demo`: 5,000 real GitHub webhooks through the router, and what became of them.

Starts `router run examples/webhooks/template.yaml` as a user would, posts signed payloads over HTTP
and counts honestly: by sets of delivery ids, from what the sender was told and what the function
and the failure queue have seen. With `--chaos` the router is killed with SIGKILL in the middle
and started again on the same data.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TEMPLATE = HERE / "template.yaml"
PAYLOADS = HERE / "payloads" / "github.jsonl"
SECRET = "a-made-up-secret-for-the-demo"

POSTS = 5_000
REPOSITORIES = 40
POISON_EVERY = 249
BAD_SIGNATURE_EVERY = 51
REDELIVERED_EVERY = 37
SETTLE_S_MAX = 180

HANDLED = re.compile(r"handled (\S+) at (\d+\.\d+)")
console = Console(highlight=False)


@dataclass
class Post:
    """One webhook the sender will post, and what became of it."""

    number: int
    delivery: str
    repository: str
    turn: int
    event: str
    body: bytes
    is_poison: bool
    accepted_at: float | None = None


@dataclass
class Sent:
    """What the sender was told."""

    accepted: dict[str, Post] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    wrong_duplicates: int = 0
    retries: int = 0


def make_posts() -> list[list[Post]]:
    """The posts of each repository, in the order they are sent."""
    payloads = [json.loads(line) for line in PAYLOADS.read_text("utf-8").splitlines()]
    streams: list[list[Post]] = [[] for _ in range(REPOSITORIES)]
    for number in range(POSTS):
        example = payloads[number % len(payloads)]
        stream = streams[number % REPOSITORIES]
        payload = dict(example["payload"])
        name = f"octo-org/service-{number % REPOSITORIES:02d}"
        payload["repository"] = {**payload["repository"], "full_name": name}
        is_poison = number % POISON_EVERY == POISON_EVERY - 1
        if is_poison:
            payload["poison"] = True
        stream.append(
            Post(
                number=number,
                delivery=str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo-{number}")),
                repository=name,
                turn=len(stream),
                event=example["event"],
                body=json.dumps(payload, separators=(",", ":")).encode(),
                is_poison=is_poison,
            )
        )
    return streams


class Router:
    """The router as a child process, started as a user starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.ready = folder / "ready.json"
        self.log = folder / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}
        self.listen = ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"]

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.ready.unlink(missing_ok=True)
        api, ingress, ops = self.listen
        command = [
            Path(sys.executable).parent / "router", "run", TEMPLATE, "--data", self.data,
            "--api", api, "--ingress", ingress, "--ops", ops, "--ready-file", self.ready,
        ]  # fmt: skip
        environment = {
            **os.environ,
            "ROUTER_SECRET_GITHUB": SECRET,
            "ROUTER_LOG_FORMAT": "json",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        deadline = time.monotonic() + 30
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                console.print(f"[red]the router did not start; the end of {self.log}:[/red]")
                console.print(self.log.read_text("utf-8", "replace")[-3000:], markup=False)
                raise SystemExit(1)
            time.sleep(0.02)
        self.addresses = json.loads(self.ready.read_text("utf-8"))
        # After a kill the router comes back where the senders still look for it.
        self.listen = [self.addresses[name].split("//")[1] for name in ("api", "ingress", "ops")]

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


async def post(session: aiohttp.ClientSession, router: Router, it: Post, secret: str) -> tuple[int, str]:
    """Post once; retried while nobody answers or the router asks to wait. Status and event id."""
    digest = hmac.new(secret.encode(), it.body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": it.event,
        "X-GitHub-Delivery": it.delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    while True:
        try:
            async with session.post(
                router.addresses["ingress"] + "/hooks/github", data=it.body, headers=headers
            ) as reply:
                answer = await reply.json(content_type=None)
                if reply.status not in {429, 503}:
                    return reply.status, str(answer.get("id", ""))
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        await asyncio.sleep(0.05)


async def send_stream(
    session: aiohttp.ClientSession, router: Router, posts: list[Post], sent: Sent, tick: object
) -> None:
    """Send one repository's posts, each after the answer to the one before."""
    for it in posts:
        if it.number % BAD_SIGNATURE_EVERY == 0:
            status, _ = await post(session, router, it, "not-the-secret")
            sent.refused[status] += 1
        status, event_id = await post(session, router, it, SECRET)
        if status == 202:
            it.accepted_at = time.time()
            sent.accepted[it.delivery] = it
        else:
            sent.refused[status] += 1
        if it.number % REDELIVERED_EVERY == 0:
            status, second = await post(session, router, it, SECRET)
            sent.duplicates += status == 202 and second == event_id
            sent.wrong_duplicates += status != 202 or second != event_id
        tick()  # type: ignore[operator]


@dataclass
class Seen:
    """What the function and the router say they did."""

    first: dict[str, float] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    handled: int = 0


def read_handled(router: Router, posts: dict[str, Post]) -> Seen:
    """The function's own log lines, in the order of the times it printed."""
    lines = []
    for path in sorted((router.data / "logs").glob("*.log*"), reverse=True):
        for match in HANDLED.finditer(path.read_text("utf-8", "replace")):
            if match.group(1) in posts:
                lines.append((float(match.group(2)), match.group(1)))
    # Environments write side by side; a stable sort keeps the order of each one's lines.
    lines.sort(key=lambda line: line[0])
    seen = Seen(handled=len(lines))
    for at, delivery in lines:
        if delivery not in seen.first:
            seen.first[delivery] = at
            seen.order.setdefault(posts[delivery].repository, []).append(delivery)
    return seen


async def call(session: aiohttp.ClientSession, router: Router, target: str, body: object) -> dict:
    """One AWS JSON call to the router's own SQS."""
    headers = {"X-Amz-Target": f"AmazonSQS.{target}", "Content-Type": "application/x-amz-json-1.0"}
    async with session.post(
        router.addresses["api"], data=json.dumps(body), headers=headers
    ) as reply:
        return await reply.json(content_type=None)


async def queue_url(session: aiohttp.ClientSession, router: Router) -> str:
    """The failure queue."""
    return (await call(session, router, "ListQueues", {}))["QueueUrls"][0]


async def waiting(session: aiohttp.ClientSession, router: Router) -> int:
    """Messages in the failure queue."""
    url = await queue_url(session, router)
    reply = await call(
        session, router, "GetQueueAttributes",
        {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]},
    )  # fmt: skip
    return int(reply["Attributes"]["ApproximateNumberOfMessages"])


async def read_failures(session: aiohttp.ClientSession, router: Router) -> list[dict]:
    """Every on-failure record in the queue; they stay there, visible again at once."""
    url = await queue_url(session, router)
    records, handles = [], []
    while True:
        reply = await call(
            session, router, "ReceiveMessage",
            {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 60},
        )  # fmt: skip
        messages = reply.get("Messages", [])
        if not messages:
            break
        records += [json.loads(message["Body"]) for message in messages]
        handles += [message["ReceiptHandle"] for message in messages]
    for handle in handles:
        await call(
            session, router, "ChangeMessageVisibility",
            {"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 0},
        )  # fmt: skip
    return records


def read_batches(router: Router) -> tuple[list[int], int]:
    """Sizes of all batches that were invoked, and how often one was split, from the router's log."""
    sizes, bisects = [], 0
    for line in router.log.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") in {"batch_handled", "batch_failed"}:
                sizes.append(entry["records"])
            bisects += entry.get("event") == "batch_bisected"
    return sizes, bisects


def out_of_order(seen: Seen, posts: dict[str, Post]) -> int:
    """First sights that came before an earlier record of the same repository."""
    wrong = 0
    for deliveries in seen.order.values():
        turns = [posts[delivery].turn for delivery in deliveries]
        wrong += sum(1 for before, after in zip(turns, turns[1:], strict=False) if after < before)
    return wrong


def percentile(values: list[float], share: float) -> float:
    """The value at a share of the sorted list."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def run(router: Router, *, chaos: bool) -> tuple[dict[str, str], bool]:
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
            killer = asyncio.create_task(kill_in_the_middle(router, sent)) if chaos else None
            await asyncio.gather(
                *(
                    send_stream(session, router, stream, sent, lambda: progress.advance(posting))
                    for stream in streams
                )
            )
            if killer is not None:
                await killer
            poison = {it.delivery for it in posts.values() if it.is_poison}
            good = {d for d in sent.accepted if d not in poison}
            handling = progress.add_task("handling and discarding", total=len(sent.accepted))
            deadline = time.monotonic() + SETTLE_S_MAX
            while time.monotonic() < deadline:
                seen = read_handled(router, posts)
                discarded = await waiting(session, router)
                progress.update(handling, completed=len(seen.first) + discarded)
                if good <= seen.first.keys() and discarded >= len(poison):
                    break
                await asyncio.sleep(0.25)
        failures = await read_failures(session, router)
        url = await queue_url(session, router)
    seen = read_handled(router, posts)
    sizes, bisects = read_batches(router)
    in_queue = sum(document["RouterWebhookBatchInfo"]["batchSize"] for document in failures)
    ended = len(seen.first) + in_queue
    lost = len(sent.accepted) - ended
    wrong_order = out_of_order(seen, posts)
    waits = [at - posts[d].accepted_at for d, at in seen.first.items() if posts[d].accepted_at]
    waits = [max(0.0, wait) for wait in waits]
    rows = {
        "posted": f"{POSTS:,} of {len({p.event for p in posts.values()})} event types,"
        f" {REPOSITORIES} repositories",
        "accepted (202)": f"{len(sent.accepted):,}",
        "refused (401)": f"{sent.refused.pop(401, 0):,}",
        "refused otherwise": f"{sum(sent.refused.values()):,}",
        "duplicates dropped": f"{sent.duplicates:,}",
        "records handled": f"{len(seen.first):,}",
        "handled more than once": f"{seen.handled - len(seen.first):,}"
        + ("  (beside poison, or in flight at kill -9)" if chaos else "  (beside poison)"),
        "invocations": f"{len(sizes):,}",
        "batch: mean, largest": f"{sum(sizes) / max(1, len(sizes)):.1f}, {max(sizes, default=0)}",
        "bisects": f"{bisects:,}",
        "discarded to the queue": f"{in_queue:,}  (poison posted: {len(poison)})",
        "out of order": f"{wrong_order}",
        "lost": f"{lost}",
        "accept to handled p50, p99": f"{percentile(waits, 0.5) * 1000:,.0f} ms,"
        f" {percentile(waits, 0.99) * 1000:,.0f} ms",
    }  # fmt: skip
    router.addresses["queue"] = url
    is_well = (
        lost == 0
        and wrong_order == 0
        and in_queue == len(poison)
        and not (seen.first.keys() & poison)
        and sent.wrong_duplicates == 0
        and sum(sent.refused.values()) == 0
        and len(sent.accepted) == POSTS
    )
    return rows, is_well


async def kill_in_the_middle(router: Router, sent: Sent) -> None:
    """SIGKILL when half is accepted, then a start on the same data."""
    while len(sent.accepted) < POSTS // 2:
        await asyncio.sleep(0.005)
    await asyncio.sleep(random.uniform(0, 0.2))
    router.kill()
    console.print("[yellow]killed the router with SIGKILL; starting it again[/yellow]")
    await asyncio.to_thread(router.start)


def show(router: Router, rows: dict[str, str], *, is_well: bool, keeps: bool) -> None:
    """The table, and how to look further."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        is_bad = name in {"lost", "out of order"} and value != "0"
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
    options = parser.parse_args()
    folder = ROOT / ".router" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    router = Router(folder)
    console.print(f"router run {TEMPLATE.relative_to(ROOT)}")
    router.start()
    try:
        rows, is_well = asyncio.run(run(router, chaos=options.chaos))
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
