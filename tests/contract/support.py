"""A control plane over a real store and real sockets, and clients that call it from outside.

The clients are unmodified and live in a virtual environment of their own (`make clients`).
"""

import asyncio
import base64
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

from router.app.asynchronous import AsyncInvoker
from router.app.services import api_server, make_services
from router.auth.aws_session import AwsSession
from router.auth.peer import FunctionPeers
from router.control.context import FUNCTION_CALLS, Principal
from router.control.server import ControlServer
from router.embedded.queues import EmbeddedQueues
from router.functions.resolve import FunctionResolver
from router.model.concurrency import RESERVED_LIMIT, ProvisionedStatus
from router.model.errors import NotFound, NotInvoked
from router.model.function import InvokeReply
from router.model.function_url import url_text
from router.model.hosting import Hosting
from router.model.resources import Webhook
from router.model.webhook import Signature, WebhookSpec
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from router.workers.logs import LogWriter
from tests.patience import PATIENCE_S
from tests.resting import RestingMappings

REGION = "us-east-1"
ACCOUNT = "000000000000"
KEY, SECRET = "AKIDEXAMPLE", "the-secret"
ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
AGENT = Path(__file__).with_name("boto_agent.py")


class ScriptedInvoker:
    """Answers by the event: what the workers answer is their own tests' business."""

    def __init__(self, functions):
        self.functions = functions
        self.calls = []

    async def invoke(self, function, qualifier, payload, **about):
        version = self.functions.get(function, qualifier)
        self.calls.append((function, qualifier, payload, about))
        event = json.loads(payload)
        if event == "throttle":
            raise NotInvoked("throttled")
        if event == "throttle reserved":
            raise NotInvoked("throttled", detail=RESERVED_LIMIT)
        if event in ("stream", "stream and fail"):
            stream = about["stream"]
            stream.begin("text/plain", int)
            for piece in (b"one ", b"two"):
                stream.write(piece)
                await asyncio.sleep(0.05)
            error_type = "Runtime.StreamError" if event == "stream and fail" else None
            document = b'{"errorMessage":"no"}' if error_type else b""
            return InvokeReply(payload=document, error_type=error_type, log=b"LOG")
        if event == "fail":
            return InvokeReply(payload=b'{"errorMessage":"no"}', error_type="Error")
        answer = {"event": event, "request_id": about["request_id"]}
        return InvokeReply(
            payload=json.dumps(answer).encode(),
            log=b"START\nEND\n",
            executed_version=version.version,
        )


IMAGES = ("registry.example:5000/team/app:1", "registry.example:5000/team/app:2")
"""Unpacked, once a test has made them, in `images/1` and `images/2` of the harness's folder."""


class ScriptedStatuses:
    """Provisioned concurrency gets no further than a test says."""

    def __init__(self):
        self.by_function = {}

    def status(self, config):
        return self.by_function.get(config.function, ProvisionedStatus("IN_PROGRESS"))


class Harness:
    """The control plane on its own thread and loop."""

    def __init__(self, folder):
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    async def start(self):
        self.store = SqliteStore(self.folder)
        await self.store.open()
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.load()
        spec = WebhookSpec(
            name="hook",
            arn=f"arn:aws:router:{REGION}:{ACCOUNT}:webhook/hook",
            path="/hook",
            signature=Signature(scheme="none"),
        )
        await self.catalog.commit([put("webhook", "hook", Webhook(spec=spec))])
        self.queues = EmbeddedQueues(
            self.catalog, self.store.queues, _wall_ms, region=REGION, account=ACCOUNT
        )
        self.draws = random.Random(1)
        self.invoker = ScriptedInvoker(
            FunctionResolver(self.catalog, REGION, ACCOUNT, self.draws.random)
        )
        self.objects = AwsSession(REGION)
        self.acceptor = AsyncInvoker(self.store.asynchronous, _wall_ms)
        self.runtime = RestingMappings(self.catalog)
        self.logs = LogWriter(self.folder, file_bytes_max=20_000)
        self.statuses = ScriptedStatuses()
        self.services = await make_services(
            self.folder,
            self.catalog,
            self.queues,
            self.invoker,
            self.acceptor,
            FunctionResolver(self.catalog, REGION, ACCOUNT),
            self.runtime,
            {"Echo": self._echo},
            _wall_ms,
            account=ACCOUNT,
            clients=self.objects,
            url_of=lambda url: url_text(url.id, REGION, "", "http://127.0.0.1:8080"),
            log_writer=self.logs,
            hosting=Hosting(
                file_systems={"/mnt/ledger": "/srv/ledger"},
                images={uri: str(self.folder / "images" / uri[-1]) for uri in IMAGES},
            ),
            provisioning=self.statuses,
        )
        where = {"region": REGION, "account": ACCOUNT, "connections_max": 64}
        function = Principal("fn", "fn-secret", FUNCTION_CALLS)
        functions = ControlServer(**where, principal_of={"ASIAFUNCTION": function}.get)
        functions.serve("lambda", self.services.models["lambda"], *self.services.lambda_parts)
        functions.serve("sqs", self.services.models["sqs"], *self.services.sqs)
        functions.serve("sts", self.services.models["sts"], self.services.sts)
        keys = {KEY: SECRET}
        self.servers = {
            "open": api_server(
                self.services, FunctionPeers(0, 0), **where, access_keys={}, token=""
            ),
            "keyed": api_server(
                self.services, FunctionPeers(0, 0), **where, access_keys=keys, token="the-token"
            ),
            "functions": functions,
        }
        for server in self.servers.values():
            await server.start("127.0.0.1", 0)

    @staticmethod
    async def _echo(request):
        if "fail" in request:
            raise NotFound("no such thing")
        return {"echo": request}

    async def stop(self):
        await self.logs.close()
        self.queues.stop()
        await self.queues.moves.stop()
        for server in self.servers.values():
            await server.close()
        await self.objects.close()
        await self.store.close()

    def url(self, listener="open"):
        return f"http://127.0.0.1:{self.servers[listener].port}"


def _wall_ms():
    return int(time.time() * 1000)


class ClientError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['status']} {error['code']}: {error['message']}")
        self.name = error["class"]
        self.status = error["status"]
        self.code = error["code"]
        self.message = error["message"]
        self.headers = error["headers"]
        self.response = error["response"]


class Agent:
    """boto3 in another process: `agent("sqs", "create_queue", QueueName="a")`."""

    def __init__(self, url, key="any", secret="any"):
        self.process = subprocess.Popen(
            [str(CLIENTS / "bin/python"), str(AGENT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=client_environment(url, key, secret),
        )

    def __call__(self, service, operation, *, validates=True, **params):
        request = {
            "service": service,
            "operation": operation,
            "params": params,
            "validates": validates,
        }
        self.process.stdin.write(json.dumps(request, default=_encode) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline(), object_hook=_decode)
        if "ok" in answer:
            return answer["ok"]
        if "error" in answer:
            raise ClientError(answer["error"])
        raise AssertionError(answer["failure"])

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE_S)


def _encode(value):
    return {"$bytes": base64.b64encode(value).decode()}


def _decode(value):
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    return value


def client_environment(url, key, secret):
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
