"""What the function of `windows.yaml` says about its windows."""

import json
import re

from examples.common.ledger import function_logs
from examples.common.process import Router

WINDOW = re.compile(r"window (\{.*\})")


def read_windows(router: Router) -> list[dict]:
    """What the function printed at the end of each window."""
    return [
        json.loads(match.group(1))
        for text in function_logs(router)
        for match in WINDOW.finditer(text)
    ]
