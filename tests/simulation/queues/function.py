"""A function behind a queue: what it reports, as it must (`event-source-mappings.md` 8.4)."""

import json
import random

import msgspec
import orjson

from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from tests.simulation.function import Call, FakeFunction, Reply
from tests.simulation.queues.options import QueueOptions


class Answer(msgspec.Struct, frozen=True):
    """What the function will do with one invocation."""

    reply: Reply
    reported: frozenset[str]

    def failed(self, spec: MappingSpec, names: tuple[str, ...]) -> frozenset[str]:
        """The messages that failed under these settings, told without reading the payload (D9)."""
        if self.reply.error_type is not None:
            return frozenset(names)
        if not spec.is_reporting_failures:
            return frozenset()
        return frozenset(names) if self.reply.is_refused else self.reported

    @property
    def wire(self) -> InvokeReply:
        """As the environment sends it."""
        return self.reply.wire


class QueueFunction:
    """The same function as behind a stream, reading a queue's events."""

    def __init__(self, options: QueueOptions, rng: random.Random) -> None:
        self.fake = FakeFunction(options, rng)  # type: ignore[arg-type]  the same percentages
        self._has_redrive = options.receives_max is not None and not options.is_fifo
        self.poison: set[str] = set()

    def poisoned(self, name: str, number: int) -> None:
        """Every batch with this message fails, or its reply names it."""
        self.poison.add(name)
        self.fake.poison.add(("", number))

    def answer(self, names: tuple[str, ...], groups: tuple[str, ...]) -> Answer:
        """What it does with this batch."""
        reply = self._reply(names)
        if reply.reported is None:
            return Answer(reply, frozenset())
        entries = orjson.loads(reply.payload)["batchItemFailures"]
        reported = {entry["itemIdentifier"] for entry in entries}
        reported |= {name for name in names if name in self.poison}
        broken: set[str] = set()
        for name, group in zip(names, groups, strict=True):
            # The first that failed of a group, and everything of it behind.
            if name in reported:
                broken.add(group)
            elif group and group in broken:
                reported.add(name)
        payload = {"batchItemFailures": [{"itemIdentifier": name} for name in sorted(reported)]}
        fitting = msgspec.structs.replace(reply, payload=json.dumps(payload).encode())
        return Answer(fitting, frozenset(reported))

    def _reply(self, names: tuple[str, ...]) -> Reply:
        if not self.fake.is_calm:
            return self.fake.reply(Call("", tuple(int(name) for name in names)))
        poison = [index for index, name in enumerate(names) if name in self.poison]
        if not poison or not self._has_redrive:
            return Reply(1)
        # Poison stays what it is where the queue's redrive policy ends it.
        return Reply(1, b'{"batchItemFailures": []}', reported=poison[0])


def read_names(payload: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a handler finds in its event: message ids and groups."""
    records = orjson.loads(payload)["Records"]
    groups = (record["attributes"].get("MessageGroupId", "") for record in records)
    return tuple(record["messageId"] for record in records), tuple(groups)
