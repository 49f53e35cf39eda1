"""Functions and versions to look at: get and list (`functions-and-invocation.md` 4.1, 4.4)."""

import re
from typing import Any, Final, TypeVar

from router.control.code_links import CodeLinks
from router.control.context import Context
from router.control.lambda_service.concurrency import shown as reservation
from router.control.lambda_service.finding import find, find_function
from router.control.lambda_service.names import invalid, parse_ref
from router.control.lambda_service.presenter import Presenter
from router.functions.resolve import versions_of
from router.model.resources import Function
from router.model.version import LATEST
from router.store.catalog import Catalog, own_name

LIST_PAGE: Final = 50
"""Functions, versions or aliases of one page (Lambda quota)."""

Params = dict[str, Any]
T = TypeVar("T")


class Listing:
    """One method per operation of the model."""

    def __init__(self, catalog: Catalog, presenter: Presenter, links: CodeLinks) -> None:
        self._catalog = catalog
        self._presenter = presenter
        self._links = links

    async def get_function(self, context: Context, params: Params) -> Params:
        """GetFunction. `Code` is never absent: Terraform takes that for a missing function."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        found = find(self._catalog, ref)
        shown = await self._presenter.with_state(
            context, found.function, found.version, ref.qualifier
        )
        result: Params = {
            "Configuration": shown,
            "Code": self._code(context, found.function),
        }
        function = find_function(self._catalog, ref)
        if function.tags:
            result["Tags"] = function.tags
        if function.reserved_concurrency is not None and ref.qualifier is None:
            result["Concurrency"] = reservation(function)
        return result

    def _code(self, context: Context, function: Function) -> Params:
        """Where the code or the image is."""
        if function.image is None:
            url = self._links.url(context.base_url, function)
            return {"RepositoryType": "S3", "Location": url}
        name = re.sub(r"(@sha256:[0-9a-f]+|:[^/:]*)$", "", function.image.uri)
        return {
            "RepositoryType": "ECR",
            "ImageUri": function.image.uri,
            "ResolvedImageUri": f"{name}@sha256:{function.code_hash}",
        }

    async def get_function_configuration(self, context: Context, params: Params) -> Params:
        """GetFunctionConfiguration."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        found = find(self._catalog, ref)
        return await self._presenter.with_state(
            context, found.function, found.version, ref.qualifier
        )

    async def list_functions(self, context: Context, params: Params) -> Params:
        """ListFunctions, by name; `ALL` shows each one's `$LATEST` and versions."""
        is_all = params.get("FunctionVersion") == "ALL"
        places = [(name, 0) for name in self._catalog.functions]
        if is_all:
            places += [
                (version.function.name, version.number)
                for version in self._catalog.versions.values()
            ]
        name, _, number = params.get("Marker", "").partition(":")
        if params.get("Marker"):
            after = (name, _number(number))
            places = [place for place in places if place > after]
        page, is_more = _page(sorted(places), params)
        shown = []
        for name, number_ in page:
            version = LATEST if number_ == 0 else str(number_)
            function = self._function(name, number_)
            if function is not None:
                qualifier = version if is_all else None
                shown.append(
                    await self._presenter.configuration(context, function, version, qualifier)
                )
        result: Params = {"Functions": shown}
        if is_more:
            name, number_ = page[-1]
            result["NextMarker"] = f"{name}:{number_}" if is_all else name
        return result

    async def list_versions_by_function(self, context: Context, params: Params) -> Params:
        """ListVersionsByFunction: `$LATEST`, then by number. Each ARN has its version."""
        ref = parse_ref(context, params["FunctionName"])
        latest = find_function(self._catalog, ref)
        found = [(0, latest)]
        found += [(it.number, it.function) for it in versions_of(self._catalog, ref.name)]
        if params.get("Marker"):
            after = _number(params["Marker"])
            found = [(number, function) for number, function in found if number > after]
        page, is_more = _page(found, params)
        shown = []
        for number, function in page:
            version = LATEST if number == 0 else str(number)
            shown.append(await self._presenter.configuration(context, function, version, version))
        result: Params = {"Versions": shown}
        if is_more:
            result["NextMarker"] = str(page[-1][0])
        return result

    def _function(self, name: str, number: int) -> Function | None:
        """Between two answers of a page it may be gone."""
        if number == 0:
            return self._catalog.functions.get(name)
        version = self._catalog.versions.get(own_name(name, str(number)))
        return None if version is None else version.function


def _page(found: list[T], params: Params) -> tuple[list[T], bool]:
    """The first of what is left, and whether there are more."""
    page = found[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
    return page, len(page) < len(found)


def _number(text: str) -> int:
    """A version's number in a marker; none is before all of them."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid("The Marker is none that this API has given.")
    return int(text)
