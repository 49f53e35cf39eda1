"""`AWS_LAMBDA_EXEC_WRAPPER` for Python: a script of the function starts the interpreter."""

from pathlib import Path

WRAPPED = """
import os, sys
def handler(event, context):
    return [os.environ.get("SET_BY_WRAPPER"), sys.flags.optimize]
"""


async def test_a_wrapper_starts_the_interpreter(bed):
    made = bed.function(WRAPPED, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"})
    path = Path(made.code_path, "wrap")
    path.write_text(
        '#!/bin/sh\nexport SET_BY_WRAPPER=yes\nprogram=$1\nshift\nexec "$program" -O "$@"\n'
    )
    path.chmod(0o755)
    if "mounts" not in bed._facts.mechanisms:
        made.environment["AWS_LAMBDA_EXEC_WRAPPER"] = str(path)
    reply = await bed.invoke(made)
    assert reply.payload == b'["yes", 1]', reply


async def test_a_wrapper_that_is_not_there(bed):
    made = bed.function(WRAPPED, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/none"})
    reply = await bed.invoke(made)
    assert reply.error_type == "Runtime.ExitError"
    assert reply.payload.endswith(b'Runtime exited with error: exit status 127"}')
    assert "/opt/none: does not exist" in reply.log_tail.decode()
