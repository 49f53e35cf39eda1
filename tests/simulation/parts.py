"""The production parts a world is built from; mutants replace one of them."""

from collections.abc import Callable

import msgspec

from router.destinations.outbox import Courier
from router.dispatch.dispatcher import Dispatcher
from router.mapping.engine import Engine
from router.mapping.kinds.kafka import KafkaKind
from router.mapping.queue_engine import QueueEngine
from router.mapping.queue_shell import QueueShell
from router.mapping.shard import RunAhead
from router.mapping.shell import Shell
from router.mapping.stream_engine import StreamEngine
from router.model.mapping_spec import MappingSpec
from router.sources.kafka.member import Member
from router.sources.webhook_format import WebhookFormat
from router.store.sqlite.outbox import SqliteOutbox
from router.store.sqlite.progress import SqliteProgress

MakeEngine = Callable[[MappingSpec, RunAhead], Engine]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Classes, or what makes one."""

    engine: MakeEngine = StreamEngine
    shell: type[Shell] = Shell
    dispatcher: type[Dispatcher] = Dispatcher
    courier: type[Courier] = Courier
    progress: type[SqliteProgress] = SqliteProgress
    outbox: type[SqliteOutbox] = SqliteOutbox
    format: type[WebhookFormat] = WebhookFormat
    queue_engine: type[QueueEngine] = QueueEngine
    queue_shell: type[QueueShell] = QueueShell
    kafka_kind: type[KafkaKind] = KafkaKind
    kafka_member: type[Member] = Member
