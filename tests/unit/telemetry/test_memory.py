"""A process that has started leaves what it was made of alone."""

import subprocess
import sys

TRY = """
import gc
from router.telemetry import memory

memory.settle()
assert gc.get_freeze_count() > 1_000
assert gc.get_threshold()[0] == memory.YOUNG_OBJECTS_MAX
"""


def test_what_was_made_before_is_never_looked_at_again():
    subprocess.run([sys.executable, "-c", TRY], check=True, timeout=30)
