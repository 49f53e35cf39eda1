"""Bytecode beside a package's modules, made once when the package is kept.

Environments cannot write to their code, so without it every cold start would compile every
module again (139 ms instead of 16 for 60 modules). Compiling never runs the code; it happens in
a child without environment or input, because source may be made to overwhelm a compiler.
Bytecode names its source's time and size, so it is never taken for other source.
"""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Final

FILES_MIN: Final = 8
"""Fewer modules compile faster than a child starts."""

COMPILE_S_MAX: Final = 60
"""Longest time compiling one package may take; what is done by then is kept."""

MEMORY_BYTES_MAX: Final = 2 << 30

_SCRIPT: Final = f"""
import compileall, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES_MAX}, {MEMORY_BYTES_MAX}))
resource.setrlimit(resource.RLIMIT_CPU, ({COMPILE_S_MAX}, {COMPILE_S_MAX}))
compileall.compile_dir(sys.argv[1], quiet=2)
"""


def add_bytecode(folder: Path) -> None:
    """Compile a package for this router's own Python. What does not compile is left as it is."""
    modules = (path for path in folder.rglob("*.py") if path.is_file())
    if sum(1 for _module, _number in zip(modules, range(FILES_MIN), strict=False)) < FILES_MIN:
        return
    command = [sys.executable, "-I", "-S", "-c", _SCRIPT, str(folder)]
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        subprocess.run(  # noqa: S603  fixed words and a folder of ours
            command,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMPILE_S_MAX,
            check=False,
        )
