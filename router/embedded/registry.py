"""Which embedded queues there are, and their attributes, tags and permissions."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from router.embedded import attributes as rules
from router.embedded.problems import QueueProblem, bad_value, no_queue, unknown_attribute
from router.model.arn import queue_arn
from router.model.resources import Queue
from router.store.base import Change, Delete, DropQueue, Put
from router.store.catalog import Catalog, put
from router.store.queues import QueueStore

log = structlog.get_logger()

WALL_MS = Callable[[], int]
"""A clock: epoch milliseconds."""

TAGS_MAX: Final = 50
"""Most tags of a queue (SQS quota)."""

ACTIONS_MAX: Final = 7
"""Most actions of one permission (SQS quota)."""


class QueueRegistry:
    """All queues of this router. Every method raises `QueueProblem` for what SQS refuses."""

    def __init__(
        self,
        catalog: Catalog,
        store: QueueStore,
        wall_ms: WALL_MS,
        *,
        region: str,
        account: str,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._wall_ms = wall_ms
        self._region = region
        self._account = account
        self._times = {queue.name: _times(queue) for queue in catalog.queues.values()}
        self._retiming: dict[str, asyncio.Task[None]] = {}
        catalog.listen(self._heard)

    def _heard(self, changes: Sequence[Change]) -> None:
        """A queue's times changed, through the API or a template: so do its messages'."""
        for change in changes:
            if isinstance(change, Delete) and change.kind == "queue":
                self._times.pop(change.name, None)
            elif isinstance(change, Put) and change.resource.kind == "queue":
                name = change.resource.name
                queue = self._catalog.queues.get(name)
                if queue is None:  # made and dropped at once
                    continue
                before, now = self._times.get(name), _times(queue)
                self._times[name] = now
                if before is not None and before != now:
                    self._retime(queue)

    def _retime(self, queue: Queue) -> asyncio.Task[None]:
        """Give messages that are there the queue's times.

        A new retention holds for all of them, a new delay in FIFO queues only, as on AWS.
        """
        retention_ms, delay_ms = _times(queue)
        work = self._store.retime(queue.name, retention_ms=retention_ms, delay_ms=delay_ms)
        task = asyncio.get_running_loop().create_task(work)
        self._retiming[queue.name] = task
        task.add_done_callback(lambda _: self._retimed(queue.name, task))
        return task

    def _retimed(self, name: str, task: asyncio.Task[None]) -> None:
        if self._retiming.get(name) is task:
            del self._retiming[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("queue_times_not_applied", queue=name, error=str(error))

    def get(self, name: str) -> Queue:
        """A queue by name."""
        queue = self._catalog.queues.get(name)
        if queue is None:
            raise no_queue()
        return queue

    def find(self, arn: str) -> Queue | None:
        """A queue by ARN; None when it is none of ours."""
        queue = self._catalog.queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def is_queue(self, arn: str) -> bool:
        """Whether an ARN is one of our queues."""
        return self.find(arn) is not None

    def names(self, prefix: str) -> list[str]:
        """Queue names that begin with `prefix`, sorted."""
        return sorted(name for name in self._catalog.queues if name.startswith(prefix))

    def sources_of(self, name: str) -> list[str]:
        """Names of the queues whose dead-letter queue this one is, sorted."""
        arn = self.get(name).arn
        return sorted(
            queue.name
            for queue in self._catalog.queues.values()
            if (policy := rules.redrive(queue)) is not None and policy[0] == arn
        )

    async def create(self, name: str, given: Mapping[str, Any], tags: Mapping[str, str]) -> Queue:
        """Make a queue, or find the same one again."""
        rules.check_name(name, is_fifo=rules.asks_for_fifo(given))
        stored = rules.check_attributes(given, name, None, self.find)
        _check_tags(tags)
        async with self._catalog.changing() as catalog:
            existing = catalog.queues.get(name)
            if existing is not None:
                return _same(existing, stored)
            now_s = self._wall_ms() // 1000
            queue = Queue(
                name=name,
                arn=queue_arn(self._region, self._account, name),
                attributes={key: value for key, value in stored.items() if value},
                tags=dict(tags),
                created_s=now_s,
                modified_s=now_s,
            )
            await catalog.commit_locked([put("queue", name, queue)])
        return queue

    async def delete(self, name: str) -> None:
        """Remove a queue and its messages."""
        queue = self.get(name)
        await self._catalog.commit([Delete("queue", name), DropQueue(queue.name)])

    async def set_attributes(self, name: str, given: Mapping[str, Any]) -> None:
        """Change attributes; an empty text takes one away.

        What new times mean for messages that are there is done when this returns.
        """
        stored = rules.check_attributes(given, name, self.get(name).attributes, self.find)
        changed = await self._change(
            name,
            lambda queue: {
                "attributes": {
                    key: value for key, value in {**queue.attributes, **stored}.items() if value
                },
                "modified_s": self._wall_ms() // 1000,
            },
        )
        if name in self._retiming or {"MessageRetentionPeriod", "DelaySeconds"} & stored.keys():
            # Also when nothing changed: whoever asks again may have been cut short before.
            await (self._retiming.get(name) or self._retime(changed))

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        _check_tags({**self.get(name).tags, **tags})
        await self._change(name, lambda queue: {"tags": {**queue.tags, **tags}})

    async def untag(self, name: str, keys: Sequence[str]) -> None:
        """Remove tags; unknown keys are no error."""
        gone = set(keys)
        await self._change(
            name, lambda queue: {"tags": {k: v for k, v in queue.tags.items() if k not in gone}}
        )

    async def add_permission(
        self, name: str, label: str, accounts: Sequence[str], actions: Sequence[str]
    ) -> None:
        """Add a statement to the queue's policy, which is kept and not enforced."""
        if not actions or not accounts:
            raise bad_value("A permission needs at least one account and one action.")
        if len(actions) > ACTIONS_MAX:
            raise QueueProblem(
                "OverLimit",
                f"{len(actions)} Actions were found, maximum allowed is {ACTIONS_MAX}.",
                status=403,
            )

        def change(queue: Queue) -> dict[str, Any]:
            policy, statements = _policy(queue)
            if any(statement.get("Sid") == label for statement in statements):
                raise bad_value(
                    f"Value {label} for parameter Label is invalid. Reason: Already exists."
                )
            principals = [f"arn:aws:iam::{account}:root" for account in accounts]
            names = [f"SQS:{action}" for action in actions]
            statement = {
                "Sid": label,
                "Effect": "Allow",
                "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
                "Action": names[0] if len(names) == 1 else names,
                "Resource": queue.arn,
            }
            return _with_statements(queue, policy, [*statements, statement])

        await self._change(name, change)

    async def remove_permission(self, name: str, label: str) -> None:
        """Remove a statement of the queue's policy by its label."""

        def change(queue: Queue) -> dict[str, Any]:
            policy, statements = _policy(queue)
            kept = [statement for statement in statements if statement.get("Sid") != label]
            if len(kept) == len(statements):
                raise bad_value(
                    f"Value {label} for parameter Label is invalid. "
                    "Reason: can't find label on existing policy."
                )
            return _with_statements(queue, policy, kept)

        await self._change(name, change)

    async def _change(self, name: str, make: Callable[[Queue], dict[str, Any]]) -> Queue:
        async with self._catalog.changing() as catalog:
            queue = self.get(name)
            changed: Queue = msgspec.structs.replace(queue, **make(queue))
            await catalog.commit_locked([put("queue", name, changed)])
        return changed

    async def attributes(self, name: str, wanted: Sequence[str]) -> dict[str, str]:
        """Attributes by name, or `All`; one that is not set is left out."""
        queue = self.get(name)
        known = rules.stored_attributes(queue)
        known["QueueArn"] = queue.arn
        known["CreatedTimestamp"] = str(queue.created_s)
        known["LastModifiedTimestamp"] = str(queue.modified_s)
        names = set(wanted)
        for unknown in sorted(names - {*rules.SETTABLE, *rules.READ_ONLY, "All"}):
            raise unknown_attribute(unknown)
        if any(item == "All" or item.startswith("Approximate") for item in names):
            counts = await self._store.counts(queue.name, self._wall_ms())
            known["ApproximateNumberOfMessages"] = str(counts.visible)
            known["ApproximateNumberOfMessagesNotVisible"] = str(counts.in_flight)
            known["ApproximateNumberOfMessagesDelayed"] = str(counts.delayed)
        return known if "All" in names else {k: v for k, v in known.items() if k in names}


