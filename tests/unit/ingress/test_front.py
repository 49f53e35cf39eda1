"""The ingress process, real: what holds with the listener in the router holds with it outside."""

import asyncio
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest

from router.config import IngressSettings, Settings, StoreSettings
from router.ingress import front
from router.ingress.front import IngressProcess, Notices
from router.model.errors import ConfigError
from router.store.sqlite.store import SqliteStore
from router.telemetry import metrics
from tests.patience import PATIENCE_S, until
from tests.unit.http.client import connect, no_function, post
from tests.unit.ingress.test_webhooks import (
    ARN,
    BODY,
    OPEN,
    SECRETS,
    SPECS,
    counted,
    resolve,
    shard_id,
    signed,
    spec,
)

pytestmark = pytest.mark.slow

LOCKS = ("plain", "landlock", "seccomp")
SENDERS = 8


class Heard(Notices):
    def __init__(self):
        self.told = []

    def down(self, text):
        self.told.append(text)

    def up(self):
        self.told.append("up")


class Site:
    """A store, a front with its process, and clients."""

    def __init__(self, folder, secrets, answering=no_function, **listen):
        self.answering = answering
        self.store = SqliteStore(folder / "data", StoreSettings())
        self.notices = Heard()
        self.secrets = secrets
        settings = Settings(listen=IngressSettings(**listen))
        self.make = lambda: IngressProcess(
            self.store.streams,
            self.resolve,
            settings,
            answering=self.answering,
            locks=LOCKS,
            notices=self.notices,
        )
        self.clients = []

    def resolve(self, text):
        if text not in self.secrets:
            raise ConfigError(f"secret {text} is nowhere")
        return self.secrets[text]

    async def start(self, specs=SPECS):
        await self.store.open()
        self.front = self.make()
        self.front.set_webhooks(specs)
        self.address = await self.front.start("127.0.0.1", 0)

    async def stop(self):
        for client in self.clients:
            await client.close()
        await self.front.stop(1)
        await self.store.close()

    async def client(self):
        self.clients.append(await connect(self.address))
        return self.clients[-1]

    async def post(self, data):
        client = await self.client()
        await client.send(data)
        return await client.reply()

    async def records(self, name, shard=0):
        read = self.store.streams.read
        return (await read(ARN + name, shard_id(shard), 0, 10_000, 1 << 26)).records

    @property
    def pid(self):
        return self.front.describe()["process"]

    async def until(self, is_true):
        await until(is_true, look_s=0.02)


@pytest.fixture(autouse=True)
def counters_from_zero():
    metrics.WEBHOOK_REQUESTS.clear()


@pytest.fixture
async def site(tmp_path):
    running = Site(tmp_path, dict(SECRETS))
    await running.start()
    yield running
    await running.stop()


async def test_d1_a_request_is_accepted_once_its_record_is_durable(site):
    reply = await site.post(signed(BODY))
    assert reply.status == 202
    found = [record for shard in range(4) for record in await site.records("github", shard)]
    assert [record.event_id for record in found] == [json.loads(reply.body)["id"]]
    await site.front.measure()
    assert counted("github", "accepted") == 1
    text = metrics.WEBHOOK_DURATION.collect()[0].samples
    assert any(s.labels.get("webhook") == "github" and s.value >= 1 for s in text)


async def test_refusals_are_what_they_are_with_the_listener_inside(site):
    statuses = [
        (await site.post(data)).status
        for data in (
            signed(BODY, secret="wrong"),
            post(BODY, "/github"),
            post(b"{}", "/nowhere"),
            b"GET /github HTTP/1.1\r\nhost: x\r\n\r\n",
            post(b"x" * 1_001, "/small"),
            post(b"{}", "/locked"),
            b"POST /large HTTP/1.1\r\n\r\n",
            b"\0\r\n\r\n",
        )
    ]
    assert statuses == [401, 401, 404, 405, 413, 500, 400, 400]
    assert await site.records("large") == []
    await site.front.measure()
    assert counted("github", "signature_invalid") == 1
    assert counted("small", "body_too_large") == 1


async def test_a_repetition_hears_of_the_first(site):
    replies = [
        await site.post(signed(BODY, path="/dedup", X_GitHub_Delivery="7")) for _ in range(2)
    ]
    assert replies[0].body == replies[1].body
    assert len(await site.records("dedup")) == 1
    await site.front.measure()
    assert (counted("dedup", "accepted"), counted("dedup", "duplicate")) == (1, 1)


