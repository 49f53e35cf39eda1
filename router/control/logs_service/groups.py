"""Log groups: made, listed, kept for some days, tagged, removed.

A group that functions write into exists without being made, as on AWS.
"""

import asyncio
from typing import Any, Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.logs_service.events import Settles
from router.control.logs_service.lookup import (
    Group,
    Lookup,
    Params,
    group_arn,
    group_name,
    invalid,
    no_group,
)
from router.model.log_group import RETENTION_DAYS, LogGroup
from router.store.base import Delete
from router.store.catalog import Catalog, put
from router.workers.log_reader import LogReader

GROUPS_MAX: Final = 50
"""Groups of one page."""

TAGS_MAX: Final = 50


class Groups:
    """One method per operation of the model, which has checked types and ranges."""

    def __init__(
        self, catalog: Catalog, lookup: Lookup, reader: LogReader, writer: Settles
    ) -> None:
        self._catalog = catalog
        self._lookup = lookup
        self._reader = reader
        self._writer = writer

    async def create_log_group(self, _context: Context, params: Params) -> None:
        """CreateLogGroup."""
        name = params["logGroupName"]
        if params.get("logGroupClass", "STANDARD") != "STANDARD":
            raise invalid("Only log groups of the class STANDARD are supported.")
        tags = params.get("tags") or {}
        _check_count(tags)
        async with self._catalog.changing():
            if name in await self._lookup.all():
                text = "The specified log group already exists"
                raise ApiError("ResourceAlreadyExistsException", text)
            group = LogGroup(name=name, created_ms=self._lookup.wall_ms(), tags=tags)
            await self._catalog.commit_locked([put("log_group", name, group)])

    async def delete_log_group(self, context: Context, params: Params) -> None:
        """DeleteLogGroup, with its lines; a function that goes on writing makes it anew."""
        async with self._catalog.changing():
            group = await self._lookup.one(context, params)
            await self._writer.settle()
            await asyncio.to_thread(self._reader.remove, group.paths)
            if group.is_made:
                await self._catalog.commit_locked([Delete("log_group", group.facts.name)])

    async def describe_log_groups(self, context: Context, params: Params) -> Params:
        """DescribeLogGroups, by name."""
        prefix, part = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
        if prefix and part:
            raise invalid("logGroupNamePrefix and logGroupNamePattern cannot be given together.")
        after = params.get("nextToken", "")
        wanted = [group_name(context, text) for text in params.get("logGroupIdentifiers") or ()]
        await self._writer.settle()
        found = [
            group
            for name, group in (await self._lookup.all()).items()
            if name.startswith(prefix)
            and part.lower() in name.lower()
            and name > after
            and (not wanted or name in wanted)
        ]
        page = found[: params.get("limit", GROUPS_MAX)]
        answer: Params = {"logGroups": [self._shown(context, group) for group in page]}
        if len(page) < len(found):
            answer["nextToken"] = page[-1].facts.name
        return answer

    async def put_retention_policy(self, context: Context, params: Params) -> None:
        """PutRetentionPolicy: older lines are not shown any more."""
        days = params["retentionInDays"]
        if days not in RETENTION_DAYS:
            choices = ", ".join(map(str, RETENTION_DAYS))
            raise invalid(f"retentionInDays {days} is not one of {choices}.")
        await self._change(context, params, retention_days=days)

    async def delete_retention_policy(self, context: Context, params: Params) -> None:
        """DeleteRetentionPolicy."""
        await self._change(context, params, retention_days=None)

    async def list_tags_for_resource(self, context: Context, params: Params) -> Params:
        """ListTagsForResource, by ARN."""
        return {"tags": (await self._tagged(context, params)).facts.tags}

    async def tag_resource(self, context: Context, params: Params) -> None:
        """TagResource: adds, and replaces tags of the same key."""
        await self._tag(context, _by_arn(context, params), params["tags"], ())

    async def untag_resource(self, context: Context, params: Params) -> None:
        """UntagResource."""
        await self._tag(context, _by_arn(context, params), {}, params["tagKeys"])

    async def list_tags_log_group(self, context: Context, params: Params) -> Params:
        """ListTagsLogGroup, the older form by name."""
        return {"tags": (await self._lookup.one(context, params)).facts.tags}

    async def tag_log_group(self, context: Context, params: Params) -> None:
        """TagLogGroup."""
        await self._tag(context, params, params["tags"], ())

    async def untag_log_group(self, context: Context, params: Params) -> None:
        """UntagLogGroup."""
        await self._tag(context, params, {}, params["tags"])

    async def _tagged(self, context: Context, params: Params) -> Group:
        return await self._lookup.one(context, _by_arn(context, params))

    async def _tag(
        self, context: Context, named: Params, added: dict[str, str], removed: Any
    ) -> None:
        async with self._catalog.changing():
            facts = (await self._lookup.one(context, named)).facts
            kept = {key: value for key, value in facts.tags.items() if key not in set(removed)}
            tags = {**kept, **added}
            _check_count(tags)
            await self._keep(msgspec.structs.replace(facts, tags=tags))

    async def _change(self, context: Context, params: Params, **changes: Any) -> None:
        async with self._catalog.changing():
            facts = (await self._lookup.one(context, params)).facts
            await self._keep(msgspec.structs.replace(facts, **changes))

    async def _keep(self, facts: LogGroup) -> None:
        await self._catalog.commit_locked([put("log_group", facts.name, facts)])

    def _shown(self, context: Context, group: Group) -> dict[str, Any]:
        facts = group.facts
        arn = group_arn(context, facts.name)
        shown = {
            "logGroupName": facts.name,
            "creationTime": facts.created_ms,
            "metricFilterCount": 0,
            "arn": f"{arn}:*",
            "logGroupArn": arn,
            "logGroupClass": "STANDARD",
            "storedBytes": self._reader.size_bytes(group.paths),
        }
        if facts.retention_days is not None:
            shown["retentionInDays"] = facts.retention_days
        return shown


def _by_arn(context: Context, params: Params) -> Params:
    """The group an ARN names. Raises `ApiError`."""
    arn = params["resourceArn"]
    if not arn.startswith(group_arn(context, "")):
        raise no_group()
    return {"logGroupName": group_name(context, arn)}


def _check_count(tags: dict[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise ApiError("TooManyTagsException", f"A log group has at most {TAGS_MAX} tags.")
