"""What functions and those who invoke them are given."""

import secrets
import uuid

import msgspec

from router.dispatch.dispatcher import Dispatcher
from router.dispatch.response_stream import ResponseStream
from router.functions.resolve import FunctionResolver
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.version import LATEST


class FunctionKeys:
    """Credentials of functions: a key per function names it and says what it may call."""

    def __init__(self, region: str) -> None:
        self.endpoint = ""
        self._region = region
        self._keys: dict[str, tuple[str, str]] = {}
        self._names: dict[str, tuple[str, str]] = {}

    def environment_of(self, function: FunctionVersion) -> dict[str, str]:
        """Variables with which a function's own AWS client reaches the embedded services."""
        key, secret = self._key(function.name)
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": "embedded",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def holder_of(self, access_key_id: str) -> tuple[str, str] | None:
        """(function name, secret) behind a key."""
        return self._names.get(access_key_id)

    def _key(self, name: str) -> tuple[str, str]:
        if name not in self._keys:
            key = "ASIA" + secrets.token_hex(8).upper()
            secret = secrets.token_urlsafe(30)
            self._keys[name] = (key, secret)
            self._names[key] = (name, secret)
        return self._keys[name]


class ApiInvoker:
    """Invocations that callers of the API wait for."""

    def __init__(self, dispatcher: Dispatcher, functions: FunctionResolver) -> None:
        self._dispatcher = dispatcher
        self._functions = functions

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: bytes | None = None,
        trace_id: str | None = None,
        stream: ResponseStream | None = None,
    ) -> InvokeReply:
        """Run it now; the reply says which version it was. Raises `NotInvoked`, `NotFound`."""
        version = self._functions.get(function, qualifier)
        if stream is not None:
            stream.executed_version = version.version
        reply = await self._dispatcher.invoke(
            InvokeRequest(
                function=version,
                invoked_arn=f"{version.arn}:{qualifier}" if qualifier else version.arn,
                request_id=request_id or str(uuid.uuid4()),
                payload=payload,
                client_context=client_context,
                trace_id=trace_id,
                sink=stream,
            )
        )
        if version.version == LATEST:
            return reply
        return msgspec.structs.replace(reply, executed_version=version.version)
