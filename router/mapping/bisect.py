"""Where a batch is cut (`event-source-mappings.md` 3.4)."""


def halving_point(size: int) -> int:
    """Index where the second half starts: for an odd size the first half is the smaller one.

    `size` is at least 2, so neither half is empty (D8).
    """
    return size // 2


def with_parts(ends: tuple[int, ...], *new_ends: int) -> tuple[int, ...]:
    """The parts of a split batch, nearest first, go ahead of those that wait already (D8)."""
    return (*new_ends, *ends)
