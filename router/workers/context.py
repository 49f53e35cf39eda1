"""The `context` argument of a Python handler (`functions-and-invocation.md` 8.6).

Runs in the child: standard library only.
"""

import json
import sys
import time
from typing import Any


class CognitoIdentity:
    """Always there; both fields are None unless the caller sent an identity."""

    def __init__(self, pairs: "dict[str, Any] | None" = None) -> None:
        pairs = pairs or {}
        self.cognito_identity_id = pairs.get("cognitoIdentityId")
        self.cognito_identity_pool_id = pairs.get("cognitoIdentityPoolId")

    def __repr__(self) -> str:
        return (
            f"CognitoIdentity([cognito_identity_id={self.cognito_identity_id},"
            f"cognito_identity_pool_id={self.cognito_identity_pool_id}])"
        )


class Client:
    """The application that called, as its SDK described itself."""

    def __init__(self, pairs: "dict[str, Any]") -> None:
        self.installation_id = pairs.get("installation_id")
        self.app_title = pairs.get("app_title")
        self.app_version_name = pairs.get("app_version_name")
        self.app_version_code = pairs.get("app_version_code")
        self.app_package_name = pairs.get("app_package_name")


class ClientContext:
    """The decoded client context of the caller."""

    def __init__(self, pairs: "dict[str, Any]") -> None:
        self.custom = pairs.get("custom")
        self.env = pairs.get("env")
        client = pairs.get("client")
        self.client = Client(client) if isinstance(client, dict) else None


class LambdaContext:
    """What a handler may ask about its invocation."""

    def __init__(self, facts: "dict[str, Any]", header: "dict[str, Any]") -> None:
        """`facts` describe the environment; `header` is the INVOKE frame's.

        Raises ValueError when the client context is not JSON.
        """
        self.aws_request_id: str = header["id"]
        self.function_name: str = facts["name"]
        self.function_version: str = facts["version"]
        self.invoked_function_arn: str = header["arn"]
        self.memory_limit_in_mb: str = facts["memory_mb"]
        self.log_group_name: str = facts["log_group"]
        self.log_stream_name: str = facts["log_stream"]
        self.tenant_id: str | None = header.get("tenant")
        text = header.get("client")
        pairs = json.loads(text) if text else None
        self._w3c = pairs.get("w3c") if isinstance(pairs, dict) else None
        self.client_context = ClientContext(pairs) if isinstance(pairs, dict) else None
        self.identity = CognitoIdentity()
        self._deadline_ms: float = header["deadline_ms"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended; never below 0."""
        return max(0, int(self._deadline_ms - time.monotonic() * 1000))

    def log(self, message: object) -> None:
        """Write `message` to the log as it is, without a newline."""
        sys.stdout.write(str(message))

    def w3c(self) -> "dict[str, Any]":
        """`traceparent`, `tracestate` and `baggage` of the client context's `w3c`."""
        found = self._w3c if isinstance(self._w3c, dict) else {}
        return {name: found.get(name) for name in ("traceparent", "tracestate", "baggage")}

    def __repr__(self) -> str:
        return (
            f"LambdaContext([aws_request_id={self.aws_request_id},"
            f"log_group_name={self.log_group_name},log_stream_name={self.log_stream_name},"
            f"function_name={self.function_name},memory_limit_in_mb={self.memory_limit_in_mb},"
            f"function_version={self.function_version},"
            f"invoked_function_arn={self.invoked_function_arn},"
            f"client_context={self.client_context},identity={self.identity},"
            f"tenant_id={self.tenant_id}])"
        )
