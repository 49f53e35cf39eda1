"""What every part of SQS has in common."""

from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from router.control.context import Context
from router.control.errors import ApiError
from router.control.model import ServiceModel
from router.embedded.problems import QueueProblem, bad_value, missing, no_queue
from router.embedded.queues import EmbeddedQueues

Params = dict[str, Any]


class SqsPart:
    """Some operations of SQS."""

    def __init__(self, queues: EmbeddedQueues, account: str) -> None:
        self._queues = queues
        self._account = account

    def check(self, model: ServiceModel, operation: str, params: Params) -> None:
        """SQS words missing members in its own way and checks the rest itself."""
        shape = model.shape(model.operations[operation].input)
        for name in shape.required:
            value = params.get(name)
            if value is None or value == "":
                raise api_error(missing(name))
        for name, value in params.items():
            if _holds_null(value):
                raise api_error(bad_value(f"Value null in {name} is invalid."))
            inner = model.shapes[shape.members[name].shape]
            if inner.type != "list" or inner.member is None:
                continue
            entry = model.shapes[inner.member.shape]
            for item in value:
                for needed in entry.required:
                    if item.get(needed) is None:
                        raise api_error(missing(needed))

    def _name(self, params: Params) -> str:
        """The queue's name: the last part of the URL's path; host and port do not matter."""
        try:
            path = urlsplit(params["QueueUrl"]).path
        except ValueError:  # half an IPv6 address in it
            raise api_error(no_queue()) from None
        parts = [unquote(part) for part in path.split("/") if part]
        if not parts or (len(parts) > 1 and parts[-2] != self._account):
            raise api_error(no_queue())
        return parts[-1]

    def _url(self, context: Context, name: str) -> str:
        return f"{context.base_url}/{self._account}/{name}"


class Refusals:
    """What a queue refuses becomes what the API answers: `with Refusals():`."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if isinstance(error, QueueProblem):
            raise api_error(error) from None


def api_error(problem: QueueProblem) -> ApiError:
    """A queue's problem as an error of the API."""
    return ApiError(
        problem.shape, problem.message, status=problem.status, query_code=problem.query_code
    )


def _holds_null(value: Any) -> bool:
    """An element of a list or map; in a structure a null is no member."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return value is None
    return any(_holds_null(item) for item in value)