def _times(queue: Queue) -> tuple[int, int | None]:
    """Retention and, of a FIFO queue, delay of the messages that are there, in milliseconds."""
    delay_ms = 1000 * rules.number(queue, "DelaySeconds") if rules.is_fifo(queue) else None
    return 1000 * rules.number(queue, "MessageRetentionPeriod"), delay_ms


def _same(existing: Queue, given: Mapping[str, str]) -> Queue:
    """The queue itself when nothing that was asked for differs."""
    current = rules.stored_attributes(existing)
    for name, value in given.items():
        if current.get(name, "") != value:
            raise QueueProblem(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for attribute "
                f"{name}",
                "QueueAlreadyExists",
            )
    return existing


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise bad_value(f"Too many tags for the queue: {len(tags)}, at most {TAGS_MAX}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or value is None or len(value) > 256:
            raise bad_value(
                "Tag keys must be between 1 and 128 characters in length, values at most 256."
            )


def _policy(queue: Queue) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The queue's policy and its statements."""
    text = queue.attributes.get("Policy")
    policy: dict[str, Any] = (
        json.loads(text)
        if text
        else {
            "Version": "2008-10-17",
            "Id": f"{queue.arn}/SQSDefaultPolicy",
        }
    )
    found = policy.get("Statement", [])
    statements = found if isinstance(found, list) else [found]
    return policy, [statement for statement in statements if isinstance(statement, dict)]


def _with_statements(
    queue: Queue, policy: dict[str, Any], statements: list[dict[str, Any]]
) -> dict[str, Any]:
    """The queue's attributes with other statements; without any there is no policy."""
    attributes = {key: value for key, value in queue.attributes.items() if key != "Policy"}
    if statements:
        attributes["Policy"] = json.dumps(
            {**policy, "Statement": statements}, separators=(",", ":")
        )
    return {"attributes": attributes}
