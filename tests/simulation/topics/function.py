"""A function behind a topic: its reports name a partition and an offset."""

import json
import random

import msgspec
import orjson

from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from tests.simulation.function import Call, FakeFunction, Reply
from tests.simulation.topics.options import TopicOptions

LONG_MS = 10_000


class Answer(msgspec.Struct, frozen=True):
    """What the function will do with one invocation."""

    reply: Reply
    reported: frozenset[int]

    def failed(self, spec: MappingSpec, offsets: tuple[int, ...]) -> frozenset[int]:
        """The records that failed under these settings, told without reading the payload (D9)."""
        if self.reply.error_type is not None:
            return frozenset(offsets)
        if not spec.is_reporting_failures:
            return frozenset()
        return frozenset(offsets) if self.reply.is_refused else self.reported

    @property
    def wire(self) -> InvokeReply:
        """As the environment sends it."""
        return self.reply.wire


class TopicFunction:
    """The same function as behind a stream, reading a topic's events."""

    def __init__(self, options: TopicOptions, rng: random.Random) -> None:
        self.fake = FakeFunction(options, rng)  # type: ignore[arg-type]  the same percentages

    def answer(self, shard: str, offsets: tuple[int, ...]) -> Answer:
        """What it does with this batch."""
        reply = self.fake.reply(Call(shard, offsets))
        if reply.after_ms > LONG_MS:  # longer than a group waits for who gives up partitions
            reply = msgspec.structs.replace(reply, after_ms=2 * reply.after_ms)
        if reply.reported is None:
            return Answer(reply, frozenset())
        entries = orjson.loads(reply.payload)["batchItemFailures"]
        reported = frozenset(int(entry["itemIdentifier"]) for entry in entries)
        names = [{"itemIdentifier": {"partition": shard, "offset": it}} for it in sorted(reported)]
        payload = json.dumps({"batchItemFailures": names}).encode()
        return Answer(msgspec.structs.replace(reply, payload=payload), reported)


def read_event(payload: bytes) -> tuple[str, tuple[int, ...]]:
    """What a handler finds in its event."""
    ((shard, records),) = orjson.loads(payload)["records"].items()
    return shard, tuple(record["offset"] for record in records)
