"""Hypothesis tries the same examples in every run: a failure is of the change that shows it.

`--hypothesis-profile=explore` (`make sim-nightly`) tries others each time; what it finds becomes a
test of its own.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")
