"""Tags of functions and event source mappings.

`functions-and-invocation.md` 5.6, `event-source-mappings.md` 1.8.
"""

from typing import Any

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.names import invalid, not_found
from router.control.lambda_service.settings import TAGS_MAX, TOO_MANY_TAGS
from router.model.arn import Arn, parse_arn
from router.model.resources import Function, Mapping
from router.store.catalog import Catalog, put

Params = dict[str, Any]


class Tags:
    """One method per operation of the model. The model has checked that `Resource` is an ARN."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list_tags(self, context: Context, params: Params) -> Params:
        """ListTags."""
        return {"Tags": self._find(context, params["Resource"])[1].tags}

    async def tag_resource(self, context: Context, params: Params) -> None:
        """TagResource: adds, and replaces tags of the same key."""
        if not params["Tags"]:
            raise invalid("An error occurred and the request cannot be processed.")
        async with self._catalog.changing():
            kind, resource = self._find(context, params["Resource"])
            tags = {**resource.tags, **params["Tags"]}
            if len(tags) > TAGS_MAX:
                raise invalid(TOO_MANY_TAGS)
            await self._keep(kind, resource, tags)

    async def untag_resource(self, context: Context, params: Params) -> None:
        """UntagResource; keys that are not there are none to take away."""
        async with self._catalog.changing():
            kind, resource = self._find(context, params["Resource"])
            gone = set(params["TagKeys"])
            tags = {key: value for key, value in resource.tags.items() if key not in gone}
            await self._keep(kind, resource, tags)

    async def _keep(self, kind: str, resource: Function | Mapping, tags: dict[str, str]) -> None:
        if tags == resource.tags:
            return
        name = resource.uuid if isinstance(resource, Mapping) else resource.name
        changed = msgspec.structs.replace(resource, tags=tags)
        await self._catalog.commit_locked([put(kind, name, changed)])

    def _find(self, context: Context, text: str) -> tuple[str, Function | Mapping]:
        """Kind and resource behind an ARN. Raises `ApiError`."""
        arn = parse_arn(text)
        is_here = (arn.region, arn.account) == (context.region, context.account)
        kind, _, name = arn.resource.partition(":")
        if kind == "function" and ":" in name:
            raise invalid(
                "Tags on function aliases and versions are not supported. Please specify a "
                "function ARN."
            )
        if is_here and kind == "function" and name in self._catalog.functions:
            return "function", self._catalog.functions[name]
        if is_here and kind == "event-source-mapping" and name in self._catalog.mappings:
            return "mapping", self._catalog.mappings[name]
        raise _missing(arn, kind)


def _missing(arn: Arn, kind: str) -> ApiError:
    nouns = {"function": "Function", "event-source-mapping": "Event source mapping"}
    return not_found(f"{nouns.get(kind, 'Resource')} not found: {arn}")
