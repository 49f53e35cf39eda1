"""On-failure records to queues, topics and buckets of AWS (`event-source-mappings.md` 5).

The document is the message's body, the notification's text or the object. FIFO queues and topics,
to which AWS itself does not deliver, get the shard as the group and the on-failure record's own id
as the deduplication id.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol

from router.destinations.delivery import DeliveryFailed
from router.model.destination import Destination, parse_destination
from router.store.base import EnqueuedMessage, OutboxRow

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
        "NotFoundException", "QueueDoesNotExist",
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
        await sqs.send_message(QueueUrl=url, MessageBody=row.body.decode(), **_order(queue, row))


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
        await sns.publish(TopicArn=topic.text, Message=row.body.decode(), **_order(topic, row))


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


def _order(destination: Destination, row: OutboxRow) -> Mapping[str, str]:
    if not destination.is_fifo:
        return {}
    return {"MessageGroupId": row.group, "MessageDeduplicationId": row.letter_id}


async def _attempt(call: Awaitable[None]) -> None:
    """Make a call within its time. Raises `DeliveryFailed` for whatever the SDK raises."""
    try:
        async with asyncio.timeout(ATTEMPT_S_MAX):
            await call
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
