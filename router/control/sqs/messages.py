"""SQS: messages, one by one and in batches."""

import re
from collections.abc import Sequence
from typing import Final

from router.control.context import Context
from router.control.sqs.part import Params, Refusals, SqsPart
from router.embedded import messages
from router.embedded.messages import Draft, Order
from router.embedded.problems import QueueProblem, bad_value, missing, simple
from router.embedded.queues import Received, Sent
from router.model.trace_header import is_header

ENTRIES_MAX: Final = 10
WAIT_S_MAX: Final = 20

_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


class Messages(SqsPart):
    """One method per operation."""

    async def send_message(self, context: Context, params: Params) -> Params:
        """SendMessage."""
        with Refusals():
            name = self._name(params)
            draft = messages.draft(params, self._queues.order(name))
            self._queues.check_size(name, draft, "One or more parameters are invalid.")
            (sent,) = await self._send(context, name, [draft])
        return _sent(sent, draft)

    async def _send(self, context: Context, name: str, drafts: list[Draft]) -> list[Sent]:
        """Store drafts; those without a trace header of their own have that of the request."""
        sender = context.principal.name if context.principal is not None else self._account
        trace = context.headers.get("x-amzn-trace-id", "")
        if trace and is_header(trace):
            drafts = [messages.traced(draft, trace) for draft in drafts]
        return await self._queues.send(name, drafts, sender)

    async def send_message_batch(self, context: Context, params: Params) -> Params:
        """SendMessageBatch: what is sound is stored in one transaction, in order."""
        with Refusals():
            name = self._name(params)
            order = self._queues.order(name)
            entries = _entries(params)
            _check_batch(entries, order)
            drafts: list[tuple[Params, Draft]] = []
            failed: list[Params] = []
            for entry in entries:
                try:
                    draft = messages.draft(entry, order)
                    self._queues.check_size(
                        name, draft, "One or more parameters cannot be validated."
                    )
                    drafts.append((entry, draft))
                except QueueProblem as problem:
                    failed.append(_failed(entry, problem))
            stored: list[Sent] = []
            if drafts:
                stored = await self._send(context, name, [draft for _entry, draft in drafts])
        done = [
            {"Id": entry["Id"], **_sent(sent, draft)}
            for (entry, draft), sent in zip(drafts, stored, strict=True)
        ]
        return _batch_result(done, failed)

    async def receive_message(self, _context: Context, params: Params) -> Params:
        """ReceiveMessage: a long poll ends with the first message."""
        count = params.get("MaxNumberOfMessages", 1)
        wait_s = params.get("WaitTimeSeconds")
        visibility_s = params.get("VisibilityTimeout")
        with Refusals():
            name = self._name(params)
            self._queues.get(name)
            if not 1 <= count <= ENTRIES_MAX:
                raise bad_value(
                    f"Value {count} for parameter MaxNumberOfMessages is invalid. "
                    "Reason: Must be between 1 and 10, if provided."
                )
            if wait_s is not None and not 0 <= wait_s <= WAIT_S_MAX:
                raise bad_value(
                    f"Value {wait_s} for parameter WaitTimeSeconds is invalid. "
                    f"Reason: Must be >= 0 and <= {WAIT_S_MAX}, if provided."
                )
            if visibility_s is not None:
                _check_visibility(visibility_s)
            received = await self._queues.receive(
                name,
                messages_max=count,
                wait_s=wait_s,
                visibility_s=visibility_s,
                attempt_id=params.get("ReceiveRequestAttemptId") or "",
            )
        # Of the two ways to ask for system attributes the newer one counts.
        system = params.get("MessageSystemAttributeNames") or params.get("AttributeNames") or []
        wanted = params.get("MessageAttributeNames") or []
        if not received:
            return {}
        return {"Messages": [_message(message, system, wanted) for message in received]}

    async def delete_message(self, _context: Context, params: Params) -> None:
        """DeleteMessage."""
        with Refusals():
            receipt = messages.read_receipt(params["ReceiptHandle"])
            (problem,) = await self._queues.delete_messages(self._name(params), [receipt])
            if problem is not None:
                raise problem

    async def delete_message_batch(self, _context: Context, params: Params) -> Params:
        """DeleteMessageBatch: one transaction for all sound handles."""
        with Refusals():
            name = self._name(params)
            entries = _entries(params)
            self._queues.get(name)
            sound, done, failed = [], [], []
            for entry in entries:
                try:
                    sound.append((entry, messages.read_receipt(entry["ReceiptHandle"])))
                except QueueProblem as problem:
                    failed.append(_failed(entry, problem))
            problems = await self._queues.delete_messages(name, [receipt for _, receipt in sound])
            for (entry, _), refused in zip(sound, problems, strict=True):
                if refused is None:
                    done.append({"Id": entry["Id"]})
                else:
                    failed.append(_failed(entry, refused))
        return _batch_result(done, failed)

    async def change_message_visibility(self, _context: Context, params: Params) -> None:
        """ChangeMessageVisibility."""
        with Refusals():
            await self._change_visibility(self._name(params), params)

    async def change_message_visibility_batch(self, _context: Context, params: Params) -> Params:
        """ChangeMessageVisibilityBatch."""
        done, failed = [], []
        with Refusals():
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
        receipt = messages.read_receipt(params["ReceiptHandle"])
        await self._queues.change_visibility(name, receipt, visibility_s)


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


def _check_batch(entries: Sequence[Params], order: Order | None) -> None:
    """What makes a whole batch be refused, beside its entries' ids. Raises `QueueProblem`."""
    total_bytes = sum(
        messages.bytes_given(entry["MessageBody"], entry.get("MessageAttributes") or {})
        for entry in entries
    )
    if total_bytes > messages.BATCH_BYTES_MAX:
        raise simple(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {messages.BATCH_BYTES_MAX} bytes. "
            f"You have sent {total_bytes} bytes.",
        )
    if order is None:
        return
    for entry in entries:
        try:
            messages.check_order(entry, order)
        except QueueProblem as problem:
            # In a batch a missing group has another code than in a single message.
            raise bad_value(problem.message) from None


def _sent(sent: Sent, draft: Draft) -> Params:
    result = {"MessageId": sent.message_id, "MD5OfMessageBody": messages.md5_of_body(draft.body)}
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
    if sent.sequence_number is not None:
        result["SequenceNumber"] = sent.sequence_number
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
