"""What the API's names lead to, with its texts for what they do not (5.1)."""

from router.control.errors import ApiError
from router.control.lambda_service.names import FunctionRef, not_found
from router.functions.resolve import Found, look_up
from router.model.resources import Function
from router.store.catalog import Catalog


def find(catalog: Catalog, ref: FunctionRef) -> Found:
    """The version a reference means. Raises `ApiError` 404."""
    found = look_up(catalog, ref.name, ref.qualifier)
    if found is None:
        raise not_found(f"Function not found: {ref.arn()}")
    return found


def find_function(catalog: Catalog, ref: FunctionRef) -> Function:
    """The function itself, whatever qualifier was given. Raises `ApiError` 404."""
    function = catalog.functions.get(ref.name)
    if function is None:
        raise not_found(f"Function not found: {ref.arn()}")
    return function


def check_revision(given: str | None, current: str, call: str = "GetFunction/GetAlias") -> None:
    """Raise `ApiError` 412 when the caller saw something older (4.3)."""
    if given is not None and given != current:
        raise ApiError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the "
            f"{call} API to retrieve the latest Revision Id",
            status=412,
        )