async def test_a_batch_is_kept_whole(site):
    site.front.set_webhooks([*SPECS, spec("events", signature=OPEN, form="CloudEvents")])
    await site.front.heard()
    one = {"specversion": "1.0", "source": "s", "type": "t"}
    body = json.dumps([one | {"id": str(number)} for number in range(3)]).encode()
    kind = "application/cloudevents-batch+json"
    reply = await site.post(post(body, "/events", Content_Type=kind))
    assert reply.status == 202
    stored = [record.event_id for record in await site.records("events")]
    assert json.loads(reply.body)["ids"] == stored
    assert len(stored) == 3


async def test_a_change_is_in_force_once_it_was_heard(site):
    site.front.set_webhooks([*SPECS, spec("new", signature=OPEN)])
    await site.front.heard()
    assert (await site.post(post(b"{}", "/new"))).status == 202
    site.front.set_webhooks(SPECS)
    await site.front.heard()
    assert (await site.post(post(b"{}", "/new"))).status == 404


async def test_a_change_that_is_wrong_changes_nothing(site):
    with pytest.raises(ConfigError, match="same path"):
        site.front.set_webhooks([*SPECS, spec("other", path="/large")])
    assert (await site.post(post(b"{}", "/large"))).status == 202


async def test_a_secret_is_renewed_without_a_restart(site, monkeypatch):
    monkeypatch.setattr(front, "UNUSABLE_S", 0.02)
    monkeypatch.setattr(front, "SECRETS_S", 0.0)
    client = await site.client()

    async def status(secret, path):
        await client.send(signed(BODY, secret=secret, path=path))
        return (await client.reply()).status

    assert await status("x", "/locked") == 500
    site.secrets["{{absent}}"] = "x"
    async with asyncio.timeout(PATIENCE_S):
        while await status("x", "/locked") != 202:
            await asyncio.sleep(0.1)
    site.secrets["{{absent}}"] = "y"
    async with asyncio.timeout(PATIENCE_S):
        while await status("x", "/locked") != 401:
            await asyncio.sleep(0.05)
    assert await status("y", "/locked") == 202


async def test_k3_nothing_accepted_is_lost_when_the_process_is_killed(site):
    accepted, is_over = set(), False

    async def send(number):
        count = 0
        while not is_over:
            try:
                client = await connect(site.address)
                while not is_over:
                    count += 1
                    await client.send(post(b'{"n":"%d-%d"}' % (number, count), "/large"))
                    reply = await client.reply()
                    if reply.status == 202:
                        accepted.add(json.loads(reply.body)["id"])
            except (OSError, EOFError):
                pass
            finally:
                await client.close()

    sending = [asyncio.create_task(send(number)) for number in range(SENDERS)]
    for life in range(2):
        before, pid = len(accepted), site.pid
        await site.until(lambda before=before: len(accepted) > before + 50)
        os.kill(pid, signal.SIGKILL)
        await site.until(lambda pid=pid: site.pid not in {None, pid})
        assert site.front.describe()["restarts"] == life + 1
    before = len(accepted)
    await site.until(lambda: len(accepted) > before + 50)
    is_over = True
    await asyncio.gather(*sending)
    stored = {record.event_id for record in await site.records("large")}
    assert accepted <= stored
    assert site.notices.told[-1] == "up"
    assert sum(text != "up" for text in site.notices.told) == 2


async def test_a_process_that_is_stuck_is_replaced(site, monkeypatch):
    pid, usual_s = site.pid, front.ASK_S
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(front, "ASK_S", 0.05)
    site.front._tasks[2].cancel()
    site.front._tasks[2] = asyncio.create_task(site.front._keep_asking())
    await site.until(lambda: site.pid != pid)
    monkeypatch.setattr(front, "ASK_S", usual_s)  # the next one may be slow
    await site.until(lambda: site.pid not in {None, pid})
    assert (await site.post(post(b"{}", "/large"))).status == 202


async def test_s1_draining_refuses_what_is_new_and_stopping_ends_the_process(site):
    site.front.drain()
    assert (await site.post(post(b"{}", "/large"))).status == 503
    pid = site.pid
    await site.front.stop(1)
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(OSError, match=r"."):
        await connect(site.address)


async def test_s1_what_has_begun_is_answered_before_the_process_ends(site):
    client = await site.client()
    request = post(b"x" * 500_000, "/large", Expect="100-continue")
    head_bytes = request.index(b"\r\n\r\n") + 4
    await client.send(request[:head_bytes])
    assert (await client.reply(has_body=False)).status == 100  # so it has begun
    await client.send(request[head_bytes:100_000])
    stopping = asyncio.create_task(site.front.stop(PATIENCE_S))
    await asyncio.sleep(0.2)
    await client.send(request[100_000:])
    # It was begun before, and its head was admitted: in or out, but never without an answer.
    assert (await client.reply()).status in {202, 503}
    await stopping


