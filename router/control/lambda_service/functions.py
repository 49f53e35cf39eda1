"""Functions: create, read, update the code of, delete."""

import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from router.control.code_links import CodeLinks
from router.control.context import Context
from router.control.lambda_service import settings
from router.control.lambda_service.code_source import CodeSource
from router.control.lambda_service.concurrency import shown as reservation
from router.control.lambda_service.layer_use import put_together, uses_of
from router.control.lambda_service.names import (
    LATEST,
    FunctionRef,
    conflict,
    invalid,
    not_found,
    not_yet,
    parse_ref,
)
from router.control.lambda_service.shown import add_state, configuration
from router.control.lambda_service.states import Transitions
from router.control.model import ServiceModel
from router.control.validate import validate
from router.functions.dependents import removal
from router.functions.packages import CodeStore, Package
from router.functions.resolve import has_qualifier
from router.functions.tree import FolderUnusable
from router.model.hosting import BARE, Hosting
from router.model.resources import Function
from router.store.catalog import Catalog, put

log = structlog.get_logger()

LIST_PAGE: Final = 50
"""Functions of one page (Lambda quota)."""

SHA256_KEPT_MAX: Final = 1_000
"""Computed CodeSha256 values kept in memory, by code hash."""

Params = dict[str, Any]


class Functions:
    """One method per operation of the model."""

    def __init__(
        self,
        catalog: Catalog,
        codes: CodeStore,
        source: CodeSource,
        links: CodeLinks,
        transitions: Transitions,
        model: ServiceModel,
        wall_ms: Callable[[], int],
        hosting: Hosting = BARE,
    ) -> None:
        self._catalog = catalog
        self._hosting = hosting
        self._codes = codes
        self._source = source
        self._links = links
        self._transitions = transitions
        self._runtimes = model.shapes["Runtime"].enum
        self._wall_ms = wall_ms
        self._sha256: dict[str, str] = {}

    def check(self, model: ServiceModel, operation: str, params: Params) -> None:
        """The model's constraints; a runtime's text is the service's own."""
        without = {name: value for name, value in params.items() if name != "Runtime"}
        validate(model, model.operations[operation].input, without)

    async def create_function(self, context: Context, params: Params) -> Params:
        """CreateFunction."""
        ref = parse_ref(context, params["FunctionName"])
        settings.check_bare_name(ref.name)
        settings.check_create(params, self._runtimes, self._hosting)
        if ref.name in self._catalog.functions:
            raise conflict(f"Function already exist: {ref.name}")
        layers = uses_of(context, self._catalog, params.get("Layers") or ())
        package = await self._source.take(params["Code"])
        layers_path = await put_together(self._codes, layers, package.unzipped_bytes)
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        function = msgspec.structs.replace(
            _new_function(ref.name, params, package, self._wall_ms(), second),
            layers=layers,
            layers_path=layers_path,
        )
        async with self._catalog.changing() as catalog:
            if ref.name in catalog.functions:
                raise conflict(f"Function already exist: {ref.name}")
            await catalog.commit_locked([put("function", ref.name, function)])
        self._transitions.begin(ref.name, first, is_new=True)
        return await self._shown(context, function, None)

    async def update_function_code(self, context: Context, params: Params) -> Params:
        """UpdateFunctionCode."""
        ref = parse_ref(context, params["FunctionName"])
        self._find(ref)
        if params.get("Publish") or params.get("PublishTo"):
            raise not_yet("Published versions are")
        if params.get("ImageUri"):
            raise invalid(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        await self._transitions.settled(ref.name)
        self._check_revision(ref, params.get("RevisionId"))
        package = await self._source.take(params)
        await put_together(self._codes, self._find(ref).layers, package.unzipped_bytes)
        if params.get("DryRun"):
            return await self._shown(context, _with_code(self._find(ref), package), None)
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        async with self._catalog.changing() as catalog:
            self._check_revision(ref, params.get("RevisionId"))
            function = msgspec.structs.replace(
                _with_code(self._find(ref), package),
                architecture=(params.get("Architectures") or [self._find(ref).architecture])[0],
                last_modified_ms=self._wall_ms(),
                revision_id=second,
            )
            await catalog.commit_locked([put("function", ref.name, function)])
        self._transitions.begin(ref.name, first, is_new=False)
        return await self._shown(context, function, None)

    async def delete_function(self, context: Context, params: Params) -> Params:
        """DeleteFunction. Mappings of the function stay (P7)."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        async with self._catalog.changing() as catalog:
            function = catalog.functions.get(ref.name)
            if function is None:
                raise not_found(f"Function not found: {ref.unqualified_arn}")
            if ref.qualifier == LATEST:
                raise invalid("$LATEST version cannot be deleted without deleting the function.")
            if ref.qualifier is not None and not ref.qualifier.isdigit():
                raise invalid("Deletion of aliases is not currently supported.")
            if ref.qualifier is None:
                await catalog.commit_locked(removal(catalog, ref.name))
                self._transitions.end(ref.name)
        return {"StatusCode": 204}

    async def get_function(self, context: Context, params: Params) -> Params:
        """GetFunction. `Code` is never absent: Terraform takes that for a missing function."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        function = self._find(ref)
        result: Params = {
            "Configuration": await self._shown(context, function, ref.qualifier),
            "Code": {
                "RepositoryType": "S3",
                "Location": self._links.url(context.base_url, function),
            },
        }
        if function.tags:
            result["Tags"] = function.tags
        if function.reserved_concurrency is not None and ref.qualifier is None:
            result["Concurrency"] = reservation(function)
        return result

    async def get_function_configuration(self, context: Context, params: Params) -> Params:
        """GetFunctionConfiguration."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        return await self._shown(context, self._find(ref), ref.qualifier)

    async def list_functions(self, context: Context, params: Params) -> Params:
        """ListFunctions, by name. Without versions, `ALL` shows each function's `$LATEST`."""
        names = sorted(self._catalog.functions)
        if marker := params.get("Marker"):
            names = [name for name in names if name > marker]
        page = names[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
        qualifier = LATEST if params.get("FunctionVersion") == "ALL" else None
        shown = []
        for name in page:
            function = self._catalog.functions.get(name)
            if function is not None:
                shown.append(await self._configuration(context, function, qualifier))
        result: Params = {"Functions": shown}
        if len(names) > len(page):
            result["NextMarker"] = page[-1]
        return result

    def _find(self, ref: FunctionRef) -> Function:
        function = self._catalog.functions.get(ref.name)
        if function is None or not has_qualifier(function, ref.qualifier):
            raise not_found(f"Function not found: {ref.arn()}")
        return function

    def _check_revision(self, ref: FunctionRef, given: str | None) -> None:
        if given is not None and given != self._find(ref).revision_id:
            raise settings.stale_revision()

    async def _shown(
        self, context: Context, function: Function, qualifier: str | None
    ) -> dict[str, Any]:
        shown = await self._configuration(context, function, qualifier)
        return add_state(shown, self._transitions.of(function.name))

    async def _configuration(
        self, context: Context, function: Function, qualifier: str | None
    ) -> dict[str, Any]:
        return configuration(
            function,
            context.region,
            context.account,
            sha256=await self._code_sha256(function),
            qualifier=qualifier,
        )

    async def _code_sha256(self, function: Function) -> str:
        """Of the uploaded zip, or of the one a folder makes, made when first asked for."""
        if function.code_sha256 is not None:
            return function.code_sha256
        known = self._sha256.get(function.code_hash)
        if known is None:
            try:
                known = await self._codes.sha256_of(function.code_hash, function.code_path)
            except FolderUnusable as error:
                log.warning("code_unreadable", function=function.name, error=str(error))
                return ""
            if len(self._sha256) >= SHA256_KEPT_MAX:
                self._sha256.clear()
            self._sha256[function.code_hash] = known
        return known


def _new_function(
    name: str, params: Params, package: Package, now_ms: int, revision: str
) -> Function:
    extra = {key: params[key] for key in settings.KEPT if params.get(key)}
    return Function(
        name=name,
        runtime=params["Runtime"],
        handler=params["Handler"],
        role=params["Role"],
        description=params.get("Description", ""),
        timeout_s=params.get("Timeout", 3),
        memory_mb=params.get("MemorySize", 128),
        ephemeral_mb=(params.get("EphemeralStorage") or {}).get("Size", 512),
        environment=(params.get("Environment") or {}).get("Variables") or {},
        file_systems=settings.mount_paths(params),
        architecture=(params.get("Architectures") or ["x86_64"])[0],
        code_path=package.path,
        code_hash=package.hash,
        code_size=package.size_bytes,
        code_sha256=package.sha256,
        unzipped_bytes=package.unzipped_bytes,
        last_modified_ms=now_ms,
        revision_id=revision,
        tags=params.get("Tags") or {},
        extra=extra,
    )


def _with_code(function: Function, package: Package) -> Function:
    return msgspec.structs.replace(
        function,
        code_path=package.path,
        code_hash=package.hash,
        code_size=package.size_bytes,
        code_sha256=package.sha256,
        unzipped_bytes=package.unzipped_bytes,
        is_in_place=False,
    )
