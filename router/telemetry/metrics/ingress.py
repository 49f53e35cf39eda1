"""Requests from outside

What the ingress listener, its webhooks and functions' URLs, and the API were asked and answered.
`result!~"accepted|duplicate|handshake|empty_batch"` are the refusals of a webhook.
"""

from router.telemetry.declare import FUNCTION, WEBHOOK, counter, gauge, histogram

OPERATION = {
    "service": "`lambda`, `sqs` …; `unknown` for none that is served",
    "operation": "its name on AWS; `unknown` for none that is served",
}

WEBHOOK_REQUESTS = counter(
    "router_webhook_requests_total",
    "Requests to a webhook, by result.",
    {
        **WEBHOOK,
        "result": "`accepted`, `duplicate`, `handshake`, `empty_batch`, or why it was refused: "
        "`signature_invalid`, `timestamp_too_old`, `body_too_large`, `unkeyable`, `rate`, "
        "`store_full`, `overloaded`, `draining` …",
    },
)
WEBHOOK_BYTES = counter(
    "router_webhook_received_bytes_total", "Body bytes of requests that were accepted.", WEBHOOK
)
WEBHOOK_DURATION = histogram(
    "router_webhook_duration_seconds",
    "Time from a complete request to its answer, once its record was durable.",
    WEBHOOK,
)
WEBHOOK_UNKEYED = counter(
    "router_webhook_unkeyed_records_total",
    "Accepted records whose partition key was missing; they were spread by event id.",
    WEBHOOK,
)
RECORDS_EXPIRED = counter(
    "router_stream_records_expired_unhandled_total",
    "Records that aged out of their stream before every mapping had finished them: lost.",
    {"stream": "the webhook whose stream it is"},
)
URL_REQUESTS = counter(
    "router_function_url_requests_total",
    "Requests to a function's URL, by the class of their status.",
    {**FUNCTION, "status_class": ("1xx", "2xx", "3xx", "4xx", "5xx")},
    aws={
        "UrlRequestCount": "",
        "Url4xxCount": 'status_class="4xx"',
        "Url5xxCount": 'status_class="5xx"',
    },
)
URL_DURATION = histogram(
    "router_function_url_duration_seconds",
    "Time from a complete request to a function's URL to its answer.",
    FUNCTION,
    aws="UrlRequestLatency",
)
INGRESS_CONNECTIONS = gauge("router_ingress_connections", "Open connections to ingress.")
INGRESS_REFUSED = counter(
    "router_ingress_refused_total",
    "Connections and requests that ingress refused before it knew whom they were for, by reason.",
    {
        "reason": "`unknown_path`, `connections`, `connections_per_address`, `malformed`, "
        "`head_too_large`, `head_late`, `body_late`, `overloaded`, `draining` …"
    },
)
INGRESS_RESTARTS = counter(
    "router_ingress_process_restarts_total",
    "Times the ingress process ended by itself and was started again.",
)
API_REQUESTS = counter(
    "router_api_requests_total",
    "Requests to the API that were read to their end, by status.",
    {**OPERATION, "status": "in full"},
)
API_REFUSED = counter(
    "router_api_refused_total",
    "Connections and requests that the API's listener, or the functions' own, refused by itself.",
    {"reason": "`connections`, `malformed`, `head_late`, `body_too_large`, `memory` …"},
)
UNKNOWN_MEMBERS = counter(
    "router_api_unknown_members_total",
    "Members of requests that the service's model does not know; accepted as AWS does.",
    OPERATION,
)
