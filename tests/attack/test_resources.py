"""What the machine takes away: disk, syncs, memory, files, the processor (`reliability.md` 5)."""

import asyncio
import contextlib
import errno
import http.client
import json
import signal
import threading
import time
from collections import Counter

import pytest

from tests.attack.attacks import LONG, pace
from tests.attack.crowd import Crowd
from tests.attack.faults import Disk, Limits, Syncs
from tests.attack.site import RECOVERY_S, Seen, Site
from tests.integration.bed import call, function, mapping, signed, template, until, webhook

MIB = 1 << 20
MEMORY = 1_200 * MIB
"""Of address space, which threads and libraries take 700 MiB of before anything is asked."""

GROWTH_BYTES_MAX = 500 * MIB
"""Requests under way (75 here), writes that wait (64, on both sides of the way to the store), what
mappings read ahead (64), what is kept for them (32), and what two allocators make of it. Without
bounds it would be three times the posts."""

MEASURED_MAX = 3
"""What other processes do to a machine does not last."""

POSTS = 600 if pace() is LONG else 300
"""Of 1 MiB each, all at once: twice what fits at least."""


@pytest.fixture
def put(bed):
    """Puts a router in its conditions."""
    sites = []

    def put(*conditions, **environment):
        bed.environment |= environment
        site = Site(bed, *conditions)
        sites.append(site)
        return site

    yield put
    for site in sites:
        site.close()


