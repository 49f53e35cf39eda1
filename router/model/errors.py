"""Errors raised on purpose."""

RECURSIVE = "RecursiveInvocationException"
RECURSIVE_TEXT = (
    "Lambda has detected your function being invoked in a recursive loop with other Amazon Web "
    "Services resources and stopped your function's invocation."
)
"""What Lambda calls an invocation that it stopped, and says of it."""


class RouterError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug.

    `code` is stable and safe to match on, in logs, metrics and API replies.
    The text never holds a payload or a secret.
    """

    code = "router_error"
    retryable = False


class EngineError(RouterError):
    """An engine was given an event that cannot follow what came before it."""

    code = "engine_error"


class ConfigError(RouterError):
    """A setting, an option or a file of settings is wrong. The text says which and what to do."""

    code = "config_error"


class TemplateError(RouterError):
    """A template cannot be honoured. The text names resource, property and line."""

    code = "template_error"


class StoreError(RouterError):
    """The store could not do what was asked; nothing of the request was kept."""

    code = "store_error"
    retryable = True


class StoreUnusable(StoreError):
    """The store cannot be opened: unreadable, newer than this router, or held by another one."""

    code = "store_unusable"
    retryable = False


class StoreFull(StoreError):
    """A cap of the store or of its queue of waiting writes is reached; ask again later."""

    code = "store_full"


class ShardClosed(StoreError):
    """The shard takes no more records: the stream was cut anew, and other shards do."""

    code = "shard_closed"


class NotEmpty(StoreError):
    """What was to be removed or cut anew as empty holds something by now."""

    code = "not_empty"


class NotInvoked(RouterError):
    """The function was not run: no free environment, a missing function, a failed start.

    `reason` is one of `throttled`, `function_missing`, `start_failed`, `stopping`, `recursive`;
    `detail` says what a throttle was for, as Lambda's `Reason` (`functions-and-invocation.md` 6.4).
    Counts against no retry budget (`event-source-mappings.md` 3.4), but a loop that was stopped
    does: it would be stopped again (`functions-and-invocation.md` 7.6).
    """

    code = "not_invoked"
    retryable = True

    def __init__(self, reason: str, text: str = "", *, detail: str = "") -> None:
        """`reason` is safe as a metric label; `text` is for people."""
        super().__init__(text or reason)
        self.reason = reason
        self.detail = detail


class NotFound(RouterError):
    """What was named does not exist."""

    code = "not_found"


class Conflict(RouterError):
    """What was asked for collides with what exists."""

    code = "conflict"
