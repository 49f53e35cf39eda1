"""The page by HTTP, over a real socket: what it answers, to whom, and how streams begin and end."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from router.model.limits import MIB
from router.ops import streams
from router.ops.server import Health, OpsServer
from router.ops.site import FILES, Site, files
from router.telemetry.loop_watch import LoopWatch
from router.telemetry.recent import Attempt
from tests.patience import PATIENCE_S, until
from tests.unit.ops import made

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page:
    def __init__(self, sight, now=None):
        self.sight = sight
        self.now_ms = made.BEGIN_MS
        self.site = Site(sight, lambda: self.now_ms)
        self.server = OpsServer(Health(), LoopWatch(), self.refresh, self.site)

    async def refresh(self):
        pass

    async def start(self, host="127.0.0.1"):
        self.host, self.port = await self.server.start(host, 0)
        self.url = f"http://127.0.0.1:{self.port}"

    async def get(self, path, method="GET", **more):
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, **more) as reply,
        ):
            return reply, await reply.text()


@pytest.fixture
async def page():
    made_of = made.snapshot(
        [made.mapping("orders"), made.mapping(HOSTILE, source=HOSTILE, trouble=HOSTILE)],
        [made.function("worker"), made.function("a/b c", problem=HOSTILE)],
        [made.webhook(HOSTILE, path=HOSTILE, problem=HOSTILE)],
        [made.destination(HOSTILE, trouble=HOSTILE, users=(HOSTILE,))],
    )
    page = Page(made.Sight(made_of))
    await page.start()
    yield page
    await page.server.stop()


async def test_pages_say_what_may_run_in_them_and_are_not_kept(page):
    for path in ("/", "/mappings/id-orders", "/functions/a%2Fb%20c", "/mappings/none"):
        reply, text = await page.get(path)
        assert reply.status == (404 if "none" in path else 200)
        assert reply.content_type == "text/html"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "style=" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text


@pytest.mark.parametrize("path", ["/", "/mappings/", "/functions/a%2Fb%20c"])
async def test_names_and_errors_are_no_markup(page, path):
    page.sight.recent = [
        Attempt(made.WALL_MS, HOSTILE, 1.0, HOSTILE, error=HOSTILE, place=HOSTILE, version=HOSTILE)
    ]
    if path == "/mappings/":
        path += "id-" + HOSTILE.replace("/", "%2F").replace('"', "%22").replace(" ", "%20")
    reply, text = await page.get(path)
    assert reply.status == 200
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert "&lt;script&gt;alert" in text


async def test_the_files_of_the_page_are_its_own_and_kept(page):
    for name in FILES:
        reply, text = await page.get(files()[name].address)
        assert reply.status == 200
        assert "immutable" in reply.headers["Cache-Control"]
        assert len(text) < 40_000
    assert (await page.get("/page/other.js"))[0].status == 404
    assert (await page.get("/page/../server.py"))[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(page, method):
    for path in ("/", "/events", "/mappings/id-orders", files()["ops.js"].address):
        reply, _ = await page.get(path, method)
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


async def test_only_the_head_where_only_that_is_asked_for(page):
    for path in ("/", "/events?of=/"):
        reply, text = await page.get(path, "HEAD")
        assert (reply.status, text) == (200, "")
    assert page.site.streams.viewers == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:9", 200), ("localhost", 200), ("a.localhost:9", 200), ("[::1]:9", 200),
     ("10.0.0.7", 200), ("attacker.example", 421), ("127.0.0.1.attacker.example", 421), ("", 421),
     ("[:::", 421)],
)  # fmt: skip
async def test_a_loopback_listener_is_asked_by_its_own_names_alone(page, host, status):
    """Else a page elsewhere, whose name leads here, could read it in somebody's browser."""
    for path in ("/", "/mappings/id-orders", "/events?of=/x", "/events"):
        reply_status = await asked_as(page.port, path, host)
        assert reply_status == (404 if path.endswith("/x") else status)
    assert await asked_as(page.port, "/live", host) == 200


async def asked_as(port, path, host):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_listener_for_others_is_asked_by_any_name(page):
    page.site.bound("0.0.0.0")
    assert (await page.get("/", headers={"Host": "ops.example"}))[0].status == 200


async def test_one_snapshot_a_second_however_many_look(page):
    await asyncio.gather(*(page.get("/") for _ in range(10)))
    assert page.sight.looks == 1
    page.now_ms += 1_000
    await page.get("/mappings/id-orders")
    assert page.sight.looks == 2


