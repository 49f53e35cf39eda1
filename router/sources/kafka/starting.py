"""Where a group begins that never read the topic (`event-source-mappings.md` 7.1, P19)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from router.model.mapping_spec import MappingSpec
from router.sources.kafka.member import Lost

log = structlog.get_logger()


class Group(Protocol):
    """`member.Member`, before it joins."""

    async def committed(self, partitions: Sequence[str]) -> dict[str, tuple[int, str]]:
        """See `Member.committed`."""

    async def commit(self, offsets: Mapping[str, tuple[int, str]]) -> None:
        """See `Member.commit`."""

    async def bounds(self, partitions: Sequence[str]) -> dict[str, tuple[int, int]]:
        """See `Member.bounds`."""

    async def offsets_at(self, partitions: Sequence[str], wall_ms: int) -> dict[str, int | None]:
        """See `Member.offsets_at`."""


async def fix_start(
    member: Group,
    spec: MappingSpec,
    partitions: Sequence[str],
    forget: Callable[[], Awaitable[None]],
) -> None:
    """Commit the starting position for all partitions, so that nothing moves it any more.

    Committed offsets of the group beat it; where there are none, what the router knows of an
    earlier life is of another topic or was given up long ago: `forget` it. Call before joining, so
    that what is written from now on is read, and of several routers the first one decides.
    Raises `RouterError`.
    """
    if await member.committed(partitions):
        return
    await forget()
    offsets = await _starts(member, spec, partitions)
    if await member.committed(partitions):
        return  # another router was faster: its start may be before this one
    try:
        await member.commit({name: (offset, "") for name, offset in offsets.items()})
    except Lost:
        # Another member of the group was faster, and only members may commit now.
        if not await member.committed(partitions):
            raise
    else:
        log.info("kafka_group_started", mapping=spec.name, position=spec.starting_position)


async def _starts(member: Group, spec: MappingSpec, partitions: Sequence[str]) -> dict[str, int]:
    bounds = await member.bounds(partitions)
    if spec.starting_position == "LATEST":
        return {name: end for name, (_, end) in bounds.items()}
    if spec.starting_position == "AT_TIMESTAMP":
        found = await member.offsets_at(partitions, spec.starting_timestamp_ms or 0)
        return {
            name: bounds[name][1] if (at := found.get(name)) is None else at for name in partitions
        }
    return {name: first for name, (first, _) in bounds.items()}
