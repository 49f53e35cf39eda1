"""What a service is to the server: a model and a method per operation, or a plain table."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from router.control.context import Context
from router.control.errors import not_supported
from router.control.model import ServiceModel, method_name
from router.control.protocol.paths import Routes
from router.control.protocol.query import dialect_of
from router.control.protocol.rest_json import Binding, bind
from router.control.protocol.wire import Reply, Request
from router.control.validate import validate

Handler = Callable[[Context, dict[str, Any]], Awaitable[dict[str, Any] | None]]
Direct = Callable[[Context, Request, Mapping[str, str]], Coroutine[Any, Any, Reply] | None]
"""Context, request and labels of the path to an answer; None: only the general way will do."""

PlainHandler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ModelledService:
    """An AWS service: its model and the objects whose methods answer its operations."""

    def __init__(self, name: str, model: ServiceModel, parts: Sequence[object]) -> None:
        self.name = name
        self.model = model
        self._parts = {
            operation: part
            for operation in model.operations
            for part in parts
            if hasattr(part, method_name(operation))
        }
        self.routes = Routes(model) if model.protocol == "rest-json" else None
        self.dialect = dialect_of(name, model)
        self._bindings: dict[str, Binding] = {}
        self.direct: dict[str, Direct] = {
            operation: getattr(part, f"direct_{method_name(operation)}")
            for operation, part in self._parts.items()
            if hasattr(part, f"direct_{method_name(operation)}")
        }
        """Operations whose commonest form is answered from the request as it is."""

    def handler(self, operation: str) -> Handler:
        """The method for an operation. Raises `ApiError` 501 naming it when there is none."""
        if operation not in self._parts:
            raise not_supported(self.name, operation)
        handler: Handler = getattr(self._parts[operation], method_name(operation))
        return handler

    def binding(self, operation: str) -> Binding:
        """Where an operation's members are on the wire, of a REST service."""
        found = self._bindings.get(operation)
        if found is None:
            found = self._bindings[operation] = bind(self.model, self.model.operations[operation])
        return found

    def check(self, operation: str, params: dict[str, Any]) -> None:
        """Check parameters against the model. Raises `ApiError`.

        A part that words missing and misfit members in its own way has a `check` method.
        """
        own = getattr(self._parts[operation], "check", None)
        if own is not None:
            own(self.model, operation, params)
        else:
            validate(self.model, self.model.operations[operation].input, params)


class PlainService:
    """A private service of ours: JSON objects in and out, no model."""

    def __init__(self, name: str, operations: Mapping[str, PlainHandler]) -> None:
        self.name = name
        self.target_prefix = name.capitalize()
        self.operations = operations
        self.direct: dict[str, Direct] = {}
