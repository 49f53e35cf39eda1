"""An environment in an interpreter of its own, for functions whose variables are read at exec.

Run by the zygote's child after it has locked itself in: `python -s -S fresh.py FRAMES_FD START_FD`.
Without frames (-1) it speaks the Runtime API.
Standard library only.
"""

import importlib
import json
import os
import sys
import types

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


def main() -> None:
    """Take over the start message and serve, as a forked environment does."""
    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] == folder:
        del sys.path[0]  # nothing of ours may be importable by the function
    frames_fd, start_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(start_fd, "rb") as file:
        start = json.load(file)
    if frames_fd >= 0:
        os.set_inheritable(frames_fd, False)
    if WRAPPER in os.environ:  # it may have set more than the router did
        start["environment"] = dict(os.environ)
    package = types.ModuleType("_router_workers")
    package.__path__ = [folder]
    sys.modules["_router_workers"] = package
    sys.dont_write_bytecode = True
    bootstrap = importlib.import_module("_router_workers.bootstrap")
    error: BaseException | None = None
    try:
        bootstrap.prepare()
        bootstrap.enter(start)
        if frames_fd >= 0:
            bootstrap.run(start, frames_fd)
        else:
            importlib.import_module("_router_workers.api_client").run(start)
    except BaseException as caught:  # noqa: BLE001
        error = caught
    finally:
        bootstrap.leave(error)


if __name__ == "__main__":
    main()
