"""Requests to the SQS and Lambda APIs, body to answer, in front of a store that forgets.

First line: `AmazonSQS.SendMessage`, a target, or `POST /2015-03-31/functions?x=y`; then the body.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl

from structlog.testing import capture_logs

from router.app.services import make_services
from router.control.auth import Authenticator
from router.control.dispatch import Dispatcher
from router.control.protocol.wire import Request
from router.control.service import ModelledService
from router.embedded.queues import EmbeddedQueues
from router.model.hosting import Hosting
from router.model.resources import Function, Queue, Webhook
from router.model.webhook import Signature, WebhookSpec
from router.store.base import QueueCounts
from router.store.catalog import Catalog, put
from tests.contract.support import InstantRuntime, ScriptedInvoker

ARN = "arn:aws:router:us-east-1:000000000000:webhook/hook"
FOLDER = tempfile.TemporaryDirectory()
LOOP = asyncio.new_event_loop()


class Forgets:
    """A store of what exists and of messages that keeps nothing."""

    async def load(self):
        return []

    async def apply(self, changes):
        return

    async def send(self, messages):
        return

    async def receive(self, *_args, **_options):
        return []

    async def delete(self, queue, ids):
        return

    async def change_visibility(self, *_args):
        return False

    async def counts(self, queue, now_ms):
        return QueueCounts(0, 0, 0)

    async def next_visible_ms(self, queue, now_ms):
        return None

    async def purge(self, queue):
        return

    def subscribe(self, queue, wake):
        return lambda: None


class Site:
    """The services with one function, one queue and one webhook, whatever was asked before."""

    def __init__(self):
        self.store = Forgets()
        self.catalog = Catalog(self.store)
        self.dispatcher = Dispatcher(Authenticator(None), "us-east-1", "000000000000")
        function = Function(
            name="f", runtime="python3.12", handler="a.b", role="r", code_path="/nonexistent",
            code_hash="0", last_modified_ms=0, revision_id="r",
        )  # fmt: skip
        queue = Queue(
            name="q", arn="arn:aws:sqs:us-east-1:000000000000:q", created_s=0, modified_s=0
        )
        spec = WebhookSpec(name="hook", arn=ARN, path="/h", signature=Signature(scheme="none"))
        self.known = [
            put("function", "f", function),
            put("queue", "q", queue),
            put("webhook", "hook", Webhook(spec=spec)),
        ]

    async def start(self):
        where = {"region": "us-east-1", "account": "000000000000"}
        queues = EmbeddedQueues(self.catalog, self.store, lambda: 1_000_000, **where)
        queues.stop()
        services = await make_services(
            Path(FOLDER.name),
            self.catalog,
            queues,
            ScriptedInvoker(),
            InstantRuntime(self.catalog),
            {},
            lambda: 1_000_000,
            account="000000000000",
            hosting=Hosting(),
        )
        for name, parts in (("lambda", services.lambda_parts), ("sqs", (services.sqs,))):
            self.dispatcher.add(ModelledService(name, services.models[name], parts))

    async def ask(self, request, query):
        for kind in (self.catalog.functions, self.catalog.mappings, self.catalog.queues):
            kind.clear()
        await self.catalog.commit(self.known)
        call = self.dispatcher.locate(request, query)
        return await self.dispatcher.answer(call, request, query, "http://h", "id")


SITE = Site()
LOOP.run_until_complete(SITE.start())


def one_input(data):
    line, _, body = data.partition(b"\n")
    method, _, target = line.decode("utf-8", "replace").partition(" ")
    headers, query = {}, ""
    if target:
        path, _, query = target.partition("?")
    else:
        method, path, headers = "POST", "/", {"X-Amz-Target": method}
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    request = Request(method, path, pairs, headers, body)
    with capture_logs() as logs:
        reply = LOOP.run_until_complete(SITE.ask(request, query))
    assert all(line["log_level"] != "error" for line in logs), logs
    assert reply.status < 500 or reply.status == 501, reply.body
    assert reply.status == 200 or not reply.body or json.loads(reply.body) is not None
