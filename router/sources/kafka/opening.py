"""Where to go on in the partitions that the group has just given this member."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from router.model.progress import ShardProgress
from router.sources.kafka.committed import NotOurs, decode
from router.sources.kafka.group_progress import GroupProgress, Said

log = structlog.get_logger()

BEGINNING: Final[Said] = (0, "")


class Reader(Protocol):
    """`member.Member`, once it has partitions."""

    async def committed(self, partitions: Sequence[str]) -> dict[str, Said]:
        """See `Member.committed`."""

    async def commit(self, offsets: Mapping[str, Said]) -> None:
        """See `Member.commit`."""

    def go_to(self, partition: str, offset: int) -> None:
        """See `Member.go_to`."""


async def go_on(
    member: Reader,
    progress: GroupProgress,
    partitions: Sequence[str],
    stored: Mapping[str, ShardProgress],
) -> dict[str, ShardProgress]:
    """Begin all of them, each where it stands. Raises `RouterError`, and has begun none then."""
    found = await member.committed(partitions)
    known = dict(stored)
    if missing := [name for name in partitions if name not in found]:
        # They came after the mapping began, so nothing in them was meant to be skipped. What is
        # trimmed of them already is found out when they are read.
        starts = dict.fromkeys(missing, BEGINNING)
        await member.commit(starts)
        found |= starts
        for name in missing:
            progress.end_for_good(name)
            known.pop(name, None)
    standing: dict[str, ShardProgress] = {}
    for name in partitions:
        said = _decoded(name, *found[name])
        standing[name] = progress.standing(name, said, found[name], known)
        member.go_to(name, standing[name].position + 1)
    for name, place in standing.items():
        progress.begin(name, place, found[name])
    progress.found(stored)
    return standing


def _decoded(name: str, offset: int, metadata: str) -> ShardProgress:
    try:
        return decode(offset, metadata)
    except NotOurs as error:
        log.info("foreign_commit", partition=name, error=str(error))
        return ShardProgress(offset - 1)
