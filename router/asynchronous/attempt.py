"""One attempt of one event: asked of the dispatcher, and what came of it."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from router.model.errors import NotFound, NotInvoked
from router.model.event_invoke import EventInvoke
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.outcomes.invocation_record import NOT_STARTED_CODE, THROTTLED_CODE, HoldUp, Response
from router.store.asynchronous import QueuedEvent


class Targets(Protocol):
    """What is invoked, as it is at this moment."""

    def exists(self, function: str) -> bool:
        """Whether there is a function of this name."""

    def version(self, function: str, qualifier: str | None) -> FunctionVersion:
        """What runs just now. Raises `NotFound`."""

    def config(self, function: str, qualifier: str | None) -> EventInvoke | None:
        """The event-invoke config of exactly this qualifier."""

    def reserved(self, function: str) -> int | None:
        """Its reserved concurrency; None: none."""

    def arn(self, function: str, qualifier: str | None) -> str:
        """Its ARN, qualified as asked for."""

    def may_loop(self, function: str) -> bool:
        """Whether its loops go on (`RecursiveLoop: Allow`)."""

    def timeout_ms(self, function: str) -> int:
        """The longest an invocation of it may take."""


class Turns(Protocol):
    """Shares out concurrency: `dispatch.dispatcher.Dispatcher`."""

    def register(self, claimant: str) -> None:
        """Who may ask for slots."""

    def unregister(self, claimant: str) -> None:
        """Who will not ask again."""

    async def invoke_for(
        self,
        claimant: str,
        request: InvokeRequest,
        *,
        on_turn: Callable[[], None] | None = None,
    ) -> InvokeReply:
        """Run it in its turn. Raises `NotInvoked`."""


class Ran(msgspec.Struct, frozen=True):
    """The function was run."""

    response: Response
    dead_letter_arn: str
    """Of the version that ran; empty: none."""


class Stopped(msgspec.Struct, frozen=True):
    """It was part of a loop, and was not run."""


class Stopping(msgspec.Struct, frozen=True):
    """The router takes up nothing more."""


Result = Ran | HoldUp | Stopped | Stopping


def claimant_of(function: str) -> str:
    """Whose turn it is when a function's events are invoked."""
    return f"async:{function}"


async def attempt(
    event: QueuedEvent, targets: Targets, turns: Turns, began: Callable[[], None]
) -> Result:
    """Run the function once, as it is now. `began` is called when it has its turn."""
    try:
        version = targets.version(event.function, event.qualifier)
        request = InvokeRequest(
            function=version,
            invoked_arn=targets.arn(event.function, event.qualifier),
            request_id=event.request_id,
            payload=event.payload,
            trace_id=event.trace_id or None,
        )
        reply = await turns.invoke_for(claimant_of(event.function), request, on_turn=began)
    except NotFound as error:
        return HoldUp(NOT_STARTED_CODE, str(error))
    except NotInvoked as error:
        if error.reason == "stopping":
            return Stopping()
        if error.reason == "recursive":
            return Stopped()
        if error.reason == "throttled":
            return HoldUp(THROTTLED_CODE, "Rate Exceeded.")
        return HoldUp(NOT_STARTED_CODE, str(error))
    response = Response(
        executed_version=version.version,
        is_error=reply.error_type is not None,
        payload=reply.payload,
    )
    return Ran(response, version.dead_letter_arn)
