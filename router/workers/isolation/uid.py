"""Rung 3: an own user for each function.

Old kernels get from it what Landlock gives newer ones; everywhere it adds file ownership, a process
limit that counts per function, and a peer the api listener can tell from an operator.
"""

import os


def own(path: str, uid: int) -> None:
    """Give `path` (the environment's `/tmp`) to the function's user. Before `become`."""
    os.chown(path, uid, uid)


def become(uid: int) -> None:
    """Be `uid`, user and group, real, effective and saved, without supplementary groups."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getgroups():
        raise PermissionError(f"still {os.getresuid()} after changing to user {uid}")
