"""On-failure records to functions: what counts as delivered, and why not."""

import msgspec
import pytest

from router.destinations.delivery import DeliveryFailed
from router.destinations.function import FunctionDestination
from router.model.errors import NotFound, StoreError
from router.model.limits import EVENT_BYTES_MAX
from router.store.asynchronous import EventsFull
from router.store.base import OutboxRow

ARN = "arn:aws:lambda:us-east-1:000000000000:function:tell:live"
ROW = OutboxRow(mapping="m", destination=ARN, letter_id="l-1", body=b"{}", records=2)


async def test_what_is_in_the_functions_queue_is_delivered():
    asked = []

    async def accept(function, row):
        asked.append((function.name, function.qualifier, row.letter_id, row.body))

    assert await FunctionDestination(accept).deliver(ROW) is None
    assert asked == [("tell", "live", "l-1", b"{}")]


async def test_no_event_is_that_large():
    async def accept(*_args):
        raise AssertionError("it is not even tried")

    large = msgspec.structs.replace(ROW, body=b"x" * (EVENT_BYTES_MAX + 1))
    with pytest.raises(DeliveryFailed) as caught:
        await FunctionDestination(accept).deliver(large)
    assert (caught.value.reason, caught.value.is_of_destination) == ("too_large", False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EventsFull("too much waits"), "throttled"),
        (StoreError("no space"), "server_error"),
        (NotFound("gone"), "missing"),
    ],
)
async def test_everything_else_is_none(error, reason):
    async def accept(*_args):
        raise error

    with pytest.raises(DeliveryFailed) as caught:
        await FunctionDestination(accept).deliver(ROW)
    assert (caught.value.reason, caught.value.is_of_destination) == (reason, True)
