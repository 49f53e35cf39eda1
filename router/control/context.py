"""Who asks, from where, and as which request."""

from collections.abc import Mapping

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Someone with a key. `allowed` None: everything; else `service:Operation` names."""

    name: str
    secret: str
    allowed: frozenset[str] | None = None


class Context(msgspec.Struct, frozen=True):
    """One call as a service sees it."""

    service: str
    operation: str
    request_id: str
    region: str
    account: str
    base_url: str
    """`http://host:port` as the caller reached us."""
    headers: Mapping[str, str]
    principal: Principal | None = None


FUNCTION_CALLS: frozenset[str] = frozenset(
    {
        "lambda:Invoke",
        "lambda:InvokeAsync",
        "sqs:ChangeMessageVisibility",
        "sqs:ChangeMessageVisibilityBatch",
        "sqs:DeleteMessage",
        "sqs:DeleteMessageBatch",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ListQueues",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "sqs:SendMessageBatch",
        "sts:GetCallerIdentity",
    }
)
"""What an environment's key may call (`design.md` 4): invocation and the data planes."""
