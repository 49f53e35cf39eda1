"""What a queue refuses, in SQS's words (`bus-http-and-schedules.md` 6.5)."""

from router.model.errors import RouterError


class QueueProblem(RouterError):
    """A request a queue refuses: `shape` is the exception's name, `query_code` the older one."""

    code = "queue_refused"

    def __init__(self, shape: str, message: str, query_code: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.shape = shape
        self.message = message
        self.query_code = query_code or shape
        self.status = status


def simple(shape: str, message: str, status: int = 400) -> QueueProblem:
    """A problem whose older code has the service's prefix."""
    return QueueProblem(shape, message, f"AWS.SimpleQueueService.{shape}", status)


def no_queue() -> QueueProblem:
    """The queue is not there."""
    return QueueProblem(
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        "AWS.SimpleQueueService.NonExistentQueue",
    )


def bad_value(message: str) -> QueueProblem:
    """A parameter's value is refused."""
    return QueueProblem("InvalidParameterValueException", message, "InvalidParameterValue")


def missing(name: str) -> QueueProblem:
    """A parameter is not there, or empty."""
    return QueueProblem(
        "MissingRequiredParameterException",
        f"The request must contain the parameter {name}.",
        "MissingParameter",
    )


def unsupported(message: str) -> QueueProblem:
    """Something SQS has and this router has not yet."""
    return simple("UnsupportedOperation", message)


def unknown_attribute(name: str) -> QueueProblem:
    """No such queue attribute."""
    return QueueProblem("InvalidAttributeName", f"Unknown Attribute {name}.")


def bad_attribute(name: str, reason: str = "") -> QueueProblem:
    """A queue attribute's value is refused."""
    tail = f" Reason: {reason}" if reason else ""
    return QueueProblem("InvalidAttributeValue", f"Invalid value for the parameter {name}.{tail}")
