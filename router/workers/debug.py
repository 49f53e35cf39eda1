"""One invocation under a debugger, in the foreground, not isolated (`router invoke --debug`).

    python -s -S debug.py JOB_FD pdb|debugpy:PORT

JOB_FD holds a JSON document: what an environment is told at its start, the head of the invocation
and the event. The handler's reply goes to standard output, status 1 says that it failed. Standard
library only.
"""

import bdb
import importlib
import json
import os
import pdb  # noqa: T100
import shutil
import sys
import sysconfig
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

QUIT_STATUS = 3
"""The debugger was left before the handler had ended."""


def main() -> None:
    """Run the job and end as it did."""
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    if sys.path and sys.path[0] == folder:
        del sys.path[0]  # nothing of ours may be importable by the function
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        job = json.load(file)
    call = debugged(sys.argv[2])
    package = types.ModuleType("_router_workers")
    package.__path__ = [folder]
    sys.modules["_router_workers"] = package
    sys.dont_write_bytecode = True
    bootstrap = importlib.import_module("_router_workers.bootstrap")
    status = 1
    try:
        bootstrap.prepare()
        bootstrap.enter(job["start"])
        status = run(bootstrap, job, call)
    except bdb.BdbQuit:
        sys.stderr.write("router: the debugger was left; the handler did not end\n")
        status = QUIT_STATUS
    finally:
        shutil.rmtree(job["start"]["paths"]["tmp"], ignore_errors=True)
    sys.exit(status)


def run(bootstrap: Any, job: "dict[str, Any]", call: Callable[..., Any]) -> int:
    """Invoke the handler; the status to end with. Raises `BdbQuit`."""
    facts, header = job["start"]["facts"], job["header"]
    header["deadline_ms"] = time.monotonic() * 1000 + header["timeout_ms"]
    bootstrap.child_output.REQUEST_IDS.request_id = header["id"]
    try:
        handler = bootstrap.load_handler(facts["handler"])
        event, context = bootstrap.arguments(facts, header, job["event"].encode())
        result = call(handler, event, context)
        encode = bootstrap.result_encoder(facts["runtime"])
        reply = result if isinstance(result, bytes) else encode(result)
    except bdb.BdbQuit:
        raise
    except bootstrap.Fault as fault:
        traceback.print_exception(fault.__cause__ or fault.__context__)
        document = bootstrap.error_document(fault.text, fault.error_type, fault.trace, header["id"])
    except Exception as error:  # noqa: BLE001  # whatever a handler raises
        traceback.print_exc()
        document = bootstrap.exception_document(error, header["id"])
        if call is not CALLS["plain"] and sys.stdin.isatty():
            pdb.post_mortem(error.__traceback__)
    else:
        bootstrap.child_output.flush_streams()
        os.write(1, reply + b"\n")
        return 0
    bootstrap.child_output.flush_streams()
    os.write(1, json.dumps(document).encode() + b"\n")
    return 1


def debugged(mode: str) -> Callable[..., Any]:
    """What calls a handler so that it stops at its first line."""
    name, _, port = mode.partition(":")
    if name != "debugpy":
        return CALLS["pdb"]
    sys.path.append(sysconfig.get_paths()["purelib"])
    try:
        debugpy = importlib.import_module("debugpy")
    except ImportError:
        sys.exit(f"router: debugpy is not installed for {sys.executable}: pip install debugpy")
    debugpy.listen(("127.0.0.1", int(port)))
    sys.stderr.write(f"router: waiting for a debugger at 127.0.0.1:{port}\n")
    debugpy.wait_for_client()
    return CALLS["plain"]


class Debugger(pdb.Pdb):
    """Remembers whether it was left."""

    is_left = False

    def set_quit(self) -> None:
        """End the handler where it is."""
        self.is_left = True
        super().set_quit()


def _in_pdb(handler: Callable[..., Any], event: Any, context: Any) -> Any:
    debugger = Debugger()
    result = debugger.runcall(handler, event, context)
    if debugger.is_left:  # nothing the handler has returned
        raise bdb.BdbQuit
    return result


CALLS: "dict[str, Callable[..., Any]]" = {
    "pdb": _in_pdb,
    "plain": lambda handler, event, context: handler(event, context),
}
"""How a handler is called; an attached debugger needs no help."""


if __name__ == "__main__":
    main()
