"""What became of one invocation, as the engines see it."""

import msgspec

from router.model.errors import RECURSIVE, NotInvoked


class Succeeded(msgspec.Struct, frozen=True, tag=True):
    """The whole batch is finished. `state` is the window's new one, None without a window."""

    state: bytes | None = None


class PartlySucceeded(msgspec.Struct, frozen=True, tag=True):
    """The handler reported failures; `failed` holds the indexes in the batch, ascending.

    `state` is the window's new one, None without a window.
    """

    failed: tuple[int, ...]
    state: bytes | None = None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The function ran and failed.

    `is_invalid_response` marks a reply that the partial-response rules refuse: it is retried
    but never bisected, and the on-failure record says `functionError: null`. `reason` is for
    people, where the function itself said nothing of an error.
    """

    error_type: str
    is_invalid_response: bool = False
    reason: str = ""


class NotRun(msgspec.Struct, frozen=True, tag=True):
    """The function was not run (throttled, missing, start failed): no attempt is counted."""

    reason: str


Outcome = Succeeded | PartlySucceeded | Failed | NotRun


def not_invoked(error: NotInvoked) -> Failed | NotRun:
    """Of a function that was not run. A loop that was stopped fails its batch (7.6)."""
    if error.reason == "recursive":
        return Failed(RECURSIVE, reason="it was invoked in a recursive loop")
    return NotRun(error.reason)
