"""One target under atheris: `python -m tests.fuzz.child TARGET [libFuzzer options] FOLDER…`.

Time and memory are watched here and confirmed in a process without instrumentation before they
count: coverage alone makes code several times slower.
"""

import importlib
import resource
import subprocess
import sys
import tempfile
import time

import atheris

from tests.fuzz.bounds import BYTES_MAX, CPU_S_MAX, TooLarge, TooSlow

CONFIRM_S = 400
"""By the clock; less than `HANG_S`."""


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Watched:
    """A target's `one_input` with an eye on what it costs."""

    def __init__(self, name, target):
        self.name = name
        self.run = target.one_input
        self.oracle = getattr(target, "oracle", None)
        self.cpu_s_max = CPU_S_MAX
        self.bytes_max = BYTES_MAX

    def __call__(self, data):
        peak, started = peak_rss_bytes(), time.process_time()
        self.run(data)
        took = time.process_time() - started
        grown = peak_rss_bytes() - peak
        if took > self.cpu_s_max:
            self.confirm(data, TooSlow)
            self.cpu_s_max = took * 1.5
        if grown > self.bytes_max:
            self.confirm(data, TooLarge)
            self.bytes_max = grown * 2
        if self.oracle is not None:
            self.oracle(data)

    def confirm(self, data, error):
        """Raise when the input is over the bounds without us, too."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            command = [sys.executable, "-m", "tests.fuzz", "--target", self.name, "--replay"]
            done = subprocess.run(
                [*command, "--input", file.name],
                capture_output=True, text=True, timeout=CONFIRM_S, check=False,
            )  # fmt: skip
        if done.returncode:
            raise error(done.stdout[-2_000:] + done.stderr[-2_000:])


def main():
    name = sys.argv[1]
    with atheris.instrument_imports(include=["router"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], Watched(name, target))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
