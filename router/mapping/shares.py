"""A batch of an ordered source for an alias that shares invocations between two versions.

A key always falls to the same version of a mapping, as long as the weights stay as they are: the
records of a key are never handled by two. A batch that holds records of both is run in parts, one
after the other, and what became of the parts is one outcome.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from router.mapping.retry import is_spent
from router.model.function import FunctionVersion
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.record import Record

Choose = Callable[[str], FunctionVersion]
"""The version a key falls to. Raises `NotInvoked`."""


def all_one() -> Choose | None:
    """Asked who tells the version of a key: nobody, where all keys have one."""
    return None


class Part(msgspec.Struct, frozen=True):
    """The records of a batch that one version handles."""

    function: FunctionVersion
    indexes: tuple[int, ...]
    """In the batch, ascending."""


def draw_of(mapping: str, key: str) -> float:
    """The number from 0 up to 1 by which a key is drawn for a version, in one mapping."""
    text = f"{mapping}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=6, person=b"share").digest(), "big") / (1 << 48)


def split(records: Sequence[Record], shard: str, choose: Choose) -> list[Part]:
    """The parts of a batch, the one with its first record first.

    Records without a key keep the order of their shard: all of them are one key.
    """
    found: dict[str, tuple[FunctionVersion, list[int]]] = {}
    for index, record in enumerate(records):
        function = choose(record.key or shard)
        found.setdefault(function.version, (function, []))[1].append(index)
    return [Part(function, tuple(indexes)) for function, indexes in found.values()]


def is_over(outcome: Outcome, attempt: int, spec: MappingSpec) -> bool:
    """Whether the other parts would be run in vain, after the first one came to this.

    The whole batch comes again then, so that running them would only handle their records twice.
    Before a batch is given up all of it was run, and Kafka repeats nothing but what failed.
    """
    match outcome:
        case NotRun():
            return True
        case Failed() | PartlySucceeded(failed=(0, *_)):
            return not spec.retries_reported_only and not is_spent(attempt, spec)
        case _:
            return False


def merge(parts: Sequence[tuple[Part, Outcome]], size: int, spec: MappingSpec) -> Outcome:
    """What became of a batch of `size` records, of the parts that were run, the first one first.

    Where the batch made progress its rest starts afresh, whatever the rest came to.
    """
    done: set[int] = set()
    for part, outcome in parts:
        match outcome:
            case Succeeded():
                done.update(part.indexes)
            case PartlySucceeded(failed=failed):
                done.update(set(part.indexes) - {part.indexes[index] for index in failed})
    failed = tuple(sorted(set(range(size)) - done))
    if not failed:
        return Succeeded()
    is_progress = len(failed) < size if spec.retries_reported_only else failed[0] > 0
    if is_progress:
        return PartlySucceeded(failed)
    for kind in (NotRun, Failed):
        for _, outcome in parts:
            if isinstance(outcome, kind):
                return outcome
    return PartlySucceeded(failed)
