"""Log groups by name or ARN: made ones, and those that exist because of their lines."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.model.log_group import LogGroup
from router.store.catalog import Catalog
from router.workers.log_reader import LogReader

DAY_MS: Final = 86_400_000

Params = dict[str, Any]


class Group(msgspec.Struct, frozen=True):
    """A log group and its logs."""

    facts: LogGroup
    paths: tuple[Path, ...]
    is_made: bool
    """Whether it is in the catalog, not only in files."""

    def oldest_ms(self, now_ms: int) -> int:
        """From when on its events are shown."""
        days = self.facts.retention_days
        return 0 if days is None else now_ms - days * DAY_MS


class Lookup:
    """Finds groups."""

    def __init__(self, catalog: Catalog, reader: LogReader, wall_ms: Callable[[], int]) -> None:
        self._catalog = catalog
        self._reader = reader
        self.wall_ms = wall_ms

    async def all(self) -> dict[str, Group]:
        """Every group by name, sorted."""
        written = await asyncio.to_thread(self._reader.groups)
        names = sorted({*written, *self._catalog.log_groups})
        return {name: self._group(name, tuple(written.get(name, ()))) for name in names}

    async def one(self, context: Context, params: Params) -> Group:
        """The group that `logGroupName` or `logGroupIdentifier` names. Raises `ApiError`."""
        given = [params.get("logGroupName"), params.get("logGroupIdentifier")]
        named = [text for text in given if text]
        if len(named) != 1:
            raise invalid("Exactly one of logGroupName and logGroupIdentifier has to be given.")
        found = (await self.all()).get(group_name(context, named[0]))
        if found is None:
            raise no_group()
        return found

    def _group(self, name: str, paths: tuple[Path, ...]) -> Group:
        made = self._catalog.log_groups.get(name)
        if made is not None:
            return Group(made, paths, is_made=True)
        facts = LogGroup(name=name, created_ms=self._reader.created_ms(paths))
        return Group(facts, paths, is_made=False)


def group_name(context: Context, text: str) -> str:
    """The name in an ARN of this region and account, else the text itself."""
    start = f"arn:aws:logs:{context.region}:{context.account}:log-group:"
    return text.removeprefix(start).removesuffix(":*") if text.startswith(start) else text


def group_arn(context: Context, name: str) -> str:
    """The ARN of a group, without the `:*` that stands for its streams."""
    return f"arn:aws:logs:{context.region}:{context.account}:log-group:{name}"


def no_group() -> ApiError:
    """There is no such group."""
    return ApiError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> ApiError:
    """There is no such stream."""
    return ApiError("ResourceNotFoundException", "The specified log stream does not exist.")


def invalid(text: str) -> ApiError:
    """A parameter cannot be what it is."""
    return ApiError("InvalidParameterException", text)
