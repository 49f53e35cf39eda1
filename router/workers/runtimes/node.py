"""How Node.js is started for a function: options, where modules are, which client speaks."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FOLDER = str(Path(__file__).with_name("node"))
"""Our runtime for Node.js: what AWS's managed runtime is there."""

CLIENT = "node_modules/aws-lambda-ric"
"""The official client, where a function or `runtime_clients` brings it."""

_OFF: Final[dict[str, tuple[frozenset[str], dict[int, int]]]] = {
    "experimental-require-module": (frozenset({"20", "22", "24"}), {20: 17, 22: 0, 24: 0}),
    "experimental-detect-module": (frozenset({"22"}), {20: 10, 22: 0, 24: 0}),
}
"""Feature → runtimes in which Lambda has it off (AWS's guide to Node.js), and the first minor
version of each release that knows the option."""

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.")

OLD_SPACE_PERCENT = 90
YOUNG_SPACE_PERCENT = 5
"""Shares of the memory; without them Node.js collects late, by the size of the host."""


def options(memory_mb: int, given: str, features: Sequence[str] = ()) -> list[str]:
    """Options for a function with so much memory; `given`: its own, in `NODE_OPTIONS`.

    `features` are the experimental ones that are off unless it says otherwise (`switched_off`).
    """
    chosen = ["--expose-gc", "--max-http-header-size=81920"]
    if "max-old-space-size" not in given and "max_old_space_size" not in given:
        chosen.append(f"--max-old-space-size={memory_mb * OLD_SPACE_PERCENT // 100}")
    if "max-semi-space-size" not in given and "max_semi_space_size" not in given:
        chosen.append(f"--max-semi-space-size={max(1, memory_mb * YOUNG_SPACE_PERCENT // 100)}")
    chosen += [f"--no-{name}" for name in features if f"--{name}" not in given]
    return chosen


def switched_off(runtime_major: str, version: str) -> list[str]:
    """Experimental features off in Lambda, as Node.js of this version names them.

    One that it does not know is left alone: it would end at an unknown option.
    """
    match = _VERSION.match(version)
    if match is None:
        return []
    major, minor = int(match[1]), int(match[2])
    return [
        name
        for name, (runtimes, since) in _OFF.items()
        if runtime_major in runtimes and major in since and minor >= since[major]
    ]


def module_path(major: str, client: str) -> str:
    """`NODE_PATH`: layers, the client's folder with what it brings, the runtime, the code."""
    folders = [f"{{opt}}/nodejs/node{major}/node_modules", "{opt}/nodejs/node_modules"]
    folders += [f"{client}/node_modules"] * bool(client)
    return ":".join([*folders, "{runtime}/node_modules", "{runtime}", "{task}"])


def official_client(code_path: str, client: str) -> str:
    """The script of the official client, as the function sees it; empty where nobody brings it.

    The function's own comes first. Version 3 starts at `bin/index.mjs`, version 4 at `index.mjs`.
    """
    for host, inside in ((code_path, "{task}"), (client, client)):
        for script in ("bin/index.mjs", "index.mjs"):
            if host and Path(host, CLIENT, script).is_file():
                return f"{inside}/{CLIENT}/{script}"
    return ""
