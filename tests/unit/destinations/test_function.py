"""On-failure records to functions: what counts as delivered, and why not."""

import msgspec
import pytest

from router.destinations.delivery import DeliveryFailed
from router.destinations.function import FunctionDestination
from router.model.errors import NotFound, NotInvoked
from router.model.function import InvokeReply
from router.model.limits import EVENT_BYTES_MAX
from router.store.base import OutboxRow

ARN = "arn:aws:lambda:us-east-1:000000000000:function:tell:live"
ROW = OutboxRow(mapping="m", destination=ARN, letter_id="l-1", body=b"{}", records=2)


async def test_an_invocation_that_succeeds_is_a_delivery():
    asked = []

    async def invoke(function, request_id, event):
        asked.append((function.name, function.qualifier, request_id, event))
        return InvokeReply(payload=b"null")

    assert await FunctionDestination(invoke).deliver(ROW) is None
    assert asked == [("tell", "live", "l-1", b"{}")]


async def test_no_event_is_that_large():
    async def invoke(*_args):
        raise AssertionError("it is not even tried")

    large = msgspec.structs.replace(ROW, body=b"x" * (EVENT_BYTES_MAX + 1))
    with pytest.raises(DeliveryFailed) as caught:
        await FunctionDestination(invoke).deliver(large)
    assert (caught.value.reason, caught.value.is_of_destination) == ("too_large", False)


@pytest.mark.parametrize(
    ("answer", "reason", "is_of_destination"),
    [
        (InvokeReply(payload=b"{}", error_type="ValueError"), "function_error", False),
        (NotInvoked("throttled", "busy"), "throttled", True),
        (NotInvoked("function_missing", "gone"), "missing", True),
        (NotInvoked("start_failed", "no"), "unreachable", True),
        (NotFound("gone"), "missing", True),
    ],
)
async def test_everything_else_is_none(answer, reason, is_of_destination):
    async def invoke(*_args):
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(DeliveryFailed) as caught:
        await FunctionDestination(invoke).deliver(ROW)
    assert (caught.value.reason, caught.value.is_of_destination) == (reason, is_of_destination)
