"""The runtimes Lambda has names for, and what kind of program each one is.

Names as in the service model of Lambda; the retired ones as AWS refuses them at create.
"""

import enum
import re
from typing import Final


class Family(enum.StrEnum):
    """Runtimes that are run the same way."""

    PYTHON = "python"
    NODEJS = "nodejs"
    JAVA = "java"
    RUBY = "ruby"
    DOTNET = "dotnet"
    PROVIDED = "provided"
    """The function brings the program: a file named `bootstrap`."""


RETIRED: Final = frozenset(
    {
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "python2.7",
        "python3.6",
        "python3.7",
        "ruby2.5",
        "ruby2.7",
    }
)
"""Known, and refused for every function made or changed today."""

RUNTIMES: Final = (
    *(f"python3.{minor}" for minor in range(8, 16)),
    *(f"nodejs{major}.x" for major in range(16, 27, 2)),
    *("java8", "java8.al2", "java8.al2023", "java11", "java11.al2023"),
    *("java17", "java17.al2023", "java21", "java25"),
    *("ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0"),
    *("dotnet6", "dotnet8", "dotnet10"),
    *("provided", "provided.al2", "provided.al2023"),
)
"""What a function may name."""

CUSTOM: Final = "custom"
"""A runtime of one's own, by ARN: known to the model, and for nothing that runs here."""

KNOWN: Final = frozenset({*RUNTIMES, *RETIRED, CUSTOM})
"""Every name of the model."""

_NAME = re.compile(r"([a-z]+)(\d[\d.]*)?")


def family_of(runtime: str) -> Family | None:
    """The kind of a runtime's program; None for a name that no function may have."""
    match = _NAME.match(runtime)
    return Family(match[1]) if match is not None and runtime in RUNTIMES else None


def version_of(runtime: str) -> str:
    """The version in a name, such as `3.12`, `22` or `17`; empty where there is none."""
    match = _NAME.match(runtime)
    return (match[2] or "").rstrip(".") if match is not None else ""
