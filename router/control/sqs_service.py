"""SQS over AWS JSON 1.0: embedded standard queues as clients of AWS see them."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from router.control.context import Context
from router.control.errors import ApiError
from router.control.model import ServiceModel
from router.embedded import messages
from router.embedded.messages import Draft
from router.embedded.problems import QueueProblem, bad_value, missing, no_queue, simple
from router.embedded.queues import EmbeddedQueues, Received

ENTRIES_MAX: Final = 10
LIST_MAX: Final = 1_000
"""Most queue URLs of one page."""

Params = dict[str, Any]
Work = Callable[[Params], Awaitable[Params]]

_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


class SqsService:
    """One method per operation of the model."""

    def __init__(self, queues: EmbeddedQueues, account: str) -> None:
        self._queues = queues
        self._account = account

    def check(self, model: ServiceModel, operation: str, params: Params) -> None:
        """SQS words missing members in its own way and checks the rest itself."""
        shape = model.shape(model.operations[operation].input)
        for name in shape.required:
            value = params.get(name)
            if value is None or value == "":
                raise _api(missing(name))
        for name, value in params.items():
            if _holds_null(value):
                raise _api(bad_value(f"Value null in {name} is invalid."))
            inner = model.shapes[shape.members[name].shape]
            if inner.type != "list" or inner.member is None:
                continue
            entry = model.shapes[inner.member.shape]
            for item in value:
                for needed in entry.required:
                    if item.get(needed) is None:
                        raise _api(missing(needed))

    def _name(self, params: Params) -> str:
        """The queue's name: the last part of the URL's path; host and port do not matter."""
        try:
            path = urlsplit(params["QueueUrl"]).path
        except ValueError:  # half an IPv6 address in it
            raise _api(no_queue()) from None
        parts = [unquote(part) for part in path.split("/") if part]
        if not parts or (len(parts) > 1 and parts[-2] != self._account):
            raise _api(no_queue())
        return parts[-1]

    def _url(self, context: Context, name: str) -> str:
        return f"{context.base_url}/{self._account}/{name}"

    async def create_queue(self, context: Context, params: Params) -> Params:
        """CreateQueue."""
        name = params["QueueName"]
        with _refusals():
            await self._queues.create(
                name, params.get("Attributes") or {}, params.get("tags") or {}
            )
        return {"QueueUrl": self._url(context, name)}

    async def get_queue_url(self, context: Context, params: Params) -> Params:
        """GetQueueUrl."""
        with _refusals():
            if params.get("QueueOwnerAWSAccountId", self._account) != self._account:
                raise no_queue()
            queue = self._queues.get(params["QueueName"])
        return {"QueueUrl": self._url(context, queue.name)}

    async def list_queues(self, context: Context, params: Params) -> Params:
        """ListQueues: a page only when MaxResults was sent."""
        names = self._queues.names(params.get("QueueNamePrefix") or "")
        after = params.get("NextToken")
        if after:
            names = [name for name in names if name > after]
        limit = params.get("MaxResults")
        if limit is not None and not 1 <= limit <= LIST_MAX:
            raise _api(
                bad_value(
                    f"Value {limit} for parameter MaxResults is invalid. "
                    f"Reason: Must be >= 1 and <= {LIST_MAX}."
                )
            )
        page = names[: limit or LIST_MAX]
        result: Params = {}
        if page:
            result["QueueUrls"] = [self._url(context, name) for name in page]
        if limit is not None and len(names) > len(page):
            result["NextToken"] = page[-1]
        return result

    async def get_queue_attributes(self, _context: Context, params: Params) -> Params:
        """GetQueueAttributes."""
        with _refusals():
            found = await self._queues.attributes(
                self._name(params), params.get("AttributeNames") or []
            )
        return {"Attributes": found} if found else {}

    async def set_queue_attributes(self, _context: Context, params: Params) -> None:
        """SetQueueAttributes."""
        with _refusals():
            await self._queues.set_attributes(self._name(params), params["Attributes"])

    async def purge_queue(self, _context: Context, params: Params) -> None:
        """PurgeQueue."""
        with _refusals():
            await self._queues.purge(self._name(params))

    async def delete_queue(self, _context: Context, params: Params) -> None:
        """DeleteQueue."""
        with _refusals():
            await self._queues.delete(self._name(params))

    async def tag_queue(self, _context: Context, params: Params) -> None:
        """TagQueue."""
        with _refusals():
            await self._queues.tag(self._name(params), params["Tags"])

    async def untag_queue(self, _context: Context, params: Params) -> None:
        """UntagQueue."""
        with _refusals():
            await self._queues.untag(self._name(params), params["TagKeys"])

    async def list_queue_tags(self, _context: Context, params: Params) -> Params:
        """ListQueueTags."""
        with _refusals():
            tags = self._queues.get(self._name(params)).tags
        return {"Tags": tags} if tags else {}

    async def send_message(self, context: Context, params: Params) -> Params:
        """SendMessage."""
        with _refusals():
            name = self._name(params)
            draft = messages.draft(params)
            self._queues.check_size(name, draft, "One or more parameters are invalid.")
            (message_id,) = await self._queues.send(name, [draft], self._sender(context))
        return _sent(message_id, draft)

    def _sender(self, context: Context) -> str:
        return context.principal.name if context.principal is not None else self._account

    async def send_message_batch(self, context: Context, params: Params) -> Params:
        """SendMessageBatch: what is sound is stored in one transaction."""
        with _refusals():
            name = self._name(params)
            entries = _entries(params)
            self._queues.get(name)
            drafts: list[tuple[Params, Draft]] = []
            failed: list[Params] = []
            for entry in entries:
                try:
                    draft = messages.draft(entry)
                    self._queues.check_size(
                        name, draft, "One or more parameters cannot be validated."
                    )
                    drafts.append((entry, draft))
                except QueueProblem as problem:
                    failed.append(_failed(entry, problem))
            total_bytes = sum(messages.size_bytes(draft) for _entry, draft in drafts)
            if total_bytes > messages.BATCH_BYTES_MAX:
                raise simple(
                    "BatchRequestTooLong",
                    f"Batch requests cannot be longer than {messages.BATCH_BYTES_MAX} bytes. "
                    f"You have sent {total_bytes} bytes.",
                )
            ids = []
            if drafts:
                ids = await self._queues.send(
                    name, [draft for _entry, draft in drafts], self._sender(context)
                )
        sent = [
            {"Id": entry["Id"], **_sent(message_id, draft)}
            for (entry, draft), message_id in zip(drafts, ids, strict=True)
        ]
        return _batch_result(sent, failed)

    async def receive_message(self, _context: Context, params: Params) -> Params:
        """ReceiveMessage: a long poll ends with the first message."""
        count = params.get("MaxNumberOfMessages", 1)
        wait_s = params.get("WaitTimeSeconds")
        visibility_s = params.get("VisibilityTimeout")
        with _refusals():
            name = self._name(params)
            self._queues.get(name)
            if not 1 <= count <= ENTRIES_MAX:
                raise bad_value(
                    f"Value {count} for parameter MaxNumberOfMessages is invalid. "
                    "Reason: Must be between 1 and 10, if provided."
                )
            if wait_s is not None and not 0 <= wait_s <= 20:
                raise bad_value(
                    f"Value {wait_s} for parameter WaitTimeSeconds is invalid. "
                    "Reason: Must be >= 0 and <= 20, if provided."
                )
            if visibility_s is not None:
                _check_visibility(visibility_s)
            received = await self._queues.receive(
                name, messages_max=count, wait_s=wait_s, visibility_s=visibility_s
            )
        # Of the two ways to ask for system attributes the newer one counts.
        system = params.get("MessageSystemAttributeNames") or params.get("AttributeNames") or []
        wanted = params.get("MessageAttributeNames") or []
        if not received:
            return {}
        return {"Messages": [_message(message, system, wanted) for message in received]}

    async def delete_message(self, _context: Context, params: Params) -> None:
        """DeleteMessage."""
        with _refusals():
            receipt = messages.read_receipt(params["ReceiptHandle"])
            await self._queues.delete_messages(self._name(params), [receipt])

    async def delete_message_batch(self, _context: Context, params: Params) -> Params:
        """DeleteMessageBatch: one transaction for all sound handles."""
        with _refusals():
            name = self._name(params)
            entries = _entries(params)
            receipts, done, failed = [], [], []
            for entry in entries:
                try:
                    receipts.append(messages.read_receipt(entry["ReceiptHandle"]))
                    done.append({"Id": entry["Id"]})
                except QueueProblem as problem:
                    failed.append(_failed(entry, problem))
            await self._queues.delete_messages(name, receipts)
        return _batch_result(done, failed)

    async def change_message_visibility(self, _context: Context, params: Params) -> None:
        """ChangeMessageVisibility."""
        with _refusals():
            await self._change_visibility(self._name(params), params)

    async def change_message_visibility_batch(self, _context: Context, params: Params) -> Params:
        """ChangeMessageVisibilityBatch."""
        done, failed = [], []
        with _refusals():
            name = self._name(params)
            entries = _entries(params)
            self._queues.get(name)
            for entry in entries:
                try:
                    await self._change_visibility(name, entry)
                    done.append({"Id": entry["Id"]})
                except QueueProblem as problem:
                    failed.append(_failed(entry, problem))
        return _batch_result(done, failed)

    async def _change_visibility(self, name: str, params: Params) -> None:
        visibility_s = params.get("VisibilityTimeout")
        if visibility_s is None:
            raise missing("VisibilityTimeout")
        _check_visibility(visibility_s)
        handle = params["ReceiptHandle"]
        receipt = messages.read_receipt(handle)
        await self._queues.change_visibility(name, handle, receipt, visibility_s)


class _refusals:  # noqa: N801 - reads as a statement
    """What a queue refuses becomes what the API answers."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, QueueProblem):
            raise _api(error) from None


