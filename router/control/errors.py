"""Errors an API caller sees. How they look on the wire is the protocol's business."""

from router.model.errors import RouterError


class ApiError(RouterError):
    """An error of an API: `shape` names the exception, the text is the caller's.

    `status` None means what the model says, else 400. `members` are further members of the
    answer (`Reason`); `query_code` is the older code SQS clients expect; `kind` is `User` or
    `Service` and absent (None) from errors of the framework itself.
    """

    code = "api_error"

    def __init__(
        self,
        shape: str,
        message: str,
        *,
        status: int | None = None,
        kind: str | None = "User",
        members: dict[str, str] | None = None,
        query_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.shape = shape
        self.message = message
        self.status = status
        self.kind = kind
        self.members = members or {}
        self.query_code = query_code


class ValidationFailed(ApiError):
    """The request breaks the model's constraints."""

    code = "validation_failed"

    def __init__(self, problems: list[str]) -> None:
        count = len(problems)
        noun = "error" if count == 1 else "errors"
        text = f"{count} validation {noun} detected: " + "; ".join(problems)
        super().__init__("ValidationException", text, status=400, kind=None)


class Malformed(ApiError):
    """The request cannot be read as what the model says it is."""

    code = "malformed_request"

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message, status=400, kind=None)


class TooLarge(ApiError):
    """The request's body is larger than the operation takes."""

    code = "request_too_large"

    def __init__(self, limit_bytes: int, operation: str) -> None:
        super().__init__(
            "RequestEntityTooLargeException",
            f"Request must be smaller than {limit_bytes} bytes for the {operation} operation",
            status=413,
        )


def not_supported(service: str, operation: str) -> ApiError:
    """The answer for an operation the model knows and we do not have."""
    return ApiError(
        "NotImplementedException",
        f"{service} {operation} is not supported by this version of Event Router.",
        status=501,
        kind=None,
    )


def unknown_operation(text: str) -> ApiError:
    """The answer for an operation nobody knows."""
    return ApiError("UnknownOperationException", text, status=404, kind=None)


def denied(text: str) -> ApiError:
    """The answer for a principal that may not do this."""
    return ApiError("AccessDeniedException", text, status=403, kind=None)
