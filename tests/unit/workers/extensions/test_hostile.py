"""Functions and extensions that turn on who supervises them, or on each other."""

import msgspec
import pytest

from tests.patience import until
from tests.unit.workers.conftest import Bed
from tests.unit.workers.extensions.test_environment import DUTIFUL, layer
from tests.unit.workers.test_bad_functions import children_of

pytestmark = pytest.mark.slow

HANDLER = """
import os, signal, time
def handler(event, context):
    if event == "good": return "fine"
    os.kill(os.getppid(), signal.{signal})
    {then}
"""

HUNTER = """
me, status, facts = register("INVOKE", "SHUTDOWN")
while True:
    if ask(me)["eventType"] != "INVOKE": sys.exit(0)
    if not os.path.exists("/tmp/hunted"):
        open("/tmp/hunted", "w").close()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) not in (os.getpid(), os.getppid()):
                try: os.kill(int(pid), signal.SIGKILL)
                except OSError: pass
"""


async def assert_whole(bed: Bed, function) -> None:
    """It answers again, and nothing of what it ran is left when it is gone."""
    reply = await bed.invoke(msgspec.structs.replace(function, timeout_ms=60_000), b'"good"')
    assert reply.payload == b'"fine"'
    bed.pool.retire(function.name)
    (zygote,) = bed.launcher.zygotes.known.values()
    await until(lambda: len(children_of(zygote.pid)) <= 1)  # its spare


@pytest.mark.parametrize(
    ("signal", "then", "error_type"),
    [
        ("SIGKILL", "time.sleep(60)", "Runtime.ExitError"),
        ("SIGSTOP", "time.sleep(60)", "Sandbox.Timedout"),
        ("SIGSTOP", "os._exit(1)", "Sandbox.Timedout"),
    ],
)
async def test_a_function_that_turns_on_its_supervisor(
    bed: Bed, signal: str, then: str, error_type: str
):
    source = HANDLER.format(signal=signal, then=then)
    timeout_ms = 60_000 if signal == "SIGKILL" else 1_000
    function = bed.function(source, layers_path=layer(bed, dutiful=DUTIFUL), timeout_ms=timeout_ms)
    reply = await bed.invoke(function, b'"bad"')
    assert reply.error_type == error_type
    await assert_whole(bed, function)


async def test_an_extension_that_kills_the_runtime(bed: Bed):
    source = "import time\ndef handler(event, context):\n"
    source += "    if event == 'good': return 'fine'\n    time.sleep(60)\n"
    function = bed.function(source, layers_path=layer(bed, hunter=HUNTER))
    reply = await bed.invoke(function, b'"bad"')
    assert reply.error_type in {"Runtime.ExitError", "Extension.Crash"}
    await assert_whole(bed, function)
