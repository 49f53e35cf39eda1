"""What one input may cost, measured where nothing is instrumented."""

import time
import tracemalloc

CPU_S_MAX = 0.05
"""CPU time of one input. Of the process, not of the clock: a busy machine changes nothing."""

BYTES_MAX = 10 * 1000 * 1000
"""Memory of one input, at its peak."""

TRIES = 5


class TooSlow(AssertionError):
    """An input took longer than any may."""


class TooLarge(AssertionError):
    """An input took more memory than any may."""


def cpu_s(run, data, tries=TRIES):
    """The least CPU time of some tries: what the input costs, not what disturbed it."""
    least = float("inf")
    for _ in range(tries):
        started = time.process_time()
        run(data)
        least = min(least, time.process_time() - started)
        if least <= CPU_S_MAX:
            break
    return least


def peak_bytes(run, data):
    """Memory an input takes at its peak."""
    tracemalloc.start()
    try:
        run(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check(target, data):
    """Run an input and its oracle. Raises what is wrong with either."""
    target.one_input(data)  # caches are filled
    if (took := cpu_s(target.one_input, data)) > CPU_S_MAX:
        raise TooSlow(f"{took * 1000:.0f} ms of CPU")
    if (size := peak_bytes(target.one_input, data)) > BYTES_MAX:
        raise TooLarge(f"{size / 1e6:.1f} MB")
    oracle = getattr(target, "oracle", None)
    if oracle is not None:
        oracle(data)
