"""Waits between attempts: doubling, spread by a hash, never random."""

from hashlib import blake2b


def backoff_ms(attempt: int, wait_ms_min: int, wait_ms_max: int, seed: str) -> int:
    """Wait after the `attempt`-th failure in a row (from 1), between the two limits.

    Doubles up to four fifths of the ceiling; the spread, up to a quarter on top, keeps those
    that failed together from coming back together, also at the ceiling. A replay waits the same.
    """
    step_ms = min(
        wait_ms_min << min(max(attempt, 1) - 1, wait_ms_max.bit_length()), wait_ms_max * 4 // 5
    )
    digest = blake2b(f"{seed}\0{attempt}".encode(), digest_size=8).digest()
    return step_ms + int.from_bytes(digest, "big") % (step_ms // 4 + 1)
