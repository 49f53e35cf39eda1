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
import pdb  # noqa: T100  # the debugger is what this is for
import shutil
import site
import sys
import time
import types
from collections.abc import Callable
from typing import Any

OWN_FILES = (__file__, bdb.__file__, pdb.__file__)

QUIT_STATUS = 3
"""The debugger was left before the handler had ended."""


def main() -> None:
    """Run the job and end as it did."""
    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] == folder:
        del sys.path[0]  # nothing of ours may be importable by the function
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        job = json.load(file)
    package = types.ModuleType("_router_workers")
    package.__path__ = [folder]
    sys.modules["_router_workers"] = package
    sys.dont_write_bytecode = True
    bootstrap = importlib.import_module("_router_workers.bootstrap")
    status = 1
    try:
        call, folders = debugged(sys.argv[2])
        bootstrap.prepare()
        bootstrap.enter(job["start"])
        sys.path += folders
        status = run(bootstrap, job, call)
    except Left:
        sys.stderr.write("router: the debugger was left; the handler did not end\n")
        status = QUIT_STATUS
    finally:
        shutil.rmtree(job["start"]["paths"]["tmp"], ignore_errors=True)
    sys.exit(status)


def run(bootstrap: Any, job: "dict[str, Any]", call: Callable[..., Any]) -> int:
    """Invoke the handler; the status to end with. Raises `Left`."""
    facts, header = job["start"]["facts"], job["header"]
    header["deadline_ms"] = time.monotonic() * 1000 + header["timeout_ms"]
    bootstrap.child_output.REQUEST_IDS.request_id = header["id"]
    encode = bootstrap.results.encoder(facts["runtime"])
    try:
        handler = bootstrap.load_handler(facts["handler"])
    except bootstrap.Fault as fault:
        document = bootstrap.error_document(fault.text, fault.error_type, fault.trace, "")
    except Exception as error:  # noqa: BLE001  # whatever a module raises
        document = bootstrap.exception_document(error, "")
    else:
        watched = Watched(handler, call)
        payload = job["event"].encode()
        kind, _, reply = bootstrap.answer(watched, encode, facts, header, payload)
        bootstrap.child_output.flush_streams()
        if watched.error is not None and sys.stdin.isatty():
            pdb.post_mortem(watched.error.__traceback__)
        os.write(1, reply + b"\n")
        return 0 if kind == bootstrap.wire.RESULT else 1
    bootstrap.child_output.write_error(document)
    bootstrap.child_output.flush_streams()
    os.write(1, encode(document).encode() + b"\n")
    return 1


class Left(BaseException):
    """The debugger was left before the handler had ended."""


class Watched:
    """A handler under the debugger, whose exception is kept to be looked at."""

    def __init__(self, handler: Callable[..., Any], call: Callable[..., Any]) -> None:
        self._handler = handler
        self._call = call
        self.error: Exception | None = None

    def __call__(self, event: Any, context: Any) -> Any:
        """Invoke it; what it raises shows its own frames alone."""
        try:
            return self._call(self._handler, event, context)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename in OWN_FILES:
                trace = trace.tb_next
            self.error = error.with_traceback(trace)
            raise self.error  # noqa: B904  # itself


def debugged(mode: str) -> "tuple[Callable[..., Any], list[str]]":
    """What calls a handler under the debugger, and folders the debugger is found in."""
    name, _, port = mode.partition(":")
    if name != "debugpy":
        return CALLS["pdb"], []
    before = list(sys.path)
    site.main()  # the packages of the interpreter, also in a virtual environment
    folders = [folder for folder in sys.path if folder not in before]
    try:
        debugpy = importlib.import_module("debugpy")
    except ImportError:
        sys.exit(f"router: debugpy is not installed for {sys.executable}: pip install debugpy")
    debugpy.listen(("127.0.0.1", int(port)))
    sys.stderr.write(f"router: waiting for a debugger at 127.0.0.1:{port}\n")
    debugpy.wait_for_client()
    return CALLS["plain"], folders


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
        raise Left
    return result


CALLS: "dict[str, Callable[..., Any]]" = {
    "pdb": _in_pdb,
    "plain": lambda handler, event, context: handler(event, context),
}
"""How a handler is called; an attached debugger needs no help."""


if __name__ == "__main__":
    main()
