"""Probes, metrics and the watch on the loop, over a real socket."""

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.ops.server import Health, OpsServer
from router.telemetry import metrics
from router.telemetry.loop_watch import LoopWatch


class Ops:
    def __init__(self):
        self.health, self.watch, self.refreshed = Health(), LoopWatch(), 0

    async def refresh(self):
        self.refreshed += 1

    async def get(self, path):
        reply = await self.ask("GET", path)
        return reply.status, await reply.text()

    async def ask(self, method, path, **more):
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, **more) as reply,
        ):
            await reply.read()
            return reply


@pytest.fixture
async def ops():
    ops = Ops()
    ops.server = server = OpsServer(ops.health, ops.watch, ops.refresh)
    ops.url = "http://{}:{}".format(*await server.start("127.0.0.1", 0))
    yield ops
    await server.stop()


async def test_ready_only_when_nothing_stands_in_the_way(ops):
    status, text = await ops.get("/ready")
    assert status == 503
    assert "starting" in text
    ops.health.clear("starting")
    assert await ops.get("/ready") == (200, '{"ready": true, "reasons": {}}')
    ops.health.block("store", "the disk is full")
    ops.health.block("draining", "the router is stopping")
    ops.health.clear("draining")
    status, text = await ops.get("/ready")
    assert status == 503
    assert "the disk is full" in text
    assert metrics.REGISTRY.get_sample_value("router_ready") == 0
    ops.health.clear("store")
    assert metrics.REGISTRY.get_sample_value("router_ready") == 1


async def test_live_whatever_stands_in_the_way(ops):
    ops.health.block("store", "the disk is full")
    assert (await ops.get("/live"))[0] == 200


async def test_metrics_are_brought_up_to_date_and_can_be_parsed(ops):
    status, text = await ops.get("/metrics")
    assert status == 200
    assert ops.refreshed == 1
    names = {family.name for family in text_string_to_metric_families(text)}
    assert "router_event_loop_stall_seconds" in names
    assert all(name.startswith(("router_", "process_")) for name in names)


async def test_other_places_and_methods_are_refused(ops):
    assert (await ops.get("/other"))[0] == 404
    reply = await ops.ask("POST", "/live", data=b"x")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    reply = await ops.ask("HEAD", "/live")
    assert (reply.status, reply.headers["Content-Length"]) == (200, "14")
    assert reply.content_type == "application/json"
    assert (await ops.ask("GET", "/live", data=b"x" * 2_000)).status == 413


async def test_a_scrape_that_fails_is_an_answer_too(ops):
    async def fails():
        raise OSError("no memory")

    ops.server._scrapes._refresh = fails
    assert (await ops.get("/metrics"))[0] == 500
    assert (await ops.get("/live"))[0] == 200
