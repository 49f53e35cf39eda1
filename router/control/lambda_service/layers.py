"""Layers: publish, show, list and delete their versions; who may use one.

`functions-and-invocation.md` 5.1, 5.6.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from router.control.code_links import CodeLinks
from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.code_source import CodeSource
from router.control.lambda_service.names import conflict, invalid, not_found
from router.control.lambda_service.shown import time_text
from router.model.arn import layer_arn
from router.model.layer import Layer, LayerVersion, layer_key
from router.store.base import Change, Delete
from router.store.catalog import Catalog, put

PAGE: Final = 50
"""Layers, or versions, of one page (Lambda's maximum)."""

POLICY_BYTES_MAX: Final = 20_480
"""Largest resource policy (Lambda quota)."""

_ARN: Final = re.compile(
    r"arn:[a-zA-Z0-9-]+:lambda:(?P<region>[a-zA-Z0-9-]+):(?P<account>\d{12}):layer:"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<number>[0-9]+))?",
    re.ASCII,
)

Params = dict[str, Any]


class Layers:
    """One method per operation of the model."""

    def __init__(
        self,
        catalog: Catalog,
        source: CodeSource,
        links: CodeLinks,
        wall_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._source = source
        self._links = links
        self._wall_ms = wall_ms

    async def publish_layer_version(self, context: Context, params: Params) -> Params:
        """PublishLayerVersion. Numbers count up and are never given twice."""
        name = _name_of(context, params["LayerName"])
        package = await self._source.take(params["Content"])
        async with self._catalog.changing() as catalog:
            before = catalog.layers.get(name)
            number = 1 if before is None else before.last_number + 1
            version = LayerVersion(
                name=name,
                number=number,
                code_hash=package.hash,
                code_size=package.size_bytes,
                unzipped_bytes=package.unzipped_bytes,
                sha256=package.sha256 or "",
                description=params.get("Description", ""),
                runtimes=tuple(params.get("CompatibleRuntimes") or ()),
                architectures=tuple(params.get("CompatibleArchitectures") or ()),
                licence=params.get("LicenseInfo", ""),
                created_ms=self._wall_ms(),
            )
            await catalog.commit_locked(
                [
                    put("layer", name, Layer(name=name, last_number=number)),
                    put("layer_version", layer_key(name, number), version),
                ]
            )
        return self._shown_whole(context, version)

    async def get_layer_version(self, context: Context, params: Params) -> Params:
        """GetLayerVersion."""
        return self._shown_whole(context, self._find(context, params))

    async def get_layer_version_by_arn(self, context: Context, params: Params) -> Params:
        """GetLayerVersionByArn."""
        match = _ARN.fullmatch(params["Arn"])
        if match is None or match["number"] is None:
            raise _nowhere()
        found = {"LayerName": params["Arn"].rpartition(":")[0], "VersionNumber": match["number"]}
        return await self.get_layer_version(context, found)

    async def list_layer_versions(self, context: Context, params: Params) -> Params:
        """ListLayerVersions: newest first; none of a layer nobody knows."""
        name = _name_of(context, params["LayerName"])
        found = [version for version in self._versions(name) if _fits(version, params)]
        page, marker = _page(found, params, lambda version: str(version.number))
        return {
            "LayerVersions": [_shown(context, version) for version in page],
            **({"NextMarker": marker} if marker else {}),
        }

    async def list_layers(self, context: Context, params: Params) -> Params:
        """ListLayers: each with the newest version that fits."""
        newest: dict[str, LayerVersion] = {}
        for version in self._catalog.layer_versions.values():
            best = newest.get(version.name)
            if _fits(version, params) and (best is None or version.number > best.number):
                newest[version.name] = version
        found = [newest[name] for name in sorted(newest)]
        page, marker = _page(found, params, lambda version: version.name)
        return {
            "Layers": [
                {
                    "LayerName": version.name,
                    "LayerArn": layer_arn(context.region, context.account, version.name),
                    "LatestMatchingVersion": _shown(context, version),
                }
                for version in page
            ],
            **({"NextMarker": marker} if marker else {}),
        }

    async def delete_layer_version(self, context: Context, params: Params) -> None:
        """DeleteLayerVersion. Functions that use it keep it; one that is not there is gone too."""
        name, number = _name_of(context, params["LayerName"]), _number_of(params)
        async with self._catalog.changing() as catalog:
            key = layer_key(name, number)
            changes: list[Change] = [Delete("layer_version", key)]
            if key in catalog.layer_versions:
                await catalog.commit_locked(changes)

    async def add_layer_version_permission(self, context: Context, params: Params) -> Params:
        """AddLayerVersionPermission: kept and shown; nobody else uses this router's layers."""
        async with self._catalog.changing():
            version = self._find_for_policy(context, params)
            _check_revision(version, params)
            sid = params["StatementId"]
            if sid in version.statements:
                raise conflict(
                    f"The statement id ({sid}) provided already exists. Please provide a new "
                    "statement id, or remove the existing statement."
                )
            statement = orjson.dumps(_statement(context, version, params)).decode()
            statements = {**version.statements, sid: statement}
            if len(_policy(statements)) > POLICY_BYTES_MAX:
                raise ApiError(
                    "PolicyLengthExceededException",
                    f"The final policy size is bigger than the limit ({POLICY_BYTES_MAX}).",
                )
            changed = await self._keep_policy(version, statements)
        return {"Statement": statement, "RevisionId": changed.policy_revision}

    async def get_layer_version_policy(self, context: Context, params: Params) -> Params:
        """GetLayerVersionPolicy."""
        version = self._find_for_policy(context, params)
        if not version.statements:
            raise not_found("No policy is associated with the given resource.")
        return {"Policy": _policy(version.statements), "RevisionId": version.policy_revision}

    async def remove_layer_version_permission(self, context: Context, params: Params) -> None:
        """RemoveLayerVersionPermission."""
        async with self._catalog.changing():
            version = self._find_for_policy(context, params)
            _check_revision(version, params)
            sid = params["StatementId"]
            if sid not in version.statements:
                raise not_found(f"Statement {sid} is not found in resource policy.")
            left = {key: text for key, text in version.statements.items() if key != sid}
            await self._keep_policy(version, left)

    async def _keep_policy(self, version: LayerVersion, statements: dict[str, str]) -> LayerVersion:
        changed = msgspec.structs.replace(
            version, statements=statements, policy_revision=str(uuid.uuid4())
        )
        key = layer_key(version.name, version.number)
        await self._catalog.commit_locked([put("layer_version", key, changed)])
        return changed

    def _versions(self, name: str) -> list[LayerVersion]:
        """Newest first."""
        found = [one for one in self._catalog.layer_versions.values() if one.name == name]
        return sorted(found, key=lambda version: -version.number)

    def _find(self, context: Context, params: Params) -> LayerVersion:
        name, number = _name_of(context, params["LayerName"]), _number_of(params)
        version = self._catalog.layer_versions.get(layer_key(name, number))
        if version is None:
            raise _nowhere()
        return version

    def _find_for_policy(self, context: Context, params: Params) -> LayerVersion:
        name, number = _name_of(context, params["LayerName"]), _number_of(params)
        version = self._catalog.layer_versions.get(layer_key(name, number))
        if version is None:
            arn = f"{layer_arn(context.region, context.account, name)}:{number}"
            raise not_found(f"Layer version {arn} does not exist.")
        return version

    def _shown_whole(self, context: Context, version: LayerVersion) -> Params:
        link = self._links.layer_url(context.base_url, version)
        return {
            **_shown(context, version),
            "LayerArn": layer_arn(context.region, context.account, version.name),
            "Content": {
                "Location": link,
                "CodeSha256": version.sha256,
                "CodeSize": version.code_size,
            },
        }


def _shown(context: Context, version: LayerVersion) -> Params:
    arn = layer_arn(context.region, context.account, version.name)
    shown: Params = {
        "LayerVersionArn": f"{arn}:{version.number}",
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": time_text(version.created_ms),
    }
    if version.runtimes:
        shown["CompatibleRuntimes"] = list(version.runtimes)
    if version.architectures:
        shown["CompatibleArchitectures"] = list(version.architectures)
    if version.licence:
        shown["LicenseInfo"] = version.licence
    return shown


def _fits(version: LayerVersion, params: Params) -> bool:
    runtime, architecture = params.get("CompatibleRuntime"), params.get("CompatibleArchitecture")
    if runtime is not None and runtime not in version.runtimes:
        return False
    return architecture is None or architecture in version.architectures


def _page(
    found: list[LayerVersion], params: Params, mark: Callable[[LayerVersion], str]
) -> tuple[list[LayerVersion], str]:
    """What comes after the marker, as many as asked for, and the next marker."""
    marks = [mark(version) for version in found]
    first = 0
    if marker := params.get("Marker"):
        first = marks.index(marker) + 1 if marker in marks else len(marks)
    last = first + min(params.get("MaxItems", PAGE), PAGE)
    return found[first:last], marks[last - 1] if last < len(found) else ""


def _name_of(context: Context, text: str) -> str:
    """A layer's name, from that or its ARN. Raises `ApiError` for one of elsewhere."""
    match = _ARN.fullmatch(text)
    if match is None:
        return text
    if (match["region"], match["account"]) != (context.region, context.account):
        raise ApiError("AccessDeniedException", f"{text} is not of this router.", status=403)
    return match["name"]


def _number_of(params: Params) -> int:
    number = int(params["VersionNumber"])
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return number


def _nowhere() -> ApiError:
    return not_found("The resource you requested does not exist.")


def _check_revision(version: LayerVersion, params: Params) -> None:
    given = params.get("RevisionId")
    if given is not None and given != version.policy_revision:
        raise ApiError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the "
            "GetLayerPolicy API to retrieve the latest Revision Id",
            status=412,
        )


def _statement(context: Context, version: LayerVersion, params: Params) -> Params:
    principal = params["Principal"]
    if re.fullmatch(r"\d{12}", principal):
        principal = f"arn:aws:iam::{principal}:root"
    arn = layer_arn(context.region, context.account, version.name)
    statement: Params = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": params["Action"],
        "Resource": f"{arn}:{version.number}",
    }
    if organization := params.get("OrganizationId"):
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": organization}}
    return statement


def _policy(statements: dict[str, str]) -> str:
    whole = {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [orjson.loads(text) for text in statements.values()],
    }
    return orjson.dumps(whole).decode()
