"""Provisioned concurrency of versions and aliases (`functions-and-invocation.md` 5.3)."""

from collections.abc import Callable
from typing import Any, Protocol

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.concurrency import too_much
from router.control.lambda_service.listing import LIST_PAGE
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.control.lambda_service.shown import time_text
from router.functions.concurrency import allotments
from router.model.concurrency import AccountLimit, Provisioned, ProvisionedStatus
from router.model.version import LATEST, Alias
from router.store.base import Delete
from router.store.catalog import Catalog, own_name, put

Params = dict[str, Any]


class ProvisionedStatuses(Protocol):
    """Who knows how far it is: `dispatch.provisioning.Provisioning`."""

    def status(self, config: Provisioned) -> ProvisionedStatus:
        """How far provisioned concurrency is that was asked for."""


class ProvisionedConcurrency:
    """One method per operation of the model."""

    def __init__(
        self,
        catalog: Catalog,
        limit: AccountLimit,
        statuses: ProvisionedStatuses,
        wall_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._limit = limit
        self._statuses = statuses
        self._wall_ms = wall_ms

    async def put_provisioned_concurrency_config(self, context: Context, params: Params) -> Params:
        """PutProvisionedConcurrencyConfig: accepted at once, READY later."""
        ref, qualifier = _qualified(context, params)
        if qualifier == LATEST:
            raise invalid(
                "Provisioned Concurrency Configs cannot be applied to unpublished function "
                "versions."
            )
        requested: int = params["ProvisionedConcurrentExecutions"]
        async with self._catalog.changing() as catalog:
            self._check_free(ref, qualifier)
            self._check_amount(ref, qualifier, requested)
            config = Provisioned(
                function=ref.name,
                qualifier=qualifier,
                requested=requested,
                last_modified_ms=self._wall_ms(),
            )
            await catalog.commit_locked([put("provisioned", _name(ref, qualifier), config)])
        return self._shown(config)

    async def get_provisioned_concurrency_config(self, context: Context, params: Params) -> Params:
        """GetProvisionedConcurrencyConfig."""
        ref, qualifier = _published(context, params)
        self._check_there(ref, qualifier)
        config = self._catalog.provisioned.get(_name(ref, qualifier))
        if config is None:
            raise ApiError(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                status=404,
            )
        return self._shown(config)

    async def list_provisioned_concurrency_configs(
        self, context: Context, params: Params
    ) -> Params:
        """ListProvisionedConcurrencyConfigs, by qualifier."""
        ref = parse_ref(context, params["FunctionName"])
        if ref.name not in self._catalog.functions:
            raise not_found(f"Function not found: {ref.arn()}")
        marker = params.get("Marker", "")
        found = sorted(
            (
                config
                for config in self._catalog.provisioned.values()
                if config.function == ref.name and config.qualifier > marker
            ),
            key=lambda config: config.qualifier,
        )
        page = found[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
        result: Params = {
            "ProvisionedConcurrencyConfigs": [
                {"FunctionArn": ref.arn(config.qualifier), **self._shown(config)} for config in page
            ]
        }
        if len(page) < len(found):
            result["NextMarker"] = page[-1].qualifier
        return result

    async def delete_provisioned_concurrency_config(self, context: Context, params: Params) -> None:
        """DeleteProvisionedConcurrencyConfig, also of what is not there."""
        ref, qualifier = _published(context, params)
        async with self._catalog.changing() as catalog:
            self._check_there(ref, qualifier)
            if _name(ref, qualifier) in catalog.provisioned:
                await catalog.commit_locked([Delete("provisioned", _name(ref, qualifier))])

    def _shown(self, config: Provisioned) -> Params:
        status = self._statuses.status(config)
        shown: Params = {
            "RequestedProvisionedConcurrentExecutions": config.requested,
            "AvailableProvisionedConcurrentExecutions": status.ready,
            "AllocatedProvisionedConcurrentExecutions": status.ready,
            "Status": status.state,
            "LastModified": time_text(config.last_modified_ms),
        }
        if status.reason:
            shown["StatusReason"] = status.reason
        return shown

    def _check_there(self, ref: FunctionRef, qualifier: str) -> Alias | None:
        """The alias; None for a version. Raises `ApiError` 404."""
        name = _name(ref, qualifier)
        if qualifier.isdigit():
            if name not in self._catalog.versions:
                raise not_found(f"Function not found: {ref.arn(qualifier)}")
            return None
        alias = self._catalog.aliases.get(name)
        if alias is None:
            raise not_found(f"Cannot find alias arn: {ref.arn(qualifier)}")
        return alias

    def _check_free(self, ref: FunctionRef, qualifier: str) -> None:
        """A version has it by itself or by one alias. Raises `ApiError`."""
        alias = self._check_there(ref, qualifier)
        provisioned = self._catalog.provisioned
        if alias is None:
            if any(
                other.function == ref.name
                and other.version == qualifier
                and own_name(ref.name, other.name) in provisioned
                for other in self._catalog.aliases.values()
            ):
                raise conflict("Version is pointed by a Provisioned Concurrency alias")
        elif alias.version == LATEST:
            raise invalid(
                "Provisioned Concurrency Configs cannot be applied to unpublished function "
                "versions."
            )
        elif own_name(ref.name, alias.version) in provisioned:
            raise conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already "
                "Provisioned version"
            )

    def _check_amount(self, ref: FunctionRef, qualifier: str, requested: int) -> None:
        """Raise `ApiError` for more than the function or the account has."""
        before = self._catalog.provisioned.get(_name(ref, qualifier))
        more = requested - (before.requested if before is not None else 0)
        given = allotments(self._catalog)
        own = given.get(ref.name)
        reserved = self._catalog.functions[ref.name].reserved_concurrency
        if reserved is not None:
            if (own.ready if own is not None else 0) + more > reserved:
                raise invalid(
                    "Requested Provisioned Concurrency should not be greater than the "
                    "reservedConcurrentExecution for function"
                )
            return
        left = self._limit.concurrency - sum(allotment.claimed for allotment in given.values())
        if more > left:
            unreserved = left + requested - more
            raise ApiError(
                "InvalidParameterValueException",
                "Specified ConcurrentExecutions for function is greater than account's "
                f"unreserved concurrency [{unreserved}].",
                kind=None,
            )
        if more > 0 and left - more < self._limit.unreserved_min:
            raise too_much("ConcurrentExecutions", self._limit)


def _name(ref: FunctionRef, qualifier: str) -> str:
    return own_name(ref.name, qualifier)


def _qualified(context: Context, params: Params) -> tuple[FunctionRef, str]:
    ref = parse_ref(context, params["FunctionName"], params["Qualifier"])
    return ref, ref.qualifier or LATEST


def _published(context: Context, params: Params) -> tuple[FunctionRef, str]:
    ref, qualifier = _qualified(context, params)
    if qualifier == LATEST:
        raise invalid("The function resource provided must be an alias or a published version.")
    return ref, qualifier
