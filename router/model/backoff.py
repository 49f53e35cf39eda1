"""Waits between attempts: doubling, with jitter that needs no random number."""

import hashlib


def backoff_ms(attempts: int, wait_ms_min: int, wait_ms_max: int, salt: str) -> int:
    """How long to wait after the `attempts`-th failure in a row (1 is the first).

    Doubles from `wait_ms_min` up to `wait_ms_max`, then takes off up to a fifth by a hash of
    `salt` and the count, so that lanes do not wake together and a replay waits the same.
    """
    doubled = wait_ms_min << min(max(attempts, 1) - 1, 32)
    wait_ms = min(doubled, wait_ms_max)
    digest = hashlib.blake2b(f"{salt}:{attempts}".encode(), digest_size=4).digest()
    return wait_ms - wait_ms * int.from_bytes(digest) // (5 << 32)
