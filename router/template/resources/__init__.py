"""The resource types a template may hold, one small file per kind."""

from router.template.resources.accepted import ACCEPTED
from router.template.resources.alias import LambdaAlias, LambdaVersion
from router.template.resources.base import ResourceType
from router.template.resources.event_invoke import EventInvokeConfig
from router.template.resources.function import LambdaFunction
from router.template.resources.layer import LambdaLayer
from router.template.resources.log_group import LogsGroup
from router.template.resources.mapping import EventSourceMapping
from router.template.resources.permission import LambdaPermission
from router.template.resources.queue import SqsQueue
from router.template.resources.url import LambdaUrl
from router.template.resources.webhook import RouterWebhook

TYPES: dict[str, ResourceType] = {
    kind.name: kind
    for kind in (
        LambdaFunction(),
        LambdaLayer(),
        LambdaAlias(),
        LambdaVersion(),
        LambdaUrl(),
        EventInvokeConfig(),
        LambdaPermission(),
        EventSourceMapping(),
        SqsQueue(),
        LogsGroup(),
        RouterWebhook(),
        *ACCEPTED,
    )
}
"""Every type by its name."""

SUPPORTED = (
    "AWS::Serverless::Function",
    "AWS::Serverless::LayerVersion",
    *(name for name, kind in TYPES.items() if not kind.effect),
)
"""What to write instead of a type that is not honoured."""
