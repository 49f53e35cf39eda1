"""The attacks as long as the settings' defaults make them: about fifteen minutes.

    python -m tests.attack [WORDS OF PYTEST]

Deadlines of 10, 60 and 75 seconds, a byte every ten, floods of half a minute.
"""

import os
import sys

import pytest

if __name__ == "__main__":
    os.environ["ATTACK_PACE"] = "long"
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/attack", *sys.argv[1:]]))
