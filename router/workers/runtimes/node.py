"""How Node.js is started for a function: options, where modules are, which client speaks."""

from pathlib import Path

FOLDER = str(Path(__file__).with_name("node"))
"""Our runtime for Node.js: what AWS's managed runtime is there."""

CLIENT = "node_modules/aws-lambda-ric"
"""The official client, where a function or `runtime_clients` brings it."""

OLD_SPACE_PERCENT = 90
YOUNG_SPACE_PERCENT = 5
"""Shares of the memory; without them Node.js collects late, by the size of the host."""


def options(memory_mb: int, given: str) -> list[str]:
    """Options for a function with so much memory; `given`: its own, in `NODE_OPTIONS`."""
    chosen = ["--expose-gc", "--max-http-header-size=81920"]
    if "max-old-space-size" not in given and "max_old_space_size" not in given:
        chosen.append(f"--max-old-space-size={memory_mb * OLD_SPACE_PERCENT // 100}")
    if "max-semi-space-size" not in given and "max_semi_space_size" not in given:
        chosen.append(f"--max-semi-space-size={max(1, memory_mb * YOUNG_SPACE_PERCENT // 100)}")
    return chosen


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
