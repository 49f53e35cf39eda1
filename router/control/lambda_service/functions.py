"""Functions: create, update and delete (`functions-and-invocation.md` 4)."""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from router.control.context import Context
from router.control.lambda_service import image_source, settings
from router.control.lambda_service.building import (
    new_function,
    with_code_of,
    with_layers,
    with_settings,
)
from router.control.lambda_service.code_source import CodeSource
from router.control.lambda_service.finding import check_revision, find, find_function
from router.control.lambda_service.layer_use import put_together, uses_of
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.control.lambda_service.presenter import Presenter, transition_key
from router.control.lambda_service.states import Transitions
from router.control.model import ServiceModel
from router.control.validate import validate
from router.functions.dependents import removal, removal_of_version
from router.functions.packages import CodeStore, with_code
from router.functions.publish import Publication, publish
from router.model.hosting import BARE, Hosting
from router.model.resources import Function, LayerUse
from router.model.version import LATEST
from router.store.catalog import Catalog, put

log = structlog.get_logger()

Params = dict[str, Any]


class Functions:
    """One method per operation of the model."""

    def __init__(
        self,
        catalog: Catalog,
        codes: CodeStore,
        source: CodeSource,
        presenter: Presenter,
        transitions: Transitions,
        model: ServiceModel,
        wall_ms: Callable[[], int],
        hosting: Hosting = BARE,
    ) -> None:
        self._catalog = catalog
        self._hosting = hosting
        self._codes = codes
        self._source = source
        self._presenter = presenter
        self._transitions = transitions
        self._runtimes = model.shapes["Runtime"].enum
        self._wall_ms = wall_ms

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
        function = await self._new_function(ref.name, params, layers)
        async with self._catalog.changing() as catalog:
            if ref.name in catalog.functions:
                raise conflict(f"Function already exist: {ref.name}")
            if not params.get("Publish"):
                await catalog.commit_locked([put("function", ref.name, function)])
                self._begin(ref.name, LATEST, is_new=True)
                return await self._presenter.with_state(context, function)
            published = await self._publish(function)
            await catalog.commit_locked(published.changes)
        self._begin(ref.name, LATEST, is_new=True)
        return await self._shown_new(context, published, None)

    async def update_function_code(self, context: Context, params: Params) -> Params:
        """UpdateFunctionCode."""
        ref = parse_ref(context, params["FunctionName"])
        find(self._catalog, ref)
        settings.refuse_later(params)
        await self._transitions.settled(ref.name)
        updated = await self._with_code(self._find_unchanged(ref, params), params)
        async with self._catalog.changing() as catalog:
            before = self._find_unchanged(ref, params)
            architectures = params.get("Architectures") or [before.architecture]
            function = msgspec.structs.replace(
                with_code_of(before, updated), architecture=architectures[0]
            )
            if params.get("DryRun"):
                return await self._presenter.with_state(context, function)
            function = self._stamped(function)
            changes = [put("function", ref.name, function)]
            published = await self._publish(function) if params.get("Publish") else None
            await catalog.commit_locked((published and published.changes) or changes)
        self._begin(ref.name, LATEST, is_new=False)
        if published is not None:
            return await self._shown_new(context, published, str(published.version.number))
        return await self._presenter.with_state(context, function)

    async def update_function_configuration(self, context: Context, params: Params) -> Params:
        """UpdateFunctionConfiguration: what is not given stays as it is."""
        ref = parse_ref(context, params["FunctionName"])
        find(self._catalog, ref)
        await self._transitions.settled(ref.name)
        async with self._catalog.changing() as catalog:
            before = self._find_unchanged(ref, params)
            settings.check_update(params, before, self._runtimes, self._hosting)
            function = self._stamped(with_settings(before, params))
            function = image_source.overridden(function, params.get("ImageConfig"))
            if params.get("Layers") is not None:
                layers = uses_of(context, catalog, params["Layers"])
                path = await put_together(self._codes, layers, before.unzipped_bytes)
                function = with_layers(function, layers, path)
            await catalog.commit_locked([put("function", ref.name, function)])
        self._begin(ref.name, LATEST, is_new=False)
        return await self._presenter.with_state(context, function)

    async def publish_version(self, context: Context, params: Params) -> Params:
        """PublishVersion; the newest version again when nothing has changed since."""
        ref = parse_ref(context, params["FunctionName"])
        find(self._catalog, ref)
        settings.refuse_later(params)
        await self._transitions.settled(ref.name)
        async with self._catalog.changing() as catalog:
            function = self._find_unchanged(ref, params)
            current = await self._presenter.code_sha256(function)
            if (given := params.get("CodeSha256")) not in (None, "", current):
                raise invalid(
                    f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST "
                    f"({current}). Please try again with the CodeSHA256 in $LATEST."
                )
            published = await self._publish(function, params.get("Description"))
            await catalog.commit_locked(published.changes)
        version = published.version
        number = str(version.number)
        return await self._presenter.with_state(context, version.function, number, number)

    async def delete_function(self, context: Context, params: Params) -> Params:
        """DeleteFunction, or one version of it. Mappings of the function stay (P7)."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        async with self._catalog.changing() as catalog:
            if ref.name not in catalog.functions:
                raise not_found(f"Function not found: {ref.unqualified_arn}")
            if ref.qualifier == LATEST:
                raise invalid("$LATEST version cannot be deleted without deleting the function.")
            if ref.qualifier is not None and not ref.qualifier.isdigit():
                raise invalid("Deletion of aliases is not currently supported.")
            if ref.qualifier is None:
                await catalog.commit_locked(removal(catalog, ref.name))
            else:
                self._check_unnamed(ref.name, ref.qualifier)
                await catalog.commit_locked(removal_of_version(catalog, ref.name, ref.qualifier))
        self._transitions.end(transition_key(ref.name, ref.qualifier or LATEST))
        return {"StatusCode": 204}

    async def _new_function(
        self, name: str, params: Params, layers: tuple[LayerUse, ...]
    ) -> Function:
        """What CreateFunction makes, with its code or image. Raises `ApiError`."""
        now_ms, revision = self._wall_ms(), str(uuid.uuid4())
        if params.get("PackageType") == "Image":
            function = new_function(name, params, None, now_ms, revision)
            config = params.get("ImageConfig") or {}
            return await image_source.take_image(function, params["Code"], config, self._hosting)
        package = await self._source.take(params["Code"])
        layers_path = await put_together(self._codes, layers, package.unzipped_bytes)
        function = new_function(name, params, package, now_ms, revision)
        return with_layers(function, layers, layers_path)

    async def _with_code(self, before: Function, params: Params) -> Function:
        """The function with the code or image of UpdateFunctionCode. Raises `ApiError`."""
        if before.image is not None:
            config = image_source.shown(before.image.config)
            return await image_source.take_image(before, params, config, self._hosting)
        if params.get("ImageUri"):
            raise invalid(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        package = await self._source.take(params)
        await put_together(self._codes, before.layers, package.unzipped_bytes)
        return with_code(before, package)

    def _check_unnamed(self, name: str, version: str) -> None:
        """A version that an alias leads to stays."""
        aliases = sorted(
            alias.name
            for alias in self._catalog.aliases.values()
            if alias.function == name and version in (alias.version, *alias.weights)
        )
        if aliases:
            raise conflict(
                "Unable to delete version because the following aliases reference it: "
                f"[{', '.join(aliases)}]"
            )

    def _find_unchanged(self, ref: FunctionRef, params: Params) -> Function:
        """The function, as the caller has last seen it. Raises `ApiError`."""
        function = find_function(self._catalog, ref)
        check_revision(params.get("RevisionId"), function.revision_id)
        return function

    def _stamped(self, function: Function) -> Function:
        """Changed just now."""
        return msgspec.structs.replace(
            function, last_modified_ms=self._wall_ms(), revision_id=str(uuid.uuid4())
        )

    async def _publish(self, function: Function, description: str | None = None) -> Publication:
        return await publish(
            self._catalog.versions,
            function,
            self._codes.snapshot,
            self._wall_ms(),
            description=description,
        )

    async def _shown_new(
        self, context: Context, published: Publication, qualifier: str | None
    ) -> Params:
        """A version that a create or update made: on its way for a moment."""
        version = published.version
        number = str(version.number)
        if published.is_new:
            self._begin(version.function.name, number, is_new=True)
        return await self._presenter.with_state(context, version.function, number, qualifier)

    def _begin(self, name: str, version: str, *, is_new: bool) -> None:
        key = transition_key(name, version)
        self._transitions.begin(key, str(uuid.uuid4()), is_new=is_new)
