"""Which program runs a function: none on the fast path, else one that speaks the Runtime API."""

import os

from router.model.function import FunctionVersion
from router.model.hosting import is_custom
from router.workers.runtime_api.program import Program

CLIENT = "awslambdaric"
"""AWS's client for Python. A function that ships it gets it, as an image on Lambda does."""


def program_of(function: FunctionVersion, interpreter: str) -> Program | None:
    """What to run; None is the fast path. `interpreter` is the one for Python."""
    if is_custom(function.runtime):
        return Program(commands=(("{task}/bootstrap",), ("{opt}/bootstrap",)))
    if os.path.isdir(f"{function.code_path}/{CLIENT}"):  # noqa: PTH112  # a cold start waits for it
        return Program(
            commands=((interpreter, "-m", CLIENT, function.handler),),
            variables={"PYTHONPATH": "{runtime}"},
        )
    return None
