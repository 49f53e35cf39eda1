"""Records to queues, topics, buckets and event buses of AWS.

`event-source-mappings.md` 5 and `functions-and-invocation.md` 7.3.
The document is the message's body, the notification's text or the object. FIFO queues and topics,
to which AWS itself does not deliver, get the shard as the group and the on-failure record's own id
as the deduplication id.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol, TypeVar

import orjson

from router.destinations.delivery import DeliveryFailed
from router.model.destination import Destination, parse_destination
from router.outcomes.invocation_record import bus_entry
from router.store.base import EnqueuedMessage, OutboxRow

T = TypeVar("T")

ATTEMPT_S_MAX: Final = 30.0
"""Longest attempt, credentials and the first loading of the SDK included."""

_DENIED: Final = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthFailure",
        "AuthorizationError", "AuthorizationErrorException", "ExpiredToken",
        "ExpiredTokenException", "Forbidden", "IncompleteSignature", "InvalidAccessKeyId",
        "InvalidClientTokenId", "InvalidSecurity", "KMSAccessDenied", "KMS.AccessDeniedException",
        "MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "RequestExpired",
        "RequestTimeTooSkewed", "SignatureDoesNotMatch", "UnrecognizedClientException",
    }
)  # fmt: skip
_MISSING: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "NonExistentQueue", "NotFound",
        "NotFoundException", "QueueDoesNotExist", "ResourceNotFoundException",
    }
)  # fmt: skip
_TOO_LARGE: Final = frozenset({"EntityTooLarge", "MaxMessageLengthExceeded", "RequestTooLarge"})
_THROTTLED: Final = frozenset(
    {
        "KMS.ThrottlingException", "OverLimit", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "SlowDown", "Throttled", "ThrottledException", "Throttling",
        "ThrottlingException", "TooManyRequestsException",
    }
)  # fmt: skip
_TOO_LONG: Final = ("Message too long", "Message must be shorter")
"""How topics and queues say that a message is too large, under a code for anything invalid."""


class Clients(Protocol):
    """Makes clients of AWS: `auth.aws_session.AwsSession`."""

    async def client(self, service: str, region: str = "") -> Any:
        """The open client of a service in a region."""


class AwsQueue:
    """`sqs:SendMessage`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        await _attempt(self._send(parse_destination(row.destination), row))
        return None

    async def _send(self, queue: Destination, row: OutboxRow) -> None:
        sqs = await self._clients.client("sqs", queue.region)
        # Of a queue's URL its path alone is read; asking for it would need one permission more.
        url = f"{sqs.meta.endpoint_url.rstrip('/')}/{queue.account}/{queue.name}"
        more: dict[str, Any] = {**_order(queue, row), **_attributes(row)}
        if row.trace_header:
            more["MessageSystemAttributes"] = {
                "AWSTraceHeader": {"DataType": "String", "StringValue": row.trace_header}
            }
        await sqs.send_message(QueueUrl=url, MessageBody=row.body.decode(), **more)


class AwsTopic:
    """`sns:Publish`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        await _attempt(self._publish(parse_destination(row.destination), row))
        return None

    async def _publish(self, topic: Destination, row: OutboxRow) -> None:
        sns = await self._clients.client("sns", topic.region)
        more = {**_order(topic, row), **_attributes(row)}
        await sns.publish(TopicArn=topic.text, Message=row.body.decode(), **more)


class AwsBucket:
    """`s3:PutObject`. The key is the record's own: delivered twice it is one object."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        await _attempt(self._put(parse_destination(row.destination), row))
        return None

    async def _put(self, bucket: Destination, row: OutboxRow) -> None:
        s3 = await self._clients.client("s3")
        await s3.put_object(
            Bucket=bucket.name,
            Key=row.object_key,
            Body=row.body,
            ContentType="application/json",
        )


class AwsBus:
    """`events:PutEvents`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        refused = await _attempt(self._put(parse_destination(row.destination), row))
        if refused is not None:
            raise refused
        return None

    async def _put(self, bus: Destination, row: OutboxRow) -> DeliveryFailed | None:
        """An entry may be refused where the call is not."""
        events = await self._clients.client("events", bus.region)
        answer = await events.put_events(Entries=[bus_entry(row.body, bus.text)])
        if not answer.get("FailedEntryCount"):
            return None
        entry = answer["Entries"][0]
        error = {"Code": entry.get("ErrorCode", ""), "Message": entry.get("ErrorMessage", "")}
        is_internal = error["Code"] in {"InternalFailure", "InternalException"}
        metadata = {"HTTPStatusCode": 500 if is_internal else 400}
        reason = _reason({"Error": error, "ResponseMetadata": metadata})
        return DeliveryFailed(reason, f"{error['Code']}: {error['Message']}")


def _attributes(row: OutboxRow) -> Mapping[str, Any]:
    """A dead letter's, the same for queues and topics."""
    return {"MessageAttributes": orjson.loads(row.attributes)} if row.attributes else {}


def _order(destination: Destination, row: OutboxRow) -> Mapping[str, str]:
    if not destination.is_fifo:
        return {}
    return {"MessageGroupId": row.group, "MessageDeduplicationId": row.letter_id}


async def _attempt(call: Awaitable[T]) -> T:
    """Make a call within its time. Raises `DeliveryFailed` for whatever the SDK raises."""
    try:
        async with asyncio.timeout(ATTEMPT_S_MAX):
            return await call
    except TimeoutError:
        raise DeliveryFailed("timeout", f"no answer within {ATTEMPT_S_MAX:.0f} s") from None
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> DeliveryFailed:
    from botocore import exceptions as sdk

    text = f"{type(error).__name__}: {error}"
    match error:
        case sdk.ClientError():
            return DeliveryFailed(_reason(error.response), str(error))
        case (
            sdk.NoCredentialsError()
            | sdk.PartialCredentialsError()
            | sdk.CredentialRetrievalError()
            | sdk.ProfileNotFound()
            | sdk.NoAuthTokenError()
            | sdk.SSOError()
        ):
            return DeliveryFailed("denied", text)
        case sdk.ReadTimeoutError() | sdk.ConnectTimeoutError():
            return DeliveryFailed("timeout", text)
        case sdk.ParamValidationError():
            return DeliveryFailed("refused", text)
        case sdk.BotoCoreError() | OSError():
            return DeliveryFailed("unreachable", text)
    return DeliveryFailed("internal", text)


def _reason(response: Mapping[str, Any]) -> str:
    """What an answer means; codes first, as they are the same for every status."""
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TOO_LARGE or any(words in message for words in _TOO_LONG) or status == 413:
        return "too_large"
    if code in _MISSING or status == 404:
        return "missing"
    if code in _THROTTLED or status in {429, 503}:
        return "throttled"
    if code in _DENIED or status in {401, 403}:
        return "denied"
    return "server_error" if status >= 500 else "refused"
