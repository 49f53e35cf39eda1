"""What functions have without effect here, and what there is none of (5.6, 15).

Clients ask for these at every turn: a tool that manages functions must get the answer of an
account that uses none of it.
"""

from collections.abc import Awaitable
from typing import Any

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.finding import find, find_function
from router.control.lambda_service.names import invalid, not_found, parse_ref
from router.model.version import LATEST
from router.store.catalog import Catalog, put

Params = dict[str, Any]

AUTOMATIC = {"UpdateRuntimeOn": "Auto"}


class FunctionExtras:
    """Recursion, runtime management and code signing of a function."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def put_function_recursion_config(self, context: Context, params: Params) -> Params:
        """PutFunctionRecursionConfig."""
        ref = parse_ref(context, params["FunctionName"])
        async with self._catalog.changing() as catalog:
            function = find_function(catalog, ref)
            changed = msgspec.structs.replace(function, recursive_loop=params["RecursiveLoop"])
            await catalog.commit_locked([put("function", ref.name, changed)])
        return {"RecursiveLoop": changed.recursive_loop}

    async def get_function_recursion_config(self, context: Context, params: Params) -> Params:
        """GetFunctionRecursionConfig."""
        ref = parse_ref(context, params["FunctionName"])
        return {"RecursiveLoop": find_function(self._catalog, ref).recursive_loop}

    async def put_runtime_management_config(self, context: Context, params: Params) -> Params:
        """PutRuntimeManagementConfig: kept; interpreters are those of the machine."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        kept: dict[str, str] = {
            name: params[name]
            for name in ("UpdateRuntimeOn", "RuntimeVersionArn")
            if name in params
        }
        is_manual = kept["UpdateRuntimeOn"] == "Manual"
        if is_manual != ("RuntimeVersionArn" in kept):
            raise invalid("A RuntimeVersionArn belongs to UpdateRuntimeOn Manual, and only to it.")
        async with self._catalog.changing() as catalog:
            version = find(catalog, ref).version
            function = find_function(catalog, ref)
            management = {**function.runtime_management, version: kept}
            changed = msgspec.structs.replace(function, runtime_management=management)
            await catalog.commit_locked([put("function", ref.name, changed)])
        return {**kept, "FunctionArn": ref.arn(ref.qualifier or LATEST)}

    async def get_runtime_management_config(self, context: Context, params: Params) -> Params:
        """GetRuntimeManagementConfig."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        version = find(self._catalog, ref).version
        management = find_function(self._catalog, ref).runtime_management
        kept = management.get(version, AUTOMATIC)
        return {**kept, "FunctionArn": ref.arn(ref.qualifier or LATEST)}

    async def get_function_code_signing_config(self, context: Context, params: Params) -> Params:
        """GetFunctionCodeSigningConfig: nothing, as of a function that has none (recorded)."""
        find_function(self._catalog, parse_ref(context, params["FunctionName"]))
        return {}

    async def delete_function_code_signing_config(self, context: Context, params: Params) -> None:
        """DeleteFunctionCodeSigningConfig: there was none."""
        find_function(self._catalog, parse_ref(context, params["FunctionName"]))

    async def put_function_code_signing_config(self, context: Context, params: Params) -> Params:
        """PutFunctionCodeSigningConfig: there is none to put."""
        find_function(self._catalog, parse_ref(context, params["FunctionName"]))
        arn = params["CodeSigningConfigArn"]
        raise ApiError(
            "CodeSigningConfigNotFoundException",
            "The code signing configuration cannot be found. Check that the provided "
            f"configuration is not deleted: {arn}.",
        )

    async def list_durable_executions_by_function(self, context: Context, params: Params) -> Params:
        """ListDurableExecutionsByFunction."""
        find(self._catalog, parse_ref(context, params["FunctionName"], params.get("Qualifier")))
        return {"DurableExecutions": []}


class Absent:
    """Code signing configurations, capacity providers, durable executions: there are none."""

    async def list_code_signing_configs(self, _context: Context, _params: Params) -> Params:
        """ListCodeSigningConfigs."""
        return {"CodeSigningConfigs": []}

    async def list_capacity_providers(self, _context: Context, _params: Params) -> Params:
        """ListCapacityProviders."""
        return {"CapacityProviders": []}

    async def create_code_signing_config(self, _context: Context, _params: Params) -> Params:
        """CreateCodeSigningConfig."""
        raise invalid("Code signing is not supported: Event Router checks no signatures.")

    async def create_capacity_provider(self, _context: Context, _params: Params) -> Params:
        """CreateCapacityProvider."""
        raise invalid("Capacity providers are not supported: functions run where the router does.")

    async def get_code_signing_config(self, _context: Context, params: Params) -> Params:
        """GetCodeSigningConfig, and all else that names one."""
        arn = params["CodeSigningConfigArn"]
        raise ApiError(
            "ResourceNotFoundException",
            f"The Lambda code signing configuration {arn} can not be found.",
            kind=None,
        )

    update_code_signing_config = get_code_signing_config
    delete_code_signing_config = get_code_signing_config
    list_functions_by_code_signing_config = get_code_signing_config

    def get_capacity_provider(self, _context: Context, _params: Params) -> Awaitable[Params]:
        """GetCapacityProvider, and all else that names something there is none of."""
        raise not_found("The resource you requested does not exist.")

    update_capacity_provider = get_capacity_provider
    delete_capacity_provider = get_capacity_provider
    list_function_versions_by_capacity_provider = get_capacity_provider
    put_function_scaling_config = get_capacity_provider
    get_function_scaling_config = get_capacity_provider
    get_durable_execution = get_capacity_provider
    get_durable_execution_history = get_capacity_provider
    get_durable_execution_state = get_capacity_provider
    checkpoint_durable_execution = get_capacity_provider
    pause_durable_execution = get_capacity_provider
    resume_durable_execution = get_capacity_provider
    stop_durable_execution = get_capacity_provider
    delete_durable_execution = get_capacity_provider
    send_durable_execution_callback_success = get_capacity_provider
    send_durable_execution_callback_failure = get_capacity_provider
    send_durable_execution_callback_heartbeat = get_capacity_provider
