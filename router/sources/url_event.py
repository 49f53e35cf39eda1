"""The event of a request to a function's URL: payload format 2.0 (`…-invocation.md` 10)."""

import base64
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import orjson

from router.model.function_url import UrlCall
from router.model.media_types import media_type

QUERY_FIELDS_MAX: Final = 10_000
"""More than any URL that is let in can hold."""

SECONDS_REMEMBERED: Final = 16
"""Seconds whose text is remembered: thousands of requests share one."""

JSON_TYPE: Final = "application/json"
"""What most bodies are."""

_TEXT_TYPES: Final = re.compile(
    r"text/.*|application/(json|xml|javascript|ecmascript|x-www-form-urlencoded|graphql|"
    r"x-yaml|yaml)|.*\+(json|xml)",
    re.ASCII,
)


class Signer(msgspec.Struct, frozen=True):
    """Who signed the request."""

    access_key_id: str
    account: str
    arn: str


def url_event(
    call: UrlCall,
    *,
    domain: str,
    request_id: str,
    trace_id: str,
    port: int,
    wall_ms: int,
    signer: Signer | None,
) -> bytes:
    """The event as JSON.

    `domain` is the host name of the request, `port` the one it came to. A trace id the client
    sent stays. Of no signer the request is anonymous.
    """
    headers = call.headers.copy()
    headers.pop("connection", None)
    before = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{before}, {call.peer}" if before else call.peer
    headers.setdefault("x-forwarded-proto", "http")
    headers.setdefault("x-forwarded-port", f"{port}")
    headers["x-amzn-trace-id"] = trace_id
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": call.path,
        "rawQueryString": call.query,
    }
    if cookie := call.headers.get("cookie"):
        event["cookies"] = [part for text in cookie.split(";") if (part := text.strip())]
    event["headers"] = headers
    if call.query:
        event["queryStringParameters"] = _parameters(call.query)
    event["requestContext"] = _context(call, domain, request_id, wall_ms, signer)
    if call.body:
        event["body"], event["isBase64Encoded"] = _body(call)
    else:
        event["isBase64Encoded"] = False
    return orjson.dumps(event)


def _context(
    call: UrlCall, domain: str, request_id: str, wall_ms: int, signer: Signer | None
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "accountId": signer.account if signer is not None else "anonymous",
        "apiId": call.url_id,
        "authentication": None,
        "domainName": domain,
        "domainPrefix": call.url_id,
        "http": {
            "method": call.method,
            "path": call.path,
            "protocol": "HTTP/1.1",
            "sourceIp": call.peer,
            "userAgent": call.headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _time_text(wall_ms // 1000),
        "timeEpoch": wall_ms,
    }
    if signer is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": signer.access_key_id,
                "accountId": signer.account,
                "callerId": signer.access_key_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": signer.arn,
                "userId": signer.access_key_id,
            }
        }
    return context


@lru_cache(maxsize=SECONDS_REMEMBERED)
def _time_text(wall_s: int) -> str:
    return f"{datetime.fromtimestamp(wall_s, UTC):%d/%b/%Y:%H:%M:%S} +0000"


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    pairs = parse_qsl(
        query, keep_blank_values=True, errors="replace", max_num_fields=QUERY_FIELDS_MAX
    )
    for name, text in pairs:
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _body(call: UrlCall) -> tuple[str, bool]:
    content_type = call.headers.get("content-type")
    if content_type == JSON_TYPE or _TEXT_TYPES.fullmatch(media_type(content_type)):
        try:
            return call.body.decode(), False
        except UnicodeDecodeError:
            pass  # whatever it says, it is no text
    return base64.b64encode(call.body).decode(), True
