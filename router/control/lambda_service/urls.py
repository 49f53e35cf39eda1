"""Functions' URLs: their settings (`functions-and-invocation.md` 5.1, 10)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError, ValidationFailed
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.functions.url_id import new_url_id
from router.model.function_url import METHODS, Cors, FunctionUrl
from router.model.version import LATEST
from router.store.base import Delete
from router.store.catalog import Catalog, own_name, put

PAGE: Final = 50
QUALIFIER: Final = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"

Params = dict[str, Any]
UrlOf = Callable[[FunctionUrl], str]
"""A URL as text: what is dialled depends on where the ingress listener is."""


class Urls:
    """One method per operation of the model."""

    def __init__(self, catalog: Catalog, url_of: UrlOf, wall_ms: Callable[[], int]) -> None:
        self._catalog = catalog
        self._url_of = url_of
        self._wall_ms = wall_ms

    async def create_function_url_config(self, context: Context, params: Params) -> Params:
        """CreateFunctionUrlConfig."""
        ref = _ref(context, params)
        now_ms = self._wall_ms()
        async with self._catalog.changing() as catalog:
            self._check_function(ref)
            name = _name(ref)
            if name in catalog.function_urls:
                raise conflict(
                    f"Failed to create function url config for [functionArn = {ref.arn()}]. Error "
                    "message:  FunctionUrlConfig exists for this Lambda function"
                )
            url = FunctionUrl(
                function=ref.name,
                qualifier=ref.qualifier or LATEST,
                id=new_url_id(),
                is_signed=params["AuthType"] == "AWS_IAM",
                cors=_cors(params.get("Cors")),
                invoke_mode=params.get("InvokeMode", ""),
                created_ms=now_ms,
                modified_ms=now_ms,
            )
            await catalog.commit_locked([put("function_url", name, url)])
        shown = self._shown(context, url)
        del shown["LastModifiedTime"]
        return shown

    async def get_function_url_config(self, context: Context, params: Params) -> Params:
        """GetFunctionUrlConfig."""
        url = self._catalog.function_urls.get(_name(_ref(context, params)))
        if url is None:
            raise _nowhere()
        return self._shown_whole(context, url)

    async def list_function_url_configs(self, context: Context, params: Params) -> Params:
        """ListFunctionUrlConfigs: that of `$LATEST` and of each alias."""
        ref = parse_ref(context, params["FunctionName"])
        self._check_function(FunctionRef(ref.name, None, ref.region, ref.account))
        found = sorted(
            (url for url in self._catalog.function_urls.values() if url.function == ref.name),
            key=lambda url: url.qualifier,
        )
        if marker := params.get("Marker"):
            found = [url for url in found if url.qualifier > marker]
        page = found[: min(params.get("MaxItems", PAGE), PAGE)]
        shown: Params = {"FunctionUrlConfigs": [self._shown_whole(context, url) for url in page]}
        if len(page) < len(found):
            shown["NextMarker"] = page[-1].qualifier
        return shown

    async def update_function_url_config(self, context: Context, params: Params) -> Params:
        """UpdateFunctionUrlConfig: what is not given stays; `Cors` is replaced as a whole."""
        ref = _ref(context, params)
        async with self._catalog.changing() as catalog:
            self._check_function(ref)
            name = _name(ref)
            before = catalog.function_urls.get(name)
            if before is None:
                raise _nowhere()
            url = msgspec.structs.replace(
                before,
                is_signed=params.get("AuthType", "AWS_IAM" if before.is_signed else "NONE")
                == "AWS_IAM",
                cors=_cors(params["Cors"]) if "Cors" in params else before.cors,
                invoke_mode=params.get("InvokeMode", before.invoke_mode),
                modified_ms=self._wall_ms(),
            )
            await catalog.commit_locked([put("function_url", name, url)])
        return self._shown(context, url)

    async def delete_function_url_config(self, context: Context, params: Params) -> None:
        """DeleteFunctionUrlConfig. Its id is never given again."""
        ref = _ref(context, params)
        async with self._catalog.changing() as catalog:
            self._check_function(ref)
            name = _name(ref)
            if name not in catalog.function_urls:
                raise _nowhere()
            await catalog.commit_locked([Delete("function_url", name)])

    def _check_function(self, ref: FunctionRef) -> None:
        """Raise `ApiError` unless the function, and the alias if one is named, exists."""
        if ref.name not in self._catalog.functions or (
            ref.qualifier is not None
            and own_name(ref.name, ref.qualifier) not in self._catalog.aliases
        ):
            raise not_found("Function does not exist")

    def _shown_whole(self, context: Context, url: FunctionUrl) -> Params:
        return {"InvokeMode": "BUFFERED", **self._shown(context, url)}

    def _shown(self, context: Context, url: FunctionUrl) -> Params:
        qualifier = None if url.qualifier == LATEST else url.qualifier
        ref = FunctionRef(url.function, qualifier, context.region, context.account)
        shown: Params = {
            "FunctionUrl": self._url_of(url),
            "FunctionArn": ref.arn(),
            "AuthType": "AWS_IAM" if url.is_signed else "NONE",
            "CreationTime": _time_text(url.created_ms),
            "LastModifiedTime": _time_text(url.modified_ms),
        }
        if url.cors is not None:
            shown["Cors"] = _shown_cors(url.cors)
        if url.invoke_mode:
            shown["InvokeMode"] = url.invoke_mode
        return shown


def _ref(context: Context, params: Params) -> FunctionRef:
    ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
    if ref.qualifier is not None and (ref.qualifier == LATEST or ref.qualifier.isdigit()):
        problem = (
            f"Value '{ref.qualifier}' at 'qualifier' failed to satisfy constraint: Member must "
            f"satisfy regular expression pattern: {QUALIFIER}"
        )
        raise ValidationFailed([problem])
    return ref


def _name(ref: FunctionRef) -> str:
    return own_name(ref.name, ref.qualifier or LATEST)


def _cors(given: Params | None) -> Cors | None:
    """CORS as given; an empty block is none. Raises `ApiError`."""
    if not given:
        return None
    methods = tuple(given.get("AllowMethods") or ())
    for method in methods:
        if method not in METHODS:
            raise invalid(f"{method} is no method of HTTP: AllowMethods takes {sorted(METHODS)}.")
    return Cors(
        origins=tuple(given.get("AllowOrigins") or ()),
        methods=methods,
        headers=tuple(given.get("AllowHeaders") or ()),
        exposed=tuple(given.get("ExposeHeaders") or ()),
        max_age_s=given.get("MaxAge"),
        has_credentials=given.get("AllowCredentials"),
    )


def _shown_cors(cors: Cors) -> Params:
    shown: Params = {
        "AllowCredentials": cors.has_credentials,
        "AllowHeaders": list(cors.headers) or None,
        "AllowMethods": list(cors.methods) or None,
        "AllowOrigins": list(cors.origins) or None,
        "ExposeHeaders": list(cors.exposed) or None,
        "MaxAge": cors.max_age_s,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _time_text(epoch_ms: int) -> str:
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}Z"


def _nowhere() -> ApiError:
    return not_found("The resource you requested does not exist.")
