"""What became of one invocation, as the engines see it."""

import msgspec


class Succeeded(msgspec.Struct, frozen=True, tag=True):
    """The whole batch is finished."""


class PartlySucceeded(msgspec.Struct, frozen=True, tag=True):
    """The handler reported failures; `failed` holds the indexes in the batch, ascending."""

    failed: tuple[int, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The function ran and failed.

    `is_invalid_response` marks a reply that the partial-response rules refuse: it is retried
    but never bisected, and the on-failure record says `functionError: null`.
    """

    error_type: str
    is_invalid_response: bool = False


class NotRun(msgspec.Struct, frozen=True, tag=True):
    """The function was not run (throttled, missing, start failed): no attempt is counted."""

    reason: str


Outcome = Succeeded | PartlySucceeded | Failed | NotRun
