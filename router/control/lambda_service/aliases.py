"""Aliases: names for versions, which may share invocations between two (5.2)."""

import uuid
from typing import Any

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.finding import check_revision, find_function
from router.control.lambda_service.listing import LIST_PAGE
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.functions.dependents import removal_of_version
from router.functions.resolve import look_up, may_share
from router.model.resources import Function
from router.model.version import LATEST, Alias
from router.store.catalog import Catalog, own_name, put

Params = dict[str, Any]


class Aliases:
    """One method per operation of the model."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_alias(self, context: Context, params: Params) -> Params:
        """CreateAlias."""
        ref = parse_ref(context, params["FunctionName"])
        async with self._catalog.changing() as catalog:
            alias = Alias(
                function=ref.name,
                name=params["Name"],
                version=params["FunctionVersion"],
                weights=_weights(params) or {},
                description=params.get("Description", ""),
                revision_id=str(uuid.uuid4()),
            )
            self._version(ref, alias.version)
            name = own_name(ref.name, alias.name)
            if name in catalog.aliases:
                raise conflict(f"Alias already exists: {_arn(ref, alias.name)}")
            self._check_weights(ref, alias)
            await catalog.commit_locked([put("alias", name, alias)])
        return _shown(ref, alias)

    async def update_alias(self, context: Context, params: Params) -> Params:
        """UpdateAlias: what is not given stays; empty weights take them away."""
        ref = parse_ref(context, params["FunctionName"])
        async with self._catalog.changing() as catalog:
            find_function(catalog, ref)
            name = own_name(ref.name, params["Name"])
            before = catalog.aliases.get(name)
            if before is None:
                raise not_found(f"Alias not found: {_arn(ref, params['Name'])}")
            check_revision(params.get("RevisionId"), before.revision_id)
            weights = _weights(params)
            alias = msgspec.structs.replace(
                before,
                version=params.get("FunctionVersion", before.version),
                weights=before.weights if weights is None else weights,
                description=params.get("Description", before.description),
                revision_id=str(uuid.uuid4()),
            )
            self._version(ref, alias.version)
            self._check_weights(ref, alias)
            await catalog.commit_locked([put("alias", name, alias)])
        return _shown(ref, alias)

    async def get_alias(self, context: Context, params: Params) -> Params:
        """GetAlias."""
        ref = parse_ref(context, params["FunctionName"])
        alias = self._catalog.aliases.get(own_name(ref.name, params["Name"]))
        if alias is None:
            raise not_found(f"Cannot find alias arn: {_arn(ref, params['Name'])}")
        return _shown(ref, alias)

    async def list_aliases(self, context: Context, params: Params) -> Params:
        """ListAliases, by name; of one version when it is given."""
        ref = parse_ref(context, params["FunctionName"])
        find_function(self._catalog, ref)
        version, marker = params.get("FunctionVersion"), params.get("Marker", "")
        found = sorted(
            (
                alias
                for alias in self._catalog.aliases.values()
                if alias.function == ref.name
                and version in (None, alias.version)
                and alias.name > marker
            ),
            key=lambda alias: alias.name,
        )
        page = found[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
        result: Params = {"Aliases": [_shown(ref, alias) for alias in page]}
        if len(page) < len(found):
            result["NextMarker"] = page[-1].name
        return result

    async def delete_alias(self, context: Context, params: Params) -> None:
        """DeleteAlias; one that is not there is none to delete."""
        ref = parse_ref(context, params["FunctionName"])
        async with self._catalog.changing() as catalog:
            find_function(catalog, ref)
            if own_name(ref.name, params["Name"]) in catalog.aliases:
                await catalog.commit_locked(removal_of_version(catalog, ref.name, params["Name"]))

    def _version(self, ref: FunctionRef, version: str) -> Function:
        found = look_up(self._catalog, ref.name, version)
        if found is None:
            raise not_found(f"Function not found: {ref.unqualified_arn}:{version}")
        return found.function

    def _check_weights(self, ref: FunctionRef, alias: Alias) -> None:
        """Raise `ApiError` for weights that cannot be, in AWS's order."""
        if len(alias.weights) > 1:
            raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        for version in alias.weights:
            if version == alias.version:
                raise invalid(
                    f"Invalid function version {version}. Function version {version} is already "
                    "included in routing configuration."
                )
            if alias.version == LATEST:
                raise ApiError(
                    "InvalidParameterValueException",
                    "$LATEST is not supported for an alias pointing to more than 1 version",
                    kind=None,
                )
            one, other = self._version(ref, alias.version), self._version(ref, version)
            if not may_share(one, other):
                raise invalid(
                    f"Versions {alias.version} and {version} cannot share an alias: they must "
                    "have the same execution role and the same dead-letter configuration."
                )


def _weights(params: Params) -> dict[str, float] | None:
    """Version → weight as given; None when nothing is."""
    routing = params.get("RoutingConfig")
    if routing is None:
        return None
    given = routing.get("AdditionalVersionWeights") or {}
    return {version: float(weight) for version, weight in given.items()}


def _arn(ref: FunctionRef, alias: str) -> str:
    return f"{ref.unqualified_arn}:{alias}"


def _shown(ref: FunctionRef, alias: Alias) -> Params:
    shown: Params = {
        "AliasArn": _arn(ref, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        shown["RoutingConfig"] = {"AdditionalVersionWeights": alias.weights}
    return shown