def flood(site: Site, count: int, size_bytes: int) -> dict[int, int]:
    """Large signed posts all at once; answers by status."""
    body = json.dumps({"key": "large", "n": 0, "fill": "x" * size_bytes}).encode()
    headers = "".join(f"{name}: {text}\r\n" for name, text in signed(body).items())
    request = (
        f"POST /in HTTP/1.1\r\nHost: router\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def client(line) -> None:
        await line.send(request)
        await line.answered()
        line.half_close()

    crowd = Crowd(site.ingress)
    asyncio.run(crowd.all(count, client))
    return dict(crowd.answers)


KEPT = ["67108864", "0"] if pace() is LONG else ["67108864"]
"""Bytes kept free for the work that was accepted. Filled to the last byte: in `make attack`."""


@pytest.mark.parametrize("kept", KEPT)
def test_a_full_disk(put, tmp_path, kept):
    """503 and not ready while it is full; nothing accepted is lost; well by itself afterwards.

    With room kept for the work that was accepted, or filled to the last byte.
    """
    disk = Disk(tmp_path / "data", 160 * MIB)
    site = put(disk, ROUTER_STORE_FREE_BYTES_MIN=kept)
    site.start()
    name = "disk nearly full" if kept != "0" else "disk full to the last byte"
    with site.under(name) as seen:
        began = time.monotonic()
        disk.fill()
        until(lambda: not site.ready(), what="an end of readiness")
        seen.notes.append(f"not ready after {time.monotonic() - began:.1f} s: {site.told()}")
        until(lambda: any(row[2] == 503 for row in site.attempts(began)), what="a 503")
        for _ in range(20):  # it stays so, whoever stops sending
            assert not site.ready()
            time.sleep(0.1)
        assert site.bed.metric("router_ready") == 0
        assert site.bed.metric("router_store_errors_total") > 0
        late = [row for row in site.attempts(began) if row[1] > 20]
        assert not late, "a refusal is quick"
        disk.free()
    assert seen.answers.keys() <= {202, 503}, seen.answers
    assert site.bed.lines("store_fault")
    site.assert_nothing_lost()
    assert site.bed.stop() == 0


def test_a_disk_too_small_to_start_with(put, tmp_path):
    """A clear word instead of a traceback, and nothing left behind that fills it further."""
    disk = Disk(tmp_path / "data", 8 * MIB)
    site = put(disk)
    with pytest.raises(AssertionError, match="cannot hold the packages"):
        site.start()
    assert "Traceback" not in site.bed.log.read_text()


def test_a_full_disk_and_nobody_who_sends(put, tmp_path):
    """Readiness takes traffic away; it must come back without any."""
    disk = Disk(tmp_path / "data", 160 * MIB)
    site = put(disk)
    site.start()
    disk.fill()
    until(lambda: not site.ready(), what="an end of readiness")
    site.assert_nothing_lost()
    time.sleep(2)
    assert not site.ready()
    disk.free()
    until(site.ready, RECOVERY_S, "a ready router")


def test_syncs_of_two_seconds(put):
    """Answers come late, and all of them come; probes and metrics are not late."""
    syncs = Syncs()
    site = put(syncs)
    site.start()
    for _ in range(MEASURED_MAX):
        with site.under("syncs of 2 s") as seen:
            syncs.delay_s = 2.0
            worst_s, end = 0.0, time.monotonic() + 6
            while time.monotonic() < end:
                began = time.monotonic()
                assert call(site.bed.addresses["ops"], "/live").status == 200
                call(site.bed.addresses["ops"], "/metrics")
                worst_s = max(worst_s, time.monotonic() - began)
                time.sleep(0.1)
            syncs.delay_s = 0.0
        assert syncs.seen
        seen.notes.append(f"{syncs.seen} syncs, /live and /metrics within {worst_s * 1000:.0f} ms")
        assert seen.answers.keys() == {202}, seen.answers
        if worst_s < 1.5:
            break
    assert worst_s < 1.5
    site.assert_nothing_lost()


def test_a_sync_that_does_not_come_back(put):
    """A disk that hangs: not ready, though no error was ever seen."""
    syncs = Syncs()
    site = put(syncs)
    site.start()
    with site.under("a sync that hangs for 12 s") as seen:
        syncs.delay_s = 12
        until(lambda: syncs.seen, what="a sync")
        syncs.delay_s = 0.0
        began = time.monotonic()
        until(lambda: not site.ready(), what="an end of readiness")
        seen.notes.append(f"not ready after {time.monotonic() - began:.1f} s: {site.told()}")
        until(site.ready, what="readiness")
    assert seen.answers.keys() == {202}, seen.answers
    site.assert_nothing_lost()


def test_syncs_that_fail(put):
    """Nothing is acknowledged that the disk did not take."""
    syncs = Syncs()
    site = put(syncs)
    site.start()
    with site.under("syncs that fail (EIO)") as seen:
        began = time.monotonic()
        syncs.error = errno.EIO
        until(lambda: not site.ready(), what="an end of readiness")
        seen.notes.append(f"not ready after {time.monotonic() - began:.1f} s: {site.told()}")
        time.sleep(3)
        rows = [row for row in site.attempts(began + 0.5) if row[2] == 202]
        assert not rows, "202 without a sync"
        assert not site.ready()
        assert site.bed.metric("router_store_errors_total", reason="io_error") > 0
        syncs.error = 0
    assert seen.answers.keys() <= {202, 503}, seen.answers
    site.assert_nothing_lost()


def test_a_small_memory(put):
    """L2: large posts by the hundred, a slow disk: refused before memory runs out; nobody dies."""
    syncs = Syncs()
    site = put(syncs, Limits(memory=MEMORY))
    site.start()
    with site.under(f"{POSTS} posts of 1 MiB, slow disk") as seen:
        before = site.rss_bytes()
        most, is_over = [before], threading.Event()

        def watch() -> None:
            while not is_over.wait(0.02):
                most.append(site.rss_bytes())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            syncs.delay_s = 1.0
            answers = flood(site, POSTS, MIB)
        finally:
            syncs.delay_s = 0.0
            is_over.set()
            thread.join()
        seen.growth_bytes = max(most) - before
        seen.notes.append(f"posts {answers}")
    assert seen.growth_bytes < GROWTH_BYTES_MAX
    assert answers.keys() == {202, 503}
    accepted = answers[202]
    until(lambda: site.bed.ear.records("large")[accepted - 1 :], what="large records")
    assert not site.bed.lines("request_failed")
    assert not site.bed.lines("task_died")
    site.assert_nothing_lost({("large", 0)})


def test_more_connections_than_places(put):
    """Whoever only stays gives way to who comes: new clients are served all the while."""
    site = put(ROUTER_INGRESS_CONNECTIONS_MAX="400", ROUTER_INGRESS_HEADER_DEADLINE_S="10")
    site.start()
    measured = [newcomers_among_the_silent(site)]
    while measured[-1].is_held_up and len(measured) < MEASURED_MAX:
        measured.append(newcomers_among_the_silent(site))
    assert not measured[-1].is_held_up, measured[-1].row
    until(lambda: site.bed.metric("router_ingress_refused_total", reason="gave_way") > 100)
    site.assert_nothing_lost({("new", 0)})


def newcomers_among_the_silent(site: Site) -> Seen:
    with site.under("silent connections, all places") as seen:
        crowd = Crowd(site.ingress)
        body = b'{"key": "new", "n": 0}'
        statuses = []

        async def silent(line) -> None:
            """Nothing at all."""

        async def newcomers(task) -> None:
            where = site.bed.addresses["ingress"]
            while not task.done():
                # One that a busy machine keeps from sending what it came for is silent too.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    reply = await asyncio.to_thread(call, where, "/in", body, signed(body))
                    statuses.append(reply.status)
                await asyncio.sleep(0.05)

        async def attack() -> None:
            task = asyncio.create_task(crowd.stream(150, 6, silent))
            await newcomers(task)

        asyncio.run(attack())
        seen.notes.append(
            f"{sum(crowd.answers.values())} silent, newcomers {dict(Counter(statuses))}"
        )
    assert set(statuses) == {202}
    assert seen.answers.keys() == {202}, seen.answers
    return seen


def test_no_descriptor_left(put):
    """Connections are refused, mappings go on, and all is well when they have gone (L5)."""
    site = put(Limits(files=64))
    text = template(
        webhook(shards=2), webhook("Cold", "/cold"), function(), function("Late"),
        mapping(BatchSize=100), mapping("Other", "Cold", "Late"),
    )  # fmt: skip
    site.start(text=text)
    with site.under("64 descriptors, 200 connections") as seen:
        crowd, is_over = Crowd(site.ingress), asyncio.Event()

        async def client(line) -> None:
            await is_over.wait()
            line.half_close()

        async def attack() -> None:
            crowded = asyncio.create_task(crowd.all(200, client))
            await asyncio.sleep(1)
            # A function that was never run needs files of its own to begin.
            await asyncio.to_thread(until, accepted, what="a place for one who sends")
            await asyncio.to_thread(
                until, lambda: ("cold", 0) in site.bed.ear.handled(), what="a function begun"
            )
            assert not crowded.done()
            is_over.set()
            await crowded

        def accepted() -> bool:
            with contextlib.suppress(OSError):
                return site.bed.post("cold", 0, "/cold").status == 202
            return False

        asyncio.run(attack())
        seen.notes.append(f"clients {dict(crowd.answers)}, a function begun meanwhile")
    assert seen.answers.keys() == {202}, seen.answers
    site.assert_nothing_lost({("cold", 0)})
    assert not site.bed.lines("task_died")
    assert not site.bed.lines("environment_not_started")


def test_a_pause_of_five_seconds(put):
    """SIGSTOP, as a suspended machine: what was asked meanwhile is answered, nothing is doubled."""
    site = put(ROUTER_INGRESS_IDLE_DEADLINE_S="4", ROUTER_INGRESS_HEADER_DEADLINE_S="4")
    text = template(webhook(shards=2), function(timeout=3), mapping(BatchSize=100))
    site.start(text=text)
    with site.under("a pause of 5 s (SIGSTOP)") as seen:
        site.bed.signal(signal.SIGSTOP)
        time.sleep(5)
        site.bed.signal(signal.SIGCONT)
        time.sleep(1)
    assert seen.answers.keys() == {202}, seen.answers
    site.assert_nothing_lost()
    handled = site.bed.ear.handled()
    assert len(handled) == len(set(handled)), "handled twice"
    assert not site.bed.lines("batch_failed")
