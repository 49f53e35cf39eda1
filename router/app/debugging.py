"""What a function would start with, for an invocation that the CLI runs itself."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from router.functions.resolve import FunctionResolver
from router.model.arn import function_arn
from router.model.errors import RouterError
from router.workers.launcher import Launcher


class CannotDebug(RouterError):
    """There is no debugger for a function such as this."""

    code = "cannot_debug"


class Debugging:
    """An operation of the private `router` service."""

    def __init__(self, functions: FunctionResolver, launcher: Launcher) -> None:
        self._functions = functions
        self._launcher = launcher

    def operations(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        """Name → handler, for the control server."""
        return {"DescribeEnvironment": self.describe_environment}

    async def describe_environment(self, request: dict[str, Any]) -> dict[str, Any]:
        """Interpreter, start message and head of an invocation: secrets and credentials included.

        Raises `NotFound`, `CannotDebug`, `StartFailed`.
        """
        name, qualifier = str(request.get("FunctionName")), request.get("Qualifier")
        function = self._functions.get(name, qualifier)
        if function.image is not None:
            raise CannotDebug(f"{name} is a container image: only Python functions are debugged")
        if not function.runtime.startswith("python"):
            raise CannotDebug(
                f"{name} has the runtime {function.runtime}: only Python functions are debugged"
            )
        interpreter, start = self._launcher.describe(function, str(request.get("Tmp") or "/tmp"))  # noqa: S108  # the caller's
        parts = function.arn.split(":")
        return {
            "Interpreter": interpreter,
            "Start": start,
            "Header": {
                "id": str(uuid.uuid4()),
                "arn": function_arn(parts[3], parts[4], name, qualifier),
                "timeout_ms": function.timeout_ms,
            },
        }
