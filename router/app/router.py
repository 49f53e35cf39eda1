"""The router: everything built, started, drained and stopped in the right order."""

import asyncio
import contextlib
import functools
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import msgspec
import structlog

from router.app import ports
from router.app.admin import Admin
from router.app.asynchronous import AsyncInvoker, CatalogTargets, waits_of
from router.app.aws_queues import AwsQueues
from router.app.capacity import (
    api_connections_fitting,
    buffer_bytes_default,
    concurrency_default,
    has_ingress_process,
    ingress_fitting,
    raise_open_files,
)
from router.app.connect import EmbeddedConnector, KindTable, QueueConnector, QueueMailbox
from router.app.debugging import Debugging
from router.app.destinations import make_accept, make_carriers, make_reach, problems
from router.app.draining import Drain
from router.app.functions import ApiInvoker, FunctionKeys
from router.app.gauges import refresh
from router.app.health import IngressNotices
from router.app.identity import ADDRESS_FILE, claim, write_private
from router.app.jumps import SteadyClock
from router.app.looks import make_site
from router.app.maintenance import Maintenance
from router.app.options import Options
from router.app.own_template import OwnTemplate
from router.app.services import api_server, functions_server, make_services
from router.app.sources import kafka_clusters, mapping_problems
from router.app.stacks import Stacks
from router.app.supervisor import Supervisor
from router.app.workers import hosting_of, make_launcher, probe_isolation
from router.asynchronous.runner import Runner
from router.auth.aws_session import AwsSession
from router.auth.peer import FunctionPeers
from router.auth.webhooks import scheme_for
from router.config import IngressSettings, Settings, resolve_secret
from router.control.server import ControlServer
from router.destinations.kafka_topic import KafkaTopic
from router.destinations.outbox import Courier
from router.dispatch import provisioning
from router.dispatch.dispatcher import Dispatcher
from router.dispatch.provisioning import Provisioning
from router.embedded.queues import EmbeddedQueues
from router.functions.dependents import changed_functions, code_in_use
from router.functions.packages import CodeStore
from router.functions.resolve import FunctionResolver, may_loop
from router.ingress.front import IngressProcess
from router.ingress.listener import Ingress
from router.ingress.url_calls import LocalCaller
from router.ingress.url_service import UrlService
from router.mapping.budget import Budget
from router.mapping.kinds.kafka import KafkaKind
from router.mapping.kinds.queue import QueueKind
from router.mapping.kinds.stream import StreamKind
from router.mapping.manager import MappingManager
from router.model.concurrency import account_limit
from router.model.errors import ConfigError
from router.model.function import FunctionVersion
from router.model.function_url import FunctionUrl, url_text
from router.ops.server import Health, OpsServer
from router.sources.kafka.access import secrets_in
from router.sources.kafka.clusters import Clusters
from router.sources.sqs_format import SqsFormat
from router.store.base import Change
from router.store.catalog import Catalog, named
from router.store.sqlite import SqliteStore
from router.telemetry import metrics
from router.telemetry.loop_watch import LoopWatch
from router.template.desired import DesiredState
from router.workers.isolation.plain import hide_from_peers
from router.workers.isolation.plan import Planner
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings
from router.workers.runtimes import host

log = structlog.get_logger()