@contextlib.asynccontextmanager
async def watching(page, of="/"):
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session,
        session.get(f"{page.url}/events", params={"of": of}) as reply,
    ):
        assert reply.status == 200
        assert reply.content_type == "text/event-stream"
        yield reply.content


async def told(stream):
    """The next update."""
    while True:
        line = (await stream.readline()).decode()
        assert line, "the stream ended"
        if line.startswith("data: {"):
            return json.loads(line.removeprefix("data: "))


async def test_who_watches_is_told_everything_and_then_what_changed(page, monkeypatch):
    monkeypatch.setattr(streams, "EVERY_S", 0.01)
    async with watching(page) as stream, watching(page) as other:
        first = await told(stream)
        assert "m-id-orders" in first["blocks"]
        assert first["lists"]["functions-rows"] == ["f-a/b c", "f-worker"]
        assert await told(other) == first
        assert page.site.streams.channels == 1
        page.sight.made = made.snapshot([made.mapping("orders", is_orphan=True)], at_s=5)
        page.now_ms += 5_000
        change = await told(stream)
        assert set(change["lists"]) >= {"mappings-rows", "attention-list"}
        assert change["lists"]["mappings-rows"] == ["m-id-orders"]
        assert "does not exist" in change["blocks"]["m-id-orders"]
        assert "tile-store" not in change["blocks"]
        assert await told(other) == change


async def test_nobody_looks_when_nobody_watches(page, monkeypatch):
    monkeypatch.setattr(streams, "EVERY_S", 0.01)
    async with watching(page) as stream:
        await told(stream)
    await until(lambda: page.site.streams.channels == 0)
    assert page.site.streams.viewers == 0


async def test_streams_have_places_and_give_them_back(page, monkeypatch):
    monkeypatch.setattr(streams, "VIEWERS_MAX", 2)
    async with watching(page), watching(page, "/functions/worker"):
        reply, text = await page.get("/events?of=/")
        assert reply.status == 503
        assert "reload" in text
    await until(lambda: page.site.streams.viewers == 0)
    async with watching(page) as stream:
        await told(stream)


async def test_what_is_gone_is_told_and_its_stream_ends(page, monkeypatch):
    monkeypatch.setattr(streams, "EVERY_S", 0.01)
    async with watching(page, "/functions/worker") as stream:
        await told(stream)
        page.sight.made = made.snapshot(at_s=5)
        page.now_ms += 5_000
        assert b"event: gone" in await stream.read()
    assert page.site.streams.viewers == 0


async def test_a_view_that_cannot_be_made_ends_and_leaves_the_others(page, monkeypatch):
    monkeypatch.setattr(streams, "EVERY_S", 0.01)

    async def fails(name):
        raise RuntimeError("no details")

    page.sight.function = fails
    async with watching(page) as fine, watching(page, "/functions/worker") as broken:
        await broken.read()
        await told(fine)
        assert (await page.get("/functions/worker"))[0].status == 500
        assert (await page.get("/"))[0].status == 200


async def test_who_does_not_read_is_sent_no_more_and_then_the_present(page, monkeypatch):
    monkeypatch.setattr(streams, "EVERY_S", 0.001)
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port, limit=1_000)
    writer.write(b"GET /events?of=/ HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def change():
        page.now_ms += 2_000
        mappings = [made.mapping(f"m{n}", lag=page.now_ms) for n in range(100)]
        page.sight.made = made.snapshot(mappings, at_s=page.now_ms / 1_000)
        return [it for ch in page.site.streams._channels.values() for it in ch._viewers]

    await until(lambda: any(not viewer.has_room for viewer in change()))
    (viewer,) = change()
    knew, last = viewer.knows, page.site.streams._channels[viewer._view]
    await until(lambda: change() and last._last is not knew)
    assert viewer.knows is knew
    assert viewer._outlet._transport.get_write_buffer_size() < 2 * MIB
    taken = asyncio.create_task(reader.read(-1))
    await until(lambda: viewer.knows is not knew)
    writer.close()
    taken.cancel()
    await until(lambda: page.site.streams.viewers == 0)


async def test_stopping_ends_streams_at_once(page):
    async with watching(page) as stream:
        await told(stream)
        async with asyncio.timeout(PATIENCE_S):
            stopping = asyncio.create_task(page.server.stop())
            while await stream.readline():
                pass
            await stopping
    assert page.site.streams.viewers == 0
