"""Requests to the SQS and Lambda APIs, body to answer, in front of a store that forgets.

First line: `AmazonSQS.SendMessage`, a target, or `POST /2015-03-31/functions?x=y`; then the body.
At a queue's path the body is a form.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

from structlog.testing import capture_logs

from router.control.auth import Authenticator
from router.control.code_links import CodeLinks
from router.control.dispatch import Dispatcher
from router.control.lambda_service.aliases import Aliases
from router.control.lambda_service.code_source import CodeSource
from router.control.lambda_service.functions import Functions
from router.control.lambda_service.invoke import Invocations
from router.control.lambda_service.layers import Layers
from router.control.lambda_service.listing import Listing
from router.control.lambda_service.mappings import Mappings
from router.control.lambda_service.policies import Policies
from router.control.lambda_service.presenter import Presenter
from router.control.lambda_service.states import Transitions
from router.control.lambda_service.tags import Tags
from router.control.model import load
from router.control.protocol.wire import Request
from router.control.service import ModelledService
from router.control.sqs import sqs_parts
from router.embedded.queues import EmbeddedQueues
from router.functions.packages import CodeStore
from router.model.function import InvokeReply
from router.model.resources import Function, Queue, Webhook
from router.model.webhook import Signature, WebhookSpec
from router.store.catalog import KINDS, Catalog, put
from router.store.queues import QueueCounts, SentToFifo, Standing
from tests.resting import RestingMappings

ARN = "arn:aws:router:us-east-1:000000000000:webhook/hook"
FOLDER = tempfile.TemporaryDirectory()
LOOP = asyncio.new_event_loop()


def wall_ms():
    return 1_000_000


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

    async def retime(self, queue, **_times):
        return

    def subscribe(self, queue, wake):
        return lambda: None

    @property
    def fifo(self):
        return ForgetsOrder()

    @property
    def moves(self):
        return ForgetsMoves()


class ForgetsOrder:
    """As `Forgets`, for FIFO queues."""

    async def send(self, messages, now_ms, *, is_scope_group):
        return [SentToFifo(message.message_id, 1) for message in messages]

    async def receive(self, *_args, **_options):
        return []

    async def delete(self, queue, receipts, now_ms):
        return [Standing.GONE] * len(receipts)

    async def change_visibility(self, *_args):
        return Standing.GONE

    async def next_ready_ms(self, queue, now_ms):
        return None


class ForgetsMoves:
    """As `Forgets`, for tasks: there is always one already."""

    async def start(self, task):
        return False

    async def cancel(self, handle):
        return None

    async def tasks(self, source=None):
        return []


class Runtime(RestingMappings):
    """And functions that return what they get."""

    async def invoke(self, function, qualifier, payload, **about):
        return InvokeReply(payload=payload)

    async def accept(self, function, qualifier, payload, **about):
        """No event is kept."""


class Nowhere:
    """AWS, out of reach."""

    async def client(self, service, _region=""):
        raise ConnectionError(f"{service} is out of reach")


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
        arn = "arn:aws:sqs:us-east-1:000000000000"
        queue = Queue(name="q", arn=f"{arn}:q", created_s=0, modified_s=0)
        fifo = Queue(name="q.fifo", arn=f"{arn}:q.fifo", created_s=0, modified_s=0)
        spec = WebhookSpec(name="hook", arn=ARN, path="/h", signature=Signature(scheme="none"))
        self.known = [
            put("function", "f", function),
            put("queue", "q", queue),
            put("queue", "q.fifo", fifo),
            put("webhook", "hook", Webhook(spec=spec)),
        ]

    async def start(self):
        where = {"region": "us-east-1", "account": "000000000000"}
        queues = EmbeddedQueues(self.catalog, self.store, wall_ms, **where)
        queues.stop()
        folder = Path(FOLDER.name)
        models = await load(folder / "cache", ("lambda", "sqs"))
        codes = CodeStore(folder / "code")
        source = CodeSource(codes, Nowhere())
        links = CodeLinks(self.catalog, codes, wall_ms)
        transitions, runtime = Transitions(), Runtime(self.catalog)
        presenter = Presenter(codes, transitions)
        functions = Functions(
            self.catalog, codes, source, presenter, transitions, models["lambda"], wall_ms
        )
        listing = Listing(self.catalog, presenter, links)
        aliases = Aliases(self.catalog)
        layers = Layers(self.catalog, source, links, wall_ms)
        invocations = Invocations(self.catalog, runtime, runtime, transitions)
        mappings = Mappings(self.catalog, runtime, wall_ms)
        for name, parts in (
            (
                "lambda",
                (
                    functions,
                    listing,
                    aliases,
                    Policies(self.catalog),
                    layers,
                    invocations,
                    mappings,
                    Tags(self.catalog),
                ),
            ),
            ("sqs", sqs_parts(queues, "000000000000")),
        ):
            self.dispatcher.add(ModelledService(name, models[name], parts))

    async def ask(self, request, query):
        for kind in KINDS:
            self.catalog.table(kind).clear()
        await self.catalog.commit(self.known)
        call = self.dispatcher.locate(request, query)
        return await self.dispatcher.answer(call, request, query, "http://h", "id")


SITE = Site()
LOOP.run_until_complete(SITE.start())


def one_input(data):
    line, _, body = data.partition(b"\n")
    method, _, target = line.decode("latin-1").partition(" ")
    headers, query = {}, ""
    if target:
        path, _, query = target.partition("?")
    else:
        method, path, headers = "POST", "/", {"x-amz-target": method}
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    request = Request(method, path, pairs, headers, body)
    with capture_logs() as logs:
        reply = LOOP.run_until_complete(SITE.ask(request, query))
    assert all(line["log_level"] != "error" for line in logs), logs
    assert reply.status < 500 or reply.status == 501, reply.body
    if reply.headers.get("Content-Type") == "text/xml":
        assert ET.fromstring(reply.body) is not None
    else:
        assert reply.status == 200 or not reply.body or json.loads(reply.body) is not None
