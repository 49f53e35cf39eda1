"""The `context` argument of a Python handler (`functions-and-invocation.md` 8.6).

Runs in the child: standard library only.
"""

import json
import sys
import time
from typing import Any

TRACE_FIELDS = ("traceparent", "tracestate", "baggage")
"""What `w3c()` shows of a client context's `w3c`: those of its texts."""


class _Record:
    """Named fields of a JSON object; those it does not have are None."""

    __slots__: "tuple[str, ...]" = ()

    def __init__(self, pairs: "dict[str, Any]") -> None:
        for name in self.__slots__:
            setattr(self, name, pairs.get(name))

    def __repr__(self) -> str:
        shown = ",".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{type(self).__name__}([{shown}])"


class CognitoIdentity(_Record):
    """Always there; both fields are None: the router knows no identities."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id = self.cognito_identity_pool_id = None


class Client(_Record):
    """The application that called, as its SDK described itself."""

    __slots__ = (  # noqa: RUF023  # the order they are shown in
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(_Record):
    """The decoded client context of the caller."""

    __slots__ = ("custom", "env", "client")  # noqa: RUF023  # the order they are shown in

    def __init__(self, pairs: "dict[str, Any]") -> None:
        super().__init__(pairs)
        described = pairs.get("client")
        self.client = None if described is None else Client(described)


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
        self._w3c: dict[str, str] = {}
        self.client_context: ClientContext | None = None
        if text := header.get("client"):
            self._describe_client(json.loads(text))
        self.identity = CognitoIdentity()
        self._deadline_ms: float = header["deadline_ms"]

    def _describe_client(self, pairs: Any) -> None:
        if isinstance(pairs, dict):
            self.client_context = ClientContext(pairs)
            found = pairs.get("w3c")
            texts = found if isinstance(found, dict) else {}
            self._w3c = {
                name: texts[name] for name in TRACE_FIELDS if isinstance(texts.get(name), str)
            }

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended; never below 0."""
        return max(0, int(self._deadline_ms - time.monotonic() * 1000))

    def log(self, msg: object) -> None:
        """Write `msg` to the log as it is, without a newline."""
        sys.stdout.write(str(msg))

    def w3c(self) -> "dict[str, str]":
        """`traceparent`, `tracestate` and `baggage` of the client context, those there are."""
        return dict(self._w3c)

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
