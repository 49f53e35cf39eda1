"""What the ingress process gives up before the first stranger's byte.

It needs the sockets it has and nothing else: no file but its own code, no new connection, no
privilege. The mechanisms are those of functions (`workers/isolation`); what the host does not
have, or the operator's rung leaves out, is left out here too, and `router doctor` says so.
"""

import sysconfig
from collections.abc import Collection
from pathlib import Path

from router.workers.isolation import landlock, plain, seccomp

CODE_PATHS = ("stdlib", "platstdlib", "purelib", "platlib")
"""Of the interpreter: a traceback shows lines of code, and an encoding is loaded when it is met."""


def lock_in(wanted: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Give up what can be given up, of the mechanisms named; which they were, and what failed.

    To be called before there is a loop: what libuv finds refused from the start it does without.
    """
    steps = {"plain": _forgo, "landlock": _close_files, "seccomp": _close_calls}
    locked, failed = [], {}
    for name, step in steps.items():
        if name not in wanted:
            continue
        try:
            step()
        except OSError as error:
            failed[name] = str(error)
        else:
            locked.append(name)
    return locked, failed


def _forgo() -> None:
    plain.forgo_privileges()


def _close_files() -> None:
    version = landlock.abi()
    if not version:
        raise OSError("this kernel has no Landlock")
    here = Path(__file__).parents[1]
    folders = {str(here), *(sysconfig.get_path(name) for name in CODE_PATHS)}
    grants = [(folder, landlock.READ) for folder in sorted(folders) if Path(folder).is_dir()]
    ports = () if version >= landlock.ABI_NETWORK else None
    landlock.restrict(landlock.ruleset(grants, ports, version))


def _close_calls() -> None:
    seccomp.Filter(network_open=False).install()