class Router:
    """One router on one data folder. `async with Router(…).running() as router:`."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings = settings
        self.options = options
        self.hosting = hosting_of(settings, options)
        self.health = Health()
        self.clock = SteadyClock()
        self.addresses: dict[str, str] = {}
        self.token = secrets.token_urlsafe(32)
        self._started = time.monotonic()
        self._supervisor = Supervisor(os.environ)
        self.template = OwnTemplate(settings, options, self._apply_own, self.clock.wall_ms)
        self._limit = account_limit(
            settings.concurrency_max or concurrency_default(), settings.unreserved_concurrency_min
        )
        self._undo = contextlib.AsyncExitStack()

    # Life

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Router"]:
        """Start, hand over, drain and stop. Raises `RouterError` when it cannot start."""
        try:
            await self._start()
            yield self
        finally:
            await self._undo.aclose()

    async def _start(self) -> None:
        settings = self.settings
        self._refuse_open_api()
        await self.template.read()
        self.data = claim(settings)
        await self._open_store()
        ports.check_free({"api": settings.api, "ingress": settings.ingress, "ops": settings.ops})
        self.isolation, self._isolation_settings = await probe_isolation(settings)
        self.hosting = msgspec.structs.replace(
            self.hosting, image_problem=self.isolation.image_problem
        )
        await self._start_workers()
        await self._build()
        await self._start_listeners()
        await self.template.start(self.addresses)
        await self.ingress.started()
        await self.mappings.start()
        self._undo.push_async_callback(self.mappings.stop)
        self._spawn(self.runner.run())
        self._undo.push_async_callback(self.runner.stop)
        await self.queues.moves.resume()
        self._undo.push_async_callback(self.queues.moves.stop)
        self._spawn(self.courier.run())
        self._undo.push_async_callback(self.courier.stop, 0.0)
        self._spawn(self.maintenance.run_retention())
        self._spawn(self.maintenance.run_health())
        self._spawn(self.maintenance.run_disk())
        if self.template.is_watching:
            self._spawn(self.template.follow())
        self._spawn(self._supervisor.run())
        self._announce()

    async def drain(self) -> bool:
        """Take in nothing more, let what runs end; False when time ran out (S1, S2)."""
        self._supervisor.stopping()
        return await self._drain.run()

    def _refuse_open_api(self) -> None:
        settings = self.settings
        host = settings.api.rpartition(":")[0].strip("[]")
        is_local = host in {"localhost", "::1"} or host.startswith("127.")
        if not is_local and not settings.access_keys and not settings.insecure:
            raise ConfigError(
                f"the API would listen on {settings.api} without access keys: set [access_keys] "
                "in router.toml, listen on 127.0.0.1, or say --insecure"
            )

    async def _open_store(self) -> None:
        self.store = SqliteStore(self.data, self.settings.store)
        await self.store.open()
        self._undo.push_async_callback(self.store.close)
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.load()
        await CodeStore(self.data / "code").sweep(code_in_use(self.catalog))

    async def _start_workers(self) -> None:
        settings = self.settings
        # At rungs without Landlock functions share this user: its variables are not theirs.
        hide_from_peers()
        self.logs = LogWriter(self.data)
        self._undo.push_async_callback(self.logs.close)
        self.keys = FunctionKeys(settings.region)
        planner = Planner(
            self.isolation,
            self._isolation_settings,
            sys.executable,
            hidden=[path for path in (str(self.data), settings.secrets_dir) if path],
            file_systems=settings.file_systems,
        )
        self.planner = planner
        self.launcher = launcher = await make_launcher(
            self.data,
            self.logs,
            self.hosting,
            planner,
            self.isolation,
            resolve_environment=self._resolve_environment,
            extra_environment=self.keys.environment_of,
        )
        self.pool = Pool(
            launcher,
            self.logs,
            PoolSettings(
                environments_max=self._limit.concurrency,
                idle_s=settings.environment_idle_s,
            ),
        )
        await self.pool.start()
        self._undo.push_async_callback(self.pool.close, 0.0)
        self.dispatcher = Dispatcher(
            self.pool,
            self._limit.concurrency,
            self._limit.unreserved_min,
            functools.partial(may_loop, self.catalog),
        )

    def _resolve_environment(self, function: FunctionVersion) -> dict[str, str]:
        secrets_dir = self.settings.secrets_dir
        return {
            name: resolve_secret(value, secrets_dir) for name, value in function.environment.items()
        }

    async def _build(self) -> None:
        settings = self.settings
        self.functions = FunctionResolver(self.catalog, settings.region, settings.account)
        self.queues = EmbeddedQueues(
            self.catalog,
            self.store.queues,
            self.clock.wall_ms,
            region=settings.region,
            account=settings.account,
        )
        self.mailbox = QueueMailbox(self.catalog, is_embedded=self.hosting.has_queues)
        self.aws = AwsSession(settings.region)
        self._undo.push_async_callback(self.aws.close)
        self.aws_queues = None if self.hosting.has_queues else AwsQueues(self.aws)
        if self.aws_queues is not None:
            self._undo.push_async_callback(self.aws_queues.close)
        self.acceptor = AsyncInvoker(self.store.asynchronous, self.clock.wall_ms)
        accept = make_accept(self.acceptor, self.functions)
        self.clusters = Clusters(
            settings.kafka.clusters,
            secrets_in(settings.secrets_dir),
            settings.kafka.sasl_without_tls,
            settings.kafka.look_s,
        )
        topics = KafkaTopic(make_reach(self.clusters))
        self._undo.push_async_callback(topics.close)
        carriers = make_carriers(self.mailbox, self.aws, topics, accept)
        self.courier = Courier(self.store.outbox, carriers, self.clock.wall_ms)
        self.runner = Runner(
            self.store.asynchronous,
            CatalogTargets(self.catalog, self.functions, settings.region, settings.account),
            self.dispatcher,
            self.mailbox,
            self.clock,
            waits_of(settings.asynchronous),
        )
        self.budget = Budget(settings.buffer_bytes_max or buffer_bytes_default())
        streams = StreamKind(
            self.catalog,
            self.store,
            EmbeddedConnector(self.catalog, self.store.streams),
            self.dispatcher,
            self.mailbox,
            self.clock,
            self.budget,
        )
        self.mappings = MappingManager(
            self.catalog,
            KindTable({"router": streams, "sqs": self._queue_kind(), "kafka": self._kafka_kind()}),
            streams,
            self.dispatcher,
            self.functions,
            budget=self.budget,
            region=settings.region,
            account=settings.account,
            backoff_ms_max=settings.backoff_ms_max,
        )
        self.maintenance = Maintenance(
            self.store, self.catalog, self.mappings, self.health, self.clock.jumps
        )
        self.watch = LoopWatch(metrics.LOOP_STALL.observe)
        self.invoker = ApiInvoker(self.dispatcher, self.functions)
        self.urls = UrlService(
            self.catalog,
            self.invoker,
            region=settings.region,
            account=settings.account,
            secret_of=self._secret_of if settings.access_keys else None,
            wall_ms=self.clock.wall_ms,
        )
        self.ingress = self._make_ingress()
        self.provisioning = Provisioning(
            self.catalog, self.functions, self.dispatcher, self.pool.provisions, self._limit
        )
        self.provisioning.follow()
        # Before anybody can ask: a webhook that exists is never answered 404.
        self._set_webhooks()
        self._serve_urls()
        self.catalog.listen(self._hear)
        for name in self.catalog.functions:
            self.pool.expect(self.functions.current(name))
        self.stacks = Stacks(
            self.catalog,
            self.store,
            self.options,
            self.data,
            self.clock.wall_ms,
            hosting=self.hosting,
            has_own_users="uid" in self.isolation.mechanisms,
        )
        self.admin = Admin(self.catalog, self.store, self.mappings, self._facts, self.clock.wall_ms)

    def _queue_kind(self) -> QueueKind:
        """Who runs mappings on queues."""
        return QueueKind(
            QueueConnector(self.queues).source
            if self.aws_queues is None
            else self.aws_queues.source,
            SqsFormat,
            self.dispatcher,
            self.clock,
            self.budget,
            self._limit.concurrency,
        )

    def _kafka_kind(self) -> KafkaKind:
        return KafkaKind(
            self.store, self.clusters, self.dispatcher, self.mailbox, self.clock, self.budget
        )

    def _make_ingress(self) -> Ingress | IngressProcess:
        settings = msgspec.structs.replace(self.settings, listen=self._listen())

        def resolve(text: str) -> str:
            return resolve_secret(text, settings.secrets_dir)

        if not has_ingress_process(settings.listen):
            caller = LocalCaller(self.urls.answer)
            return Ingress(self.store.streams, resolve, settings.listen, caller=caller)
        return IngressProcess(
            self.store.streams,
            resolve,
            settings,
            answering=self.urls.answer,
            locks=self.isolation.mechanisms,
            notices=IngressNotices(self.health, self.watch),
        )

    def _listen(self) -> IngressSettings:
        """The ingress listener's settings, as far as this machine carries them."""
        files = raise_open_files()
        settings = ingress_fitting(self.settings.listen, files, self._limit.concurrency)
        if settings.connections_max < self.settings.listen.connections_max:
            log.warning(
                "open_files_few", files=files, ingress_connections_max=settings.connections_max
            )
        return settings

    async def _start_listeners(self) -> None:
        settings = self.settings
        self._spawn(self.watch.run())
        await self._start_ops()
        services = await make_services(
            self.data,
            self.catalog,
            self.queues,
            self.invoker,
            self.acceptor,
            self.functions,
            self.mappings,
            self.admin.operations()
            | self.stacks.operations()
            | Debugging(self.functions, self.launcher).operations(),
            self.clock.wall_ms,
            account=settings.account,
            hosting=self.hosting,
            clients=self.aws,
            url_of=self._url_of,
            log_writer=self.logs,
            elsewhere=self.aws_queues,
            limit=self._limit,
            provisioning=self.provisioning,
        )
        whose: dict[str, Any] = {
            "region": settings.region,
            "account": settings.account,
            "connections_max": api_connections_fitting(raise_open_files()),
        }
        facts = self.isolation
        peers = FunctionPeers(facts.uid_first, facts.uid_count if "uid" in facts.mechanisms else 0)
        api = api_server(
            services, peers, access_keys=settings.access_keys, token=self.token, **whose
        )
        functions = functions_server(services, self.keys, **whose)
        self._drain = Drain(
            settings.drain_s,
            self.health,
            self.ingress,
            api,
            self.mappings,
            self.runner,
            self.dispatcher,
            self.courier,
        )
        for name, server, where in (
            ("api", api, settings.api),
            ("functions", functions, "127.0.0.1:0"),
        ):
            host, port = ports.split(where)
            with ports.naming(name, where):
                await server.start(host, port)
            self._undo.push_async_callback(self._close_listener, server)
            self._undo.callback(self.queues.stop)  # before: long polls would hold the server up
            self.addresses[name] = f"http://{ports.shown(server.host)}:{server.port}"
        self.keys.endpoint = self.addresses["functions"]
        self.pool.provisions.open()  # not before: they are told where this router is
        host, port = ports.split(settings.ingress)
        with ports.naming("ingress", settings.ingress):
            bound_host, bound_port = await self.ingress.start(host, port)
        self._undo.push_async_callback(self._stop_ingress)
        self.addresses["ingress"] = f"http://{ports.shown(bound_host)}:{bound_port}"
        self.urls.port = bound_port

    async def _close_listener(self, server: ControlServer) -> None:
        await server.close(self._drain.answer_s)

    async def _stop_ingress(self) -> None:
        await self.ingress.stop(self._drain.answer_s)

    async def _start_ops(self) -> None:
        site = make_site(self)
        self._undo.push_async_callback(site.close)
        self._spawn(site.desk.keep())
        server = OpsServer(self.health, self.watch, self._refresh, site)
        host, port = ports.split(self.settings.ops)
        with ports.naming("ops", self.settings.ops):
            bound_host, bound_port = await server.start(host, port)
        self._undo.push_async_callback(server.stop)
        self.addresses["ops"] = f"http://{ports.shown(bound_host)}:{bound_port}"

    async def _refresh(self) -> None:
        """Before a scrape."""
        await refresh(self.mappings, self.runner, self.ingress, self.clock.wall_ms())

    def _url_of(self, url: FunctionUrl) -> str:
        settings = self.settings
        ingress = self.addresses.get("ingress", f"http://{settings.ingress}")
        return url_text(url.id, settings.region, settings.url_base, ingress)

    def _secret_of(self, access_key_id: str) -> str | None:
        """Of a key that settings or a function hold."""
        if access_key_id in self.settings.access_keys:
            return self.settings.access_keys[access_key_id]
        holder = self.keys.holder_of(access_key_id)
        return None if holder is None else holder[1]

    # What exists changes

    async def _apply_own(self, desired: DesiredState) -> None:
        await self.stacks.apply_own(desired)

    def _set_webhooks(self) -> None:
        self.ingress.set_webhooks([webhook.spec for webhook in self.catalog.webhooks.values()])

    def _serve_urls(self) -> None:
        if self.catalog.function_urls:
            self.ingress.want()

    def _hear(self, changes: Sequence[Change]) -> Awaitable[None] | None:
        kinds = {kind for kind, _ in named(changes)}
        if "webhook" in kinds:
            self._set_webhooks()
        if "function_url" in kinds:
            self._serve_urls()
        if kinds & provisioning.KINDS:
            self.provisioning.follow()
        for name in changed_functions(changes):
            current = self.functions.current(name)
            self.pool.retire(name, current)
            self.pool.expect(current)
        return self.ingress.heard() if "webhook" in kinds else None

    # Telling

    def _announce(self) -> None:
        self.health.clear("starting")
        about = {name: self.addresses[name] for name in ("api", "ingress", "ops")} | {
            "pid": os.getpid()
        }
        address = self.data / ADDRESS_FILE
        write_private(address, about | {"token": self.token})
        self._undo.callback(address.unlink, missing_ok=True)
        log.info(
            "ready",
            **{name: self.addresses[name] for name in ("api", "ingress", "ops")},
            start_ms=round((time.monotonic() - self._started) * 1000),
        )
        for webhook in self.catalog.webhooks.values():
            url = self.addresses["ingress"] + webhook.spec.path
            log.info("webhook_open", webhook=webhook.spec.name, url=url)
        for name, problem in self.webhook_problems().items():
            log.error("webhook_refuses_all", webhook=name, error=problem)
        if self.options.ready_file is not None:
            # Last: whoever waits for it may look for what was said above.
            self.options.ready_file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self.options.ready_file, about)
        self._supervisor.ready()

    def _facts(self) -> dict[str, Any]:
        return {
            "isolation": msgspec.to_builtins(self.isolation),
            "store": dict(self.store.describe()),
            "addresses": self.addresses,
            "concurrency": {
                "limit": self.dispatcher.limit,
                "running": self.dispatcher.running,
                "reserved": self.provisioning.claimed,
                "unreserved_min": self._limit.unreserved_min,
            },
            "buffer": {"limit": self.budget.bytes_max, "held": self.budget.held_bytes},
            "function_problems": {
                name: f"its last invocation failed: {error}"
                for name, error in sorted(self.dispatcher.problems.items())
            },
            "webhook_problems": self.webhook_problems(),
            "destination_problems": problems(self.courier, self.clock.wall_ms()),
            "mapping_problems": mapping_problems(self.catalog, self.mappings),
            "kafka_clusters": kafka_clusters(self.catalog, self.mappings),
            "ingress": self.ingress.describe(),
            "not_ready": self.health.reasons,
            "reload": msgspec.to_builtins(self.template.status),
            "has_queues": self.hosting.has_queues,
            "runtimes": host.describe(self.hosting),
            "url_base": self.settings.url_base,
            "region": self.settings.region,
            "account": self.settings.account,
        }

    def webhook_problems(self) -> dict[str, str]:
        """Webhooks that refuse everything because a secret of theirs is nowhere or malformed."""
        found = {}
        for webhook in self.catalog.webhooks.values():
            spec = webhook.spec
            try:
                folder = self.settings.secrets_dir
                secrets = [resolve_secret(text, folder) for text in spec.signature.secrets]
                scheme_for(spec.signature, secrets)
            except (ConfigError, OSError, UnicodeDecodeError) as error:
                # A decoding error's text would show the secret.
                is_ours = isinstance(error, ConfigError)
                found[spec.name] = str(error) if is_ours else type(error).__name__
        return found

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._see_end)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._undo.push_async_callback(end)

    def _see_end(self, task: "asyncio.Task[None]") -> None:
        """What should run for ever and ends is a bug that must be seen."""
        if not task.cancelled() and (error := task.exception()) is not None:
            name = getattr(task.get_coro(), "__qualname__", "task")
            log.error("task_died", task=name, error=repr(error), exc_info=error)
            self.health.block("task", f"{name} died: {error!r}; restart the router")
