"""Topics for tests of Kafka mappings: what is written, read and committed, from outside."""

import asyncio
import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from tests.integration.bed import Bed, Ear, function, template, until

CLOSE_S = 0.05
"""The client's transports close in later turns of the loop."""

TELLING = '''"""Tells an ear of every record, in order; `order` in its answer is obeyed."""

import base64
import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def tell(**facts):
    wire.write(json.dumps({"pid": os.getpid(), **facts}).encode() + b"\\n")
    wire.flush()
    return wire.readline().decode().strip()


def handler(event, context):
    call = context.aws_request_id
    failures = []
    for name, records in event["records"].items():
        for record in records:
            body = json.loads(base64.b64decode(record["value"]))
            order = tell(
                what="record", call=call, key=body["key"], n=body["n"], partition=name,
                offset=record["offset"], function=context.function_name,
            )
            if order == "fail" or body.get("poison") == "error":
                raise ValueError("told to fail")
            if order == "report" or body.get("poison") == "report":
                identifier = {"partition": name, "offset": record["offset"]}
                failures.append({"itemIdentifier": identifier})
    tell(what="end", call=call, size=sum(map(len, event["records"].values())))
    return {"batchItemFailures": failures}
'''

MAPPING = """
  {name}:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      SelfManagedEventSource: {{Endpoints: {{KafkaBootstrapServers: [{servers}]}}}}
      Topics: [{topic}]
      FunctionName: !Ref {function}
      StartingPosition: {start}
      SourceAccessConfigurations: {access}
"""

OPEN = [{"Type": "VPC_SUBNET", "URI": "subnet:subnet-0123456789abcdef0"}]
"""No sign-in; a self-managed cluster must be given something."""


def kafka_mapping(
    topic: "Topic", name: str = "Feed", function: str = "Worker", start: str = "TRIM_HORIZON",
    access: Any = None, **more: Any,
) -> str:  # fmt: skip
    """A mapping in a template; `more` are its other properties."""
    servers = json.dumps(topic.servers.split(","))[1:-1]
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in more.items())
    return (
        MAPPING.format(
            name=name,
            servers=servers,
            topic=topic.name,
            function=function,
            start=start,
            access=json.dumps(access or OPEN),
        )
        + lines
    )


class Topic:
    """A new topic with a name of its own."""

    def __init__(self, servers: str, partitions: int = 1, replicas: int = 1, **config: str) -> None:
        self.servers = servers
        self.name = f"t-{uuid4().hex[:12]}"
        self._admin(
            lambda admin: admin.create_topics(
                [NewTopic(self.name, partitions, replicas, topic_configs=config)]
            )
        )

    def grow(self, partitions: int) -> None:
        self._admin(lambda admin: admin.create_partitions({self.name: NewPartitions(partitions)}))

    def trim(self, before: dict[int, int]) -> None:
        """Delete records below an offset."""
        from aiokafka.admin import RecordsToDelete

        wanted = {TopicPartition(self.name, it): RecordsToDelete(at) for it, at in before.items()}
        self._admin(lambda admin: admin.delete_records(wanted))

    def delete(self) -> None:
        self._admin(lambda admin: admin.delete_topics([self.name]))

    def make_anew(self, partitions: int = 1) -> None:
        self.delete()
        self._admin(
            lambda admin: admin.create_topics([NewTopic(self.name, partitions, 1)]), tries=50
        )

    def send(self, keys: Sequence[str], count: int, start: int = 0, **more: Any) -> None:
        """`count` records of each key, in turn."""
        self.produce(
            (key, {"key": key, "n": n, **more}) for n in range(start, start + count) for key in keys
        )

    def produce(self, records: Iterable[tuple[str | None, Any]], **options: Any) -> None:
        """Records with their keys; values are JSON, or bytes as they are."""

        async def work() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.servers, acks="all", enable_idempotence=True, linger_ms=5,
                max_batch_size=1 << 17, max_request_size=8 << 20,
            )  # fmt: skip
            await producer.start()
            try:
                sent = [
                    await producer.send(
                        self.name,
                        value if isinstance(value, bytes | None) else json.dumps(value).encode(),
                        None if key is None else key.encode(),
                        **options,
                    )
                    for key, value in records
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()
                await asyncio.sleep(CLOSE_S)

        asyncio.run(work())

    def produce_batch(self, data: bytes, count: int) -> None:
        """A batch of `count` records as it is on the wire, into the first partition."""

        class Made:
            """As the client's builder, when it is done."""

            record_count = staticmethod(lambda: count)
            size = staticmethod(lambda: len(data))
            close = staticmethod(lambda: None)
            closed = staticmethod(lambda: True)
            _set_producer_state = staticmethod(lambda *_: None)
            _build = staticmethod(lambda: data)

        async def work() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.servers, acks="all")
            await producer.start()
            try:
                await (await producer.send_batch(Made(), self.name, partition=0))
            finally:
                await producer.stop()
                await asyncio.sleep(CLOSE_S)

        asyncio.run(work())

    def transact(self, *transactions: Iterable[Any]) -> None:
        """Records, a transaction each; one that ends with None is aborted."""

        async def work() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.servers, transactional_id=f"x-{self.name}"
            )
            await producer.start()
            try:
                for transaction in transactions:
                    await producer.begin_transaction()
                    bodies = list(transaction)
                    for body in bodies:
                        if body is not None:
                            value = json.dumps(body).encode()
                            await producer.send_and_wait(self.name, value, body["key"].encode())
                    if bodies[-1] is None:
                        await producer.abort_transaction()
                    else:
                        await producer.commit_transaction()
            finally:
                await producer.stop()
                await asyncio.sleep(CLOSE_S)

        asyncio.run(work())

    @contextlib.contextmanager
    def pouring(
        self, keys: Sequence[str], pause_s: float, partitions: int | None = None
    ) -> Iterator["Pouring"]:
        """Records of all keys, one of each and a pause in turn, for as long as the block lasts.

        `partitions`: over so many of them, key by key; a key stays where it is when more come.
        """
        pouring = Pouring(self, keys, pause_s, partitions)
        thread = threading.Thread(target=lambda: asyncio.run(pouring.work()))
        thread.start()
        try:
            yield pouring
        finally:
            pouring.is_over.set()
            thread.join()
        assert pouring.error is None, pouring.error

    def leader(self, partition: int) -> int:
        """The node that leads a partition, as the cluster says."""
        (told,) = self._told(lambda admin: admin.describe_topics([self.name]))
        (found,) = (it for it in told["partitions"] if it["partition"] == partition)
        return int(found["leader"])

    def in_sync(self) -> int:
        """Of the partition that has fewest, how many replicas are in sync."""
        (told,) = self._told(lambda admin: admin.describe_topics([self.name]))
        return min(len(it["isr"]) for it in told["partitions"])

    def coordinator(self, group: str) -> int:
        """The node that leads a group."""
        return int(self._told(lambda admin: admin.find_coordinator(group)))

    def committed(self, group: str) -> dict[int, tuple[int, str]]:
        """Offset and metadata of every partition, as any tool sees them; none without a broker."""
        try:
            found = self._admin(lambda admin: admin.list_consumer_group_offsets(group))
        except KafkaError:
            return {}
        return {
            place.partition: (it.offset, it.metadata)
            for place, it in found.items()
            if place.topic == self.name and it.offset >= 0
        }

    def commit(self, group: str, offsets: dict[int, int]) -> None:
        """As a consumer of before would have left them."""

        async def work() -> None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.servers, group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                places = {TopicPartition(self.name, it): offset for it, offset in offsets.items()}
                consumer.assign(list(places))
                await consumer.commit(places)
            finally:
                await consumer.stop()
                await asyncio.sleep(CLOSE_S)

        asyncio.run(work())

    def _told(self, call: Callable[[Any], Any]) -> Any:
        """What a cluster says whose nodes come and go."""

        def answer() -> Any:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                return self._admin(call)

        return until(answer, what="an answer of the cluster")

    def _admin(self, call: Callable[[Any], Any], tries: int = 1) -> Any:
        async def work() -> Any:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
            await admin.start()
            try:
                return await call(admin)
            finally:
                await admin.close()
                await asyncio.sleep(CLOSE_S)

        for left in range(tries - 1, -1, -1):
            answer = asyncio.run(work())
            codes = [error[1] for error in getattr(answer, "topic_errors", [])]
            if not any(codes):
                return answer
            if not left:
                raise AssertionError(str(answer))
            import time

            time.sleep(0.1)
        raise AssertionError("unreachable")