def _holds_null(value: Any) -> bool:
    """An element of a list or map; in a structure a null is no member."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return value is None
    return any(_holds_null(item) for item in value)


def _api(problem: QueueProblem) -> ApiError:
    return ApiError(
        problem.shape, problem.message, status=problem.status, query_code=problem.query_code
    )


def _check_visibility(visibility_s: int) -> None:
    if not 0 <= visibility_s <= messages.VISIBILITY_S_MAX:
        raise bad_value(
            f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: Must be "
            f">= 0 and <= {messages.VISIBILITY_S_MAX}, if provided."
        )


def _entries(params: Params) -> list[Params]:
    """A batch's entries: 1 to 10, with ids of their own."""
    entries: list[Params] = params["Entries"]
    if not entries:
        raise simple("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > ENTRIES_MAX:
        raise simple(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {ENTRIES_MAX}. "
            f"You have sent {len(entries)}.",
        )
    seen = set()
    for entry in entries:
        if not _ENTRY_ID.fullmatch(entry["Id"]):
            raise simple(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and "
                "underscores. It can be at most 80 letters long.",
            )
        if entry["Id"] in seen:
            raise simple("BatchEntryIdsNotDistinct", f"Id {entry['Id']} repeated.")
        seen.add(entry["Id"])
    return entries


def _sent(message_id: str, draft: Draft) -> Params:
    result = {"MessageId": message_id, "MD5OfMessageBody": messages.md5_of_body(draft.body)}
    checksum = messages.md5_of_attributes(draft.attributes)
    if checksum is not None:
        result["MD5OfMessageAttributes"] = checksum
    trace = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in draft.system.items()
        if name == "AWSTraceHeader" and value
    }
    if trace:
        result["MD5OfMessageSystemAttributes"] = messages.md5_of_attributes(trace) or ""
    return result


def _message(message: Received, system: Sequence[str], wanted: Sequence[str]) -> Params:
    result: Params = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.handle,
        "MD5OfBody": messages.md5_of_body(message.body),
        "Body": message.body,
    }
    chosen = {
        name: value for name, value in message.system.items() if "All" in system or name in system
    }
    if chosen:
        result["Attributes"] = chosen
    attributes = messages.select_attributes(message.attributes, wanted)
    if attributes:
        result["MessageAttributes"] = attributes
        result["MD5OfMessageAttributes"] = messages.md5_of_attributes(attributes)
    return result


def _failed(entry: Params, problem: QueueProblem) -> Params:
    return {
        "Id": entry["Id"],
        "Code": problem.query_code,
        "Message": problem.message,
        "SenderFault": True,
    }


def _batch_result(done: list[Params], failed: list[Params]) -> Params:
    """Empty lists are left out, as AWS does."""
    return {**({"Successful": done} if done else {}), **({"Failed": failed} if failed else {})}
