"""Sample events, as services send them to functions (`docs/contracts/bus-http-and-schedules.md` 7).

A sample is a function whose keyword parameters are the options of `router events generate`.
"""

import inspect
from collections.abc import Callable
from typing import Any

from router.cli.samples import chat, devops, front_doors, messages, services, streams

Sample = Callable[..., Any]
Option = tuple[str, Any]
"""Name and default."""

SAMPLES: dict[str, dict[str, Sample]] = {
    "alb": {"request": front_doors.alb_request},
    "alexa-skill": {"request": chat.alexa_request},
    "apigateway": {
        "aws-proxy": front_doors.rest_request,
        "http-api-proxy": front_doors.http_request,
    },
    "cloudformation": {"custom-resource": devops.custom_resource},
    "cloudfront": {
        "origin-request": front_doors.origin_request,
        "origin-response": front_doors.origin_response,
        "viewer-request": front_doors.viewer_request,
        "viewer-response": front_doors.viewer_response,
    },
    "cloudwatch": {
        "alarm": devops.alarm,
        "logs": devops.log_subscription,
        "scheduled-event": messages.scheduled_event,
    },
    "codecommit": {"repository": devops.repository},
    "codepipeline": {"job": devops.pipeline_job},
    "cognito": {"user-pool": services.user_pool},
    "config": {"rule": devops.config_rule},
    "documentdb": {"change": streams.document_change},
    "dynamodb": {"update": streams.table_change},
    "eventbridge": {"s3-object-created": services.bus_object_created},
    "firehose": {"transform": streams.firehose_transform},
    "iot": {"rule": services.iot_rule},
    "kafka": {"msk": streams.managed_kafka, "self-managed": streams.self_managed_kafka},
    "kinesis": {"get-records": streams.kinesis_records},
    "lex": {"dialog": chat.lex_dialog},
    "lex-v2": {"dialog": chat.lex_v2_dialog},
    "mq": {"activemq": streams.activemq, "rabbitmq": streams.rabbitmq},
    "s3": {
        "delete": services.object_removed,
        "put": services.object_created,
        "test": services.bucket_test,
    },
    "scheduler": {"default": messages.scheduler},
    "ses": {"receipt": services.mail_receipt},
    "sns": {"notification": messages.notification},
    "sqs": {"receive-fifo-message": messages.fifo_message, "receive-message": messages.message},
}
"""Service → event → what makes it."""


def options_of(sample: Sample) -> dict[str, Any]:
    """Options of a sample and their defaults."""
    parameters = inspect.signature(sample).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}
