"""HTTP in front of functions (`docs/contracts/bus-http-and-schedules.md` 3)."""

from typing import Any

from router.cli.samples.parts import ACCOUNT, ADDRESS, AGENT, ID, TIME_MS

TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/tg/6d0ecf831eec9f09"
NOBODY = (
    *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider"),
    *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId"),
    *("principalOrgId", "user", "userArn"),
)
"""Members of a REST request's identity that are null without IAM or Cognito."""


def rest_request(
    method: str = "POST",
    path: str = "path/to/resource",
    body: str = '{"message": "hello"}',
    stage: str = "Prod",
    account_id: str = ACCOUNT,
) -> Any:
    """A request to a REST API, or to an HTTP API with payload format 1.0."""
    path = path.lstrip("/")
    host = "abc123.execute-api.us-east-1.amazonaws.com"
    headers = {
        "Content-Type": "application/json",
        "Host": host,
        "User-Agent": AGENT,
        "X-Forwarded-For": ADDRESS,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    return {
        "resource": "/{proxy+}",
        "path": f"/{path}",
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {"foo": "bar"},
        "multiValueQueryStringParameters": {"foo": ["bar"]},
        "pathParameters": {"proxy": path},
        "stageVariables": None,
        "requestContext": {
            "accountId": account_id,
            "apiId": "abc123",
            "domainName": host,
            "domainPrefix": "abc123",
            "extendedRequestId": "EXAMPLE=",
            "httpMethod": method,
            "identity": {
                **dict.fromkeys(NOBODY),
                "sourceIp": ADDRESS,
                "userAgent": AGENT,
            },
            "path": f"/{stage}/{path}",
            "protocol": "HTTP/1.1",
            "requestId": ID,
            "requestTime": "01/Jan/2026:00:00:00 +0000",
            "requestTimeEpoch": TIME_MS,
            "resourceId": "123456",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
        "body": body or None,
        "isBase64Encoded": False,
    }


def http_request(
    method: str = "POST",
    path: str = "path/to/resource",
    body: str = '{"message": "hello"}',
    stage: str = "$default",
    account_id: str = ACCOUNT,
) -> Any:
    """A request to an HTTP API with payload format 2.0, or to a function URL."""
    path = path.lstrip("/")
    raw_path = f"/{path}" if stage == "$default" else f"/{stage}/{path}"
    host = "abc123.execute-api.us-east-1.amazonaws.com"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": "foo=bar",
        "cookies": ["cookie1=value1"],
        "headers": {"content-type": "application/json", "host": host, "user-agent": AGENT},
        "queryStringParameters": {"foo": "bar"},
        "requestContext": {
            "accountId": account_id,
            "apiId": "abc123",
            "domainName": host,
            "domainPrefix": "abc123",
            "http": {
                "method": method,
                "path": raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": ADDRESS,
                "userAgent": AGENT,
            },
            "requestId": "EXAMPLE=",
            "routeKey": "$default",
            "stage": stage,
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": TIME_MS,
        },
        "isBase64Encoded": False,
    }
    return event | ({"body": body} if body else {})


def alb_request(method: str = "GET", path: str = "/", body: str = "") -> Any:
    """A request to a load balancer."""
    return {
        "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {"foo": "bar"},
        "headers": {
            "host": "lb-example.us-east-1.elb.amazonaws.com",
            "user-agent": AGENT,
            "x-forwarded-for": ADDRESS,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def viewer_request(
    uri: str = "/picture.jpg", method: str = "GET", host: str = "example.com"
) -> Any:
    """A viewer's request, before the cache."""
    return _edge("viewer-request", _edge_request(uri, method, host))


def origin_request(
    uri: str = "/picture.jpg", method: str = "GET", host: str = "example.com"
) -> Any:
    """A request to the origin, after a miss."""
    return _edge("origin-request", _edge_request(uri, method, host))


def origin_response(
    uri: str = "/picture.jpg", status: str = "200", host: str = "example.com"
) -> Any:
    """The origin's response."""
    return _edge("origin-response", _edge_request(uri, "GET", host) | _edge_response(status))


def viewer_response(
    uri: str = "/picture.jpg", status: str = "200", host: str = "example.com"
) -> Any:
    """The response to the viewer."""
    return _edge("viewer-response", _edge_request(uri, "GET", host) | _edge_response(status))


def _edge(event_type: str, parts: dict[str, Any]) -> Any:
    config = {
        "distributionDomainName": "d0123456789abc.cloudfront.net",
        "distributionId": "EXAMPLE",
        "eventType": event_type,
        "requestId": "EXAMPLEREQUESTID==",
    }
    return {"Records": [{"cf": {"config": config, **parts}}]}


def _edge_request(uri: str, method: str, host: str) -> dict[str, Any]:
    headers = {"Host": host, "User-Agent": AGENT}
    return {
        "request": {
            "clientIp": ADDRESS,
            "method": method,
            "uri": uri,
            "querystring": "",
            "headers": {
                name.lower(): [{"key": name, "value": value}] for name, value in headers.items()
            },
        }
    }


def _edge_response(status: str) -> dict[str, Any]:
    description = {"200": "OK", "404": "Not Found"}.get(status, "")
    return {"response": {"status": status, "statusDescription": description, "headers": {}}}