class Pouring:
    """A producer beside the test. `count` is how many records of each key are in the topic."""

    def __init__(
        self, topic: Topic, keys: Sequence[str], pause_s: float, partitions: int | None
    ) -> None:
        self.count = 0
        self.is_over = threading.Event()
        self.error: Exception | None = None
        self._topic, self._pause_s = topic, pause_s
        self._places = {
            key: None if partitions is None else number % partitions
            for number, key in enumerate(keys)
        }

    async def work(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._topic.servers, acks="all", enable_idempotence=True,
            metadata_max_age_ms=5_000, request_timeout_ms=60_000,
        )  # fmt: skip
        await producer.start()
        sent = []
        try:
            while not self.is_over.is_set():
                for key, place in self._places.items():
                    value = json.dumps({"key": key, "n": self.count}).encode()
                    sent.append(await producer.send(self._topic.name, value, key.encode(), place))
                self.count += 1
                await asyncio.sleep(self._pause_s)
            await asyncio.gather(*sent)
        except Exception as error:
            self.error = error
        finally:
            await producer.stop()
            await asyncio.sleep(CLOSE_S)


# What tests of faults have in common: a mapping in a group named after its topic.


def prepare(bed: Bed, topic: Topic, code: str = TELLING, timeout: int = 60, **more: Any) -> Bed:
    """A template with a function that tells and a mapping that feeds it."""
    bed.code(code)
    bed.environment["ROUTER_KAFKA_LOOK_S"] = "1"
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": topic.name}}
    feed = kafka_mapping(topic, **{"BatchSize": 10, **group, **more})
    bed.write(template(function(timeout=timeout), feed))
    return bed


def is_all_committed(topic: Topic, count: int) -> bool:
    """Whether the group has passed so many records."""
    return sum(at for at, _ in topic.committed(topic.name).values()) == count


def partitions(bed: Bed) -> int:
    """How many a router had when it was last given any."""
    rows = bed.lines("partitions_assigned")
    return int(rows[-1]["partitions"]) if rows else 0


def last_result(bed: Bed) -> str:
    """LastProcessingResult of its one mapping."""
    (mapping,) = bed.rest("GET", "/2015-03-31/event-source-mappings").json["EventSourceMappings"]
    return str(mapping["LastProcessingResult"])


def check_order(ear: Ear, keys: Sequence[str], count: int) -> None:
    """D1, D5: each record of each key was handled, none seen before the one before it had been.

    For functions that never fail: a call that was heard to end has succeeded.
    """
    done: set[tuple[str, int]] = set()
    running: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for facts in list(ear.heard):
        if facts["what"] == "end":
            done |= running.pop(facts["call"], set())
            continue
        key, n = facts["key"], facts["n"]
        before = (key, n - 1)
        assert n == 0 or before in done or before in running[facts["call"]], (key, n)
        running[facts["call"]].add((key, n))
    for key in keys:
        assert {n for name, n in done if name == key} == set(range(count)), key
