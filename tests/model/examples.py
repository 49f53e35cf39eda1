"""How much is tried: `MODEL_EXAMPLES` examples of up to 60 steps for each machine.

500 in `make test`, 20,000 in `make sim-nightly`, a few in everyday runs.
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "10"))
STEPS = 60

MODEL = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
