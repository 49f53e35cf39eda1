"""What a command loads: a router that runs keeps all of it in memory."""

import subprocess
import sys

LOOK = """
import sys
from router.cli import main
sys.argv = ["router", "run", "nowhere.yaml", "--data", "/proc/nowhere"]
try:
    main()
except SystemExit:
    pass
import router.app.router
assert "structlog" in sys.modules
print(*(name for name in ("rich", "pygments", "botocore", "samtranslator", "aiokafka")
        if name in sys.modules), "loaded")
from rich.table import Table
"""


def test_a_router_that_runs_loads_nothing_that_only_others_use():
    found = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=False
    )
    assert found.stdout.splitlines()[-1:] == ["loaded"], found
    assert "nowhere.yaml" in found.stderr  # it came as far as that
