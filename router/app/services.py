"""The AWS services of this router, and the two listeners that serve them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from router.app.functions import FunctionKeys
from router.auth.peer import FunctionPeers
from router.control.code_links import PREFIX, CodeLinks
from router.control.context import FUNCTION_CALLS, Principal
from router.control.lambda_service.aliases import Aliases
from router.control.lambda_service.code_source import Clients, CodeSource
from router.control.lambda_service.concurrency import Concurrency
from router.control.lambda_service.event_invoke import EventInvokes
from router.control.lambda_service.fixed import Absent, FunctionExtras
from router.control.lambda_service.functions import Functions
from router.control.lambda_service.invoke import Acceptor, Invocations, Invoker
from router.control.lambda_service.layers import Layers
from router.control.lambda_service.listing import Listing
from router.control.lambda_service.mappings import MappingRuntime, Mappings, QueuesElsewhere
from router.control.lambda_service.policies import Policies
from router.control.lambda_service.presenter import Presenter
from router.control.lambda_service.provisioned import ProvisionedConcurrency, ProvisionedStatuses
from router.control.lambda_service.states import Transitions
from router.control.lambda_service.tags import Tags
from router.control.lambda_service.urls import UrlOf, Urls
from router.control.logs_service import logs_parts
from router.control.logs_service.events import Settles
from router.control.model import ServiceModel, load
from router.control.server import ControlServer
from router.control.service import PlainHandler
from router.control.sqs import sqs_parts
from router.control.sts_service import StsService
from router.embedded.queues import EmbeddedQueues
from router.functions.packages import CodeStore
from router.functions.resolve import FunctionResolver
from router.model.concurrency import AWS_LIMIT, AccountLimit
from router.model.hosting import Hosting
from router.store.catalog import Catalog

MODELS = ("lambda", "logs", "sqs", "sts")


class Services(msgspec.Struct, frozen=True):
    """What listeners serve."""

    models: Mapping[str, ServiceModel]
    lambda_parts: tuple[object, ...]
    """Functions, layers, invocations, concurrency …: one object for each area of Lambda."""
    logs: tuple[object, ...]
    """As `lambda_parts`."""
    sqs: tuple[object, ...]
    """As `lambda_parts`."""
    sts: StsService
    links: CodeLinks
    private: Mapping[str, PlainHandler]


async def make_services(
    data: Path,
    catalog: Catalog,
    queues: EmbeddedQueues,
    invoker: Invoker,
    acceptor: Acceptor,
    functions: FunctionResolver,
    runtime: MappingRuntime,
    private: Mapping[str, PlainHandler],
    wall_ms: Callable[[], int],
    *,
    account: str,
    hosting: Hosting,
    clients: Clients,
    url_of: UrlOf,
    log_writer: Settles,
    elsewhere: QueuesElsewhere | None = None,
    limit: AccountLimit = AWS_LIMIT,
    provisioning: ProvisionedStatuses,
) -> Services:
    """Build every service. Raises `ModelError`."""
    models = await load(data / "cache", MODELS)
    codes = CodeStore(data / "code")
    source = CodeSource(codes, clients)
    links = CodeLinks(catalog, codes, wall_ms)
    transitions = Transitions()
    presenter = Presenter(codes, transitions)
    return Services(
        models,
        (
            Functions(
                catalog, codes, source, presenter, transitions, models["lambda"], wall_ms, hosting
            ),
            Listing(catalog, presenter, links),
            Aliases(catalog),
            Urls(catalog, url_of, wall_ms),
            Layers(catalog, source, links, wall_ms),
            Invocations(catalog, invoker, acceptor, transitions),
            Mappings(catalog, runtime, wall_ms, hosting, elsewhere),
            Tags(catalog),
            Concurrency(catalog, limit),
            EventInvokes(catalog, functions, wall_ms),
            Policies(catalog),
            FunctionExtras(catalog),
            Absent(),
            ProvisionedConcurrency(catalog, limit, provisioning, wall_ms),
        ),
        logs_parts(data, catalog, log_writer, wall_ms),
        sqs_parts(queues, account),
        StsService(),
        links,
        private,
    )


def api_server(
    services: Services,
    peers: FunctionPeers,
    *,
    region: str,
    account: str,
    access_keys: Mapping[str, str],
    token: str,
    connections_max: int,
) -> ControlServer:
    """The listener for operators and SDKs; `token` is what the CLI of this machine shows."""
    server = ControlServer(
        region=region,
        account=account,
        access_keys=access_keys,
        token=token,
        peers=peers,
        connections_max=connections_max,
    )
    _serve_all(server, services)
    server.register("router", services.private)
    server.mount(PREFIX, services.links.page)
    return server


def functions_server(
    services: Services, keys: FunctionKeys, *, region: str, account: str, connections_max: int
) -> ControlServer:
    """The listener for environments: a key names its function, an allow-list says the rest."""

    def principal_of(access_key_id: str) -> Principal | None:
        holder = keys.holder_of(access_key_id)
        return None if holder is None else Principal(holder[0], holder[1], FUNCTION_CALLS)

    server = ControlServer(
        region=region, account=account, principal_of=principal_of, connections_max=connections_max
    )
    _serve_all(server, services)
    return server


def _serve_all(server: ControlServer, services: Services) -> None:
    server.serve("lambda", services.models["lambda"], *services.lambda_parts)
    server.serve("logs", services.models["logs"], *services.logs)
    server.serve("sqs", services.models["sqs"], *services.sqs)
    server.serve("sts", services.models["sts"], services.sts)
