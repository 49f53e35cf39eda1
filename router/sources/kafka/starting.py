"""Where a group begins that never read the topic (`event-source-mappings.md` 7.1, P19)."""

from collections.abc import Sequence

import structlog

from router.model.mapping_spec import MappingSpec
from router.sources.kafka.member import Lost, Member

log = structlog.get_logger()


async def fix_start(member: Member, spec: MappingSpec, partitions: Sequence[str]) -> None:
    """Commit the starting position for all partitions, so that nothing moves it any more.

    Committed offsets of the group beat it. Call before joining, so that what is written from now
    on is read, and of several routers the first one decides. Raises `SourceProblem`, `Lost`.
    """
    if await member.committed(partitions):
        return
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


async def _starts(member: Member, spec: MappingSpec, partitions: Sequence[str]) -> dict[str, int]:
    bounds = await member.bounds(partitions)
    if spec.starting_position == "LATEST":
        return {name: end for name, (_, end) in bounds.items()}
    if spec.starting_position == "AT_TIMESTAMP":
        found = await member.offsets_at(partitions, spec.starting_timestamp_ms or 0)
        return {
            name: bounds[name][1] if (at := found.get(name)) is None else at for name in partitions
        }
    return {name: first for name, (first, _) in bounds.items()}
