"""Reserved concurrency, and what the account has (`functions-and-invocation.md` 5.3)."""

from typing import Any, Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.names import FunctionRef, invalid, not_found, parse_ref
from router.functions.concurrency import allotments
from router.model.concurrency import AccountLimit
from router.model.limits import CODE_UNZIPPED_BYTES_MAX, CODE_ZIPPED_BYTES_MAX
from router.model.resources import Function
from router.store.catalog import Catalog, put

CODE_BYTES_MAX: Final = 80_530_636_800
"""TotalCodeSize of an account (Lambda quota); not enforced, the disk is what there is."""

Params = dict[str, Any]


class Concurrency:
    """One method per operation of the model."""

    def __init__(self, catalog: Catalog, limit: AccountLimit) -> None:
        self._catalog = catalog
        self._limit = limit

    async def put_function_concurrency(self, context: Context, params: Params) -> Params:
        """PutFunctionConcurrency."""
        ref = _unqualified(context, params)
        reserved: int = params["ReservedConcurrentExecutions"]
        async with self._catalog.changing() as catalog:
            function = catalog.functions.get(ref.name)
            if function is None:
                raise not_found(f"Function not found: {ref.arn('$LATEST')}")
            given = allotments(catalog)
            own = given.pop(ref.name, None)
            if own is not None and reserved < own.ready:
                raise invalid(
                    f" ReservedConcurrentExecutions  {reserved} should not be lower than "
                    f"function's total provisioned concurrency [{own.ready}]."
                )
            others = sum(allotment.claimed for allotment in given.values())
            left = self._limit.concurrency - others - reserved
            is_more = own is None or reserved > own.claimed
            if is_more and left < self._limit.unreserved_min:
                raise too_much("ReservedConcurrentExecutions", self._limit)
            await _reserve(catalog, function, reserved)
        return {"ReservedConcurrentExecutions": reserved}

    async def get_function_concurrency(self, context: Context, params: Params) -> Params:
        """GetFunctionConcurrency: nothing where nothing is reserved."""
        ref = parse_ref(context, params["FunctionName"])
        function = self._catalog.functions.get(ref.name)
        if function is None:
            raise not_found(f"Function not found: {ref.arn()}")
        return shown(function)

    async def delete_function_concurrency(self, context: Context, params: Params) -> None:
        """DeleteFunctionConcurrency, also of what was not reserved."""
        ref = _unqualified(context, params)
        async with self._catalog.changing() as catalog:
            function = catalog.functions.get(ref.name)
            if function is None:
                raise not_found(f"Function not found: {ref.arn()}")
            await _reserve(catalog, function, None)

    async def get_account_settings(self, _context: Context, _params: Params) -> Params:
        """GetAccountSettings. What is not reserved leaves provisioned concurrency aside."""
        functions = self._catalog.functions.values()
        versions = [version.function for version in self._catalog.versions.values()]
        reserved = sum(function.reserved_concurrency or 0 for function in functions)
        limit = self._limit.concurrency
        return {
            "AccountLimit": {
                "TotalCodeSize": CODE_BYTES_MAX,
                "CodeSizeUnzipped": CODE_UNZIPPED_BYTES_MAX,
                "CodeSizeZipped": CODE_ZIPPED_BYTES_MAX,
                "ConcurrentExecutions": limit,
                "UnreservedConcurrentExecutions": max(0, limit - reserved),
            },
            "AccountUsage": {
                "TotalCodeSize": sum(one.code_size for one in (*functions, *versions)),
                "FunctionCount": len(functions),
            },
        }


def shown(function: Function) -> Params:
    """A function's reservation, also of nothing at all."""
    reserved = function.reserved_concurrency
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


def too_much(member: str, limit: AccountLimit) -> ApiError:
    """400: what is left would be too little for everybody else."""
    return ApiError(
        "InvalidParameterValueException",
        f"Specified {member} for function decreases account's UnreservedConcurrentExecution below "
        f"its minimum value of [{limit.unreserved_min}].",
        kind=None,
    )


async def _reserve(catalog: Catalog, function: Function, reserved: int | None) -> None:
    """Neither revision nor modification time change: this is no part of the configuration."""
    if reserved != function.reserved_concurrency:
        changed = msgspec.structs.replace(function, reserved_concurrency=reserved)
        await catalog.commit_locked([put("function", function.name, changed)])


def _unqualified(context: Context, params: Params) -> FunctionRef:
    ref = parse_ref(context, params["FunctionName"])
    if ref.qualifier is not None:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        )
    return ref