async def test_it_holds_neither_secrets_of_others_nor_the_store(site, monkeypatch):
    assert set(site.front.describe()["locks"]) <= set(LOCKS)
    try:
        files = [str(entry.readlink()) for entry in Path(f"/proc/{site.pid}/fd").iterdir()]
        environ = Path(f"/proc/{site.pid}/environ").read_bytes()
    except PermissionError:
        assert os.getuid() != 0  # it is hidden from all others of its user, this test too
        return
    assert not any("router.db" in file for file in files)
    names = {pair.partition(b"=")[0] for pair in environ.split(b"\0") if pair}
    assert not any(name.startswith((b"ROUTER_", b"AWS_")) for name in names)


async def test_it_ends_with_the_other_end_of_the_link(site):
    pid = site.pid
    site.front._child.link.abort()
    await site.until(lambda: not Path(f"/proc/{pid}").exists())
    await site.until(lambda: site.pid is not None)


async def test_sigterm_is_for_the_router_alone(site):
    os.kill(site.pid, signal.SIGTERM)
    os.kill(site.pid, signal.SIGINT)
    assert (await site.post(post(b"{}", "/large"))).status == 202
    assert site.front.describe()["restarts"] == 0


@pytest.fixture
async def quiet(tmp_path):
    """With nothing to serve."""
    running = Site(tmp_path, dict(SECRETS))
    await running.start(())
    yield running
    await running.stop()


async def test_nothing_to_serve_needs_no_process_until_somebody_connects(quiet):
    about = quiet.front.describe()
    assert (about["is_wanted"], about["process"]) == (False, None)
    await quiet.front.measure()
    await quiet.front.started()
    assert quiet.notices.told == []
    replies = await asyncio.gather(*(quiet.post(post(b"{}", "/large")) for _ in range(3)))
    assert [reply.status for reply in replies] == [404] * 3
    assert quiet.notices.told == ["up"]
    assert quiet.pid is not None


async def test_the_first_webhook_starts_it(quiet):
    quiet.front.set_webhooks(SPECS)
    assert quiet.front.describe()["is_wanted"]
    assert (await quiet.post(post(b"{}", "/large"))).status == 202
    await quiet.front.started()
    assert quiet.notices.told == ["up"]
    quiet.front.set_webhooks(())
    await quiet.front.heard()
    assert (await quiet.post(post(b"{}", "/large"))).status == 404
    assert quiet.front.describe()["restarts"] == 0


async def test_s1_without_a_process_draining_refuses_and_stopping_closes_the_port(quiet, tmp_path):
    quiet.front.drain()
    quiet.front.set_webhooks(SPECS)
    assert (await quiet.post(post(b"{}", "/large"))).status == 503
    other = Site(tmp_path / "other", dict(SECRETS))
    await other.start(())
    await other.stop()
    with pytest.raises(OSError, match=r"."):
        await connect(other.address)
    other.front.want()
    assert other.pid is None


async def test_one_that_is_started_late_and_fails_is_started_again(quiet, monkeypatch):
    start, tries = front.Child.start, []

    async def fails_first(*given):
        tries.append(given)
        if len(tries) == 1:
            raise OSError("no memory")
        return await start(*given)

    monkeypatch.setattr(front.Child, "start", fails_first)
    assert (await quiet.post(post(b"{}", "/large"))).status == 404
    assert quiet.notices.told == ["the ingress process ended and is started again", "up"]


async def test_one_that_a_starting_router_needs_must_start(quiet, monkeypatch):
    async def fails(*_given):
        raise OSError("no memory")

    monkeypatch.setattr(front.Child, "start", fails)
    quiet.front.want()
    with pytest.raises(front.IngressFailed, match="before it listened"):
        await quiet.front.started()
    with pytest.raises(OSError, match=r"."):
        await connect(quiet.address)


async def test_a_port_that_is_taken_starts_nothing(site, tmp_path):
    other = IngressProcess(site.store.streams, resolve, Settings(), answering=no_function)
    with pytest.raises(OSError, match="in use"):
        await other.start(*site.address)
    assert other.describe()["process"] is None


async def test_more_connections_than_fit_are_told(tmp_path):
    running = Site(tmp_path, dict(SECRETS), connections_max=2)
    await running.start()
    first = [await running.client() for _ in range(2)]
    for client in first:
        await client.send(post(b"{}", "/large"))
        assert (await client.reply()).status == 202
    third = await running.client()
    assert (await third.reply()).status == 503
    assert await third.is_closed()
    async with asyncio.timeout(PATIENCE_S):
        while metrics.REGISTRY.get_sample_value("router_ingress_connections") != 2:
            await running.front.measure()
    await running.stop()


def test_what_travels_is_a_specs_own_shape():
    specs = [*SPECS]
    data = msgspec.msgpack.encode(specs)
    assert msgspec.msgpack.decode(data, type=list[type(specs[0])]) == specs
