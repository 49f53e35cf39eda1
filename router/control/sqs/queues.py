"""SQS: which queues there are, their attributes, tags and permissions."""

from collections.abc import Sequence
from typing import Final

from router.control.context import Context
from router.control.sqs.part import Params, Refusals, SqsPart, api_error
from router.embedded.problems import bad_value, no_queue

LIST_MAX: Final = 1_000
"""Most queue URLs of one page."""


class Queues(SqsPart):
    """One method per operation."""

    async def create_queue(self, context: Context, params: Params) -> Params:
        """CreateQueue."""
        name = params["QueueName"]
        with Refusals():
            await self._queues.create(
                name, params.get("Attributes") or {}, params.get("tags") or {}
            )
        return {"QueueUrl": self._url(context, name)}

    async def get_queue_url(self, context: Context, params: Params) -> Params:
        """GetQueueUrl."""
        with Refusals():
            if params.get("QueueOwnerAWSAccountId", self._account) != self._account:
                raise no_queue()
            queue = self._queues.get(params["QueueName"])
        return {"QueueUrl": self._url(context, queue.name)}

    async def list_queues(self, context: Context, params: Params) -> Params:
        """ListQueues: a page only when MaxResults was sent."""
        names = self._queues.names(params.get("QueueNamePrefix") or "")
        return self._page(context, params, names, "QueueUrls")

    async def list_dead_letter_source_queues(self, context: Context, params: Params) -> Params:
        """ListDeadLetterSourceQueues."""
        with Refusals():
            names = self._queues.sources_of(self._name(params))
        # The one list of SQS that is there also when it is empty.
        return {"queueUrls": [], **self._page(context, params, names, "queueUrls")}

    def _page(self, context: Context, params: Params, names: Sequence[str], member: str) -> Params:
        limit = params.get("MaxResults")
        if limit is not None and not 1 <= limit <= LIST_MAX:
            raise api_error(
                bad_value(
                    f"Value {limit} for parameter MaxResults is invalid. "
                    f"Reason: Must be >= 1 and <= {LIST_MAX}."
                )
            )
        after = params.get("NextToken") or ""
        names = [name for name in names if name > after]
        page = names[: limit or LIST_MAX]
        result: Params = {}
        if page:
            result[member] = [self._url(context, name) for name in page]
        if limit is not None and len(names) > len(page):
            result["NextToken"] = page[-1]
        return result

    async def get_queue_attributes(self, _context: Context, params: Params) -> Params:
        """GetQueueAttributes."""
        with Refusals():
            found = await self._queues.attributes(
                self._name(params), params.get("AttributeNames") or []
            )
        return {"Attributes": found} if found else {}

    async def set_queue_attributes(self, _context: Context, params: Params) -> None:
        """SetQueueAttributes."""
        with Refusals():
            await self._queues.set_attributes(self._name(params), params["Attributes"])

    async def purge_queue(self, _context: Context, params: Params) -> None:
        """PurgeQueue."""
        with Refusals():
            await self._queues.purge(self._name(params))

    async def delete_queue(self, _context: Context, params: Params) -> None:
        """DeleteQueue."""
        with Refusals():
            await self._queues.delete(self._name(params))

    async def tag_queue(self, _context: Context, params: Params) -> None:
        """TagQueue."""
        with Refusals():
            await self._queues.tag(self._name(params), params["Tags"])

    async def untag_queue(self, _context: Context, params: Params) -> None:
        """UntagQueue."""
        with Refusals():
            await self._queues.untag(self._name(params), params["TagKeys"])

    async def list_queue_tags(self, _context: Context, params: Params) -> Params:
        """ListQueueTags."""
        with Refusals():
            tags = self._queues.get(self._name(params)).tags
        return {"Tags": tags} if tags else {}

    async def add_permission(self, _context: Context, params: Params) -> None:
        """AddPermission: kept in the queue's policy, which is not enforced."""
        with Refusals():
            await self._queues.add_permission(
                self._name(params), params["Label"], params["AWSAccountIds"], params["Actions"]
            )

    async def remove_permission(self, _context: Context, params: Params) -> None:
        """RemovePermission."""
        with Refusals():
            await self._queues.remove_permission(self._name(params), params["Label"])
