"""What the errors of the AWS SDK mean for an on-failure record."""

import pytest
from botocore import exceptions as sdk

from router.destinations.aws import AwsBucket, AwsQueue
from router.destinations.delivery import OF_THE_RECORD, REASONS, DeliveryFailed
from router.store.base import OutboxRow

ROW = OutboxRow(mapping="m", destination="arn:aws:s3:::bucket", body=b"{}", records=1)


class Clients:
    """A client whose every call ends one way."""

    def __init__(self, error=None):
        self._error = error

    async def client(self, service, region=""):
        if self._error is not None:
            raise self._error
        return self

    async def put_object(self, **_members):
        return {}


def answer(code, status=400, message="no"):
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return sdk.ClientError(response, "PutObject")


async def reason_of(error, carrier=AwsBucket, row=ROW):
    with pytest.raises(DeliveryFailed) as caught:
        await carrier(Clients(error)).deliver(row)
    assert caught.value.reason in REASONS
    assert caught.value.is_of_destination == (caught.value.reason not in OF_THE_RECORD)
    return caught.value.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (answer("NoSuchBucket", 404), "missing"),
        (answer("AWS.SimpleQueueService.NonExistentQueue"), "missing"),
        (answer("404", 404), "missing"),
        (answer("AccessDenied", 403), "denied"),
        (answer("ExpiredToken"), "denied"),
        (answer("Odd", 403), "denied"),
        (answer("SlowDown", 503), "throttled"),
        (answer("Odd", 429), "throttled"),
        (answer("InternalError", 500), "server_error"),
        (answer("EntityTooLarge"), "too_large"),
        (answer("Odd", 413), "too_large"),
        (answer("InvalidParameter", message="Invalid parameter: Message too long"), "too_large"),
        (answer("InvalidParameter"), "refused"),
        (sdk.NoCredentialsError(), "denied"),
        (sdk.ProfileNotFound(profile="p"), "denied"),
        (sdk.EndpointConnectionError(endpoint_url="http://h"), "unreachable"),
        (sdk.ReadTimeoutError(endpoint_url="http://h"), "timeout"),
        (sdk.ConnectTimeoutError(endpoint_url="http://h"), "timeout"),
        (sdk.ParamValidationError(report="bad"), "refused"),
        (TimeoutError(), "timeout"),
        (OSError("gone"), "unreachable"),
        (KeyError("surprise"), "internal"),
    ],
)
async def test_each_error_has_its_reason(error, reason):
    assert await reason_of(error) == reason


async def test_a_text_is_never_long():
    error = answer("Odd", message="x" * 10_000)
    with pytest.raises(DeliveryFailed) as caught:
        await AwsBucket(Clients(error)).deliver(ROW)
    assert len(str(caught.value)) <= 300


async def test_what_is_no_text_is_a_surprise_of_one_record():
    class Sqs(Clients):
        class meta:  # noqa: N801  the SDK's own name
            endpoint_url = "http://h/"

        async def send_message(self, **_members):
            return {}

    row = OutboxRow(
        mapping="m", destination="arn:aws:sqs:us-east-1:000000000000:q", body=b"\xff", records=1
    )
    with pytest.raises(DeliveryFailed) as caught:
        await AwsQueue(Sqs()).deliver(row)
    assert caught.value.reason == "internal"
