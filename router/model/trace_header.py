"""The trace header (`X-Amzn-Trace-Id`), and in it how often a chain has run each function.

    Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=3:9f2c07be:0

`functions-and-invocation.md` 7.6. `Lineage` holds an entry for each function of the chain, the
first one first, with commas between them: invocations, the function, and a 0. An entry has the
shape that AWS's own lineage has, so that propagators which know that one hand it on, and is made
of characters that no SDK escapes. It is written by the router alone; a lineage that it could not
have written counts as none.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

LOOP_INVOCATIONS_MAX: Final = 16
"""Invocations of one function in one chain; the next one is stopped."""

COUNT_MAX: Final = 255
"""Counting ends here, for functions that may loop."""

LINEAGE_FUNCTIONS_MAX: Final = 32
"""Functions a lineage counts; those that a chain comes to after them are not counted."""

FIELDS_LENGTH_MAX: Final = 1_024
"""Longest text of all fields but the lineage that is handed on; else a trace begins."""

HEADER_LENGTH_MAX: Final = 2_048
"""Longest header that is read; a longer one counts as none. Those written here are shorter."""

FRESH_DIGITS: Final = 40
"""Random hexadecimal digits of a header that begins a trace."""

_ROOT: Final = re.compile(r"root=1-[0-9a-f]{8}-[0-9a-f]{24}", re.IGNORECASE)
_UNCOUNTED: Final = re.compile(
    r"root=1-[0-9a-f]{8}-[0-9a-f]{24}(?:;parent=[0-9a-f]{16})?(?:;sampled=[01])?",
    re.IGNORECASE | re.ASCII,
)
"""Nothing is counted in it: what requests to URLs begin with, and most that comes with an event."""

_ENTRY: Final = re.compile(r"([0-9]{1,5}):([0-9a-f]{8}):[0-9]{1,3}")


class Step(msgspec.Struct, frozen=True):
    """One more invocation in a chain."""

    header: str
    """With this invocation counted: what the function is given, and hands on."""
    before: int
    """Invocations of the same function in the chain before this one."""


def step(header: str, function_arn: str, fresh: Callable[[], str]) -> Step:
    """Count an invocation of a function (unqualified ARN) in the chain of a header, if any.

    A header without a sound `Root` begins a trace, with the fields of `fresh()` that it lacks.
    """
    function = _name_of(function_arn)
    if _UNCOUNTED.fullmatch(header) is not None:
        return Step(f"{header};Lineage=1:{function}:0", 0)
    fields, counts = _read(header)
    before = counts.get(function, 0)
    if before or len(counts) < LINEAGE_FUNCTIONS_MAX:
        counts[function] = min(before + 1, COUNT_MAX)
    return Step(";".join((*_rooted(fields, fresh), f"Lineage={_text(counts)}")), before)


def first_header(function_arn: str, fresh: str) -> str:
    """What `step` makes of no header, as most invocations have none; `fresh` begins a trace."""
    return f"{fresh};Lineage=1:{_name_of(function_arn)}:0"


def count_of(header: str, function_arn: str) -> int:
    """Invocations of a function in the chain of a header."""
    return _read(header)[1].get(_name_of(function_arn), 0)


def lineage_of(header: str) -> str:
    """The counts alone, as a text that is the same for the same counts; empty without any."""
    return _text(_read(header)[1]) if "lineage=" in header.lower() else ""


def common_header(headers: Iterable[str]) -> str:
    """The header of an invocation with several messages, whose lineage is the same.

    Theirs when it is one; else none of their traces is the invocation's, only the lineage.
    """
    found = list(dict.fromkeys(headers))
    if len(found) == 1:
        return found[0]
    lineage = lineage_of(found[0]) if found else ""
    return f"Lineage={lineage}" if lineage else ""


def fresh_header(wall_s: int, rest: str) -> str:
    """The header of a trace that begins, with a `fresh_rest` of its own."""
    return f"Root=1-{wall_s:08x}-{rest}"


def fresh_rest(digits: str) -> str:
    """What follows the time in such a header; `digits`: `FRESH_DIGITS`, random."""
    return f"{digits[:24]};Parent={digits[24:40]};Sampled=0"


def is_header(text: str) -> bool:
    """Whether a text can be handed on as one: nothing that would end a line, and not too long."""
    return len(text) <= HEADER_LENGTH_MAX and text.isascii() and text.isprintable()


def _rooted(fields: dict[str, str], fresh: Callable[[], str]) -> Iterable[str]:
    """The fields of a header with a root that is one; a parent without it is nobody's."""
    if _ROOT.fullmatch(fields.get("root", "")) is None:
        fields.pop("root", None)
        fields.pop("parent", None)
        fields = {**_fields(fresh()), **fields}
    if sum(map(len, fields.values())) + len(fields) > FIELDS_LENGTH_MAX:
        fields = _fields(fresh())
    return fields.values()


def _read(header: str) -> tuple[dict[str, str], dict[str, int]]:
    """Fields by name that are not the lineage, as they came, and the counts by function."""
    if not header or not is_header(header):
        return {}, {}
    fields = _fields(header)
    lineage = fields.pop("lineage", "")
    return fields, _counts(lineage.partition("=")[2]) if lineage else {}


def _fields(header: str) -> dict[str, str]:
    """`Name=value` by name in small letters; what is none is left out, as is the second of two."""
    found: dict[str, str] = {}
    for part in header.split(";"):
        field = part.strip()
        name, _, value = field.partition("=")
        if name and value:
            found.setdefault(name.lower(), field)
    return found


def _counts(lineage: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in lineage.split(","):
        read = _ENTRY.fullmatch(entry)
        if read is None:
            return {}
        if len(counts) < LINEAGE_FUNCTIONS_MAX:
            counts[read[2]] = min(int(read[1]), COUNT_MAX)
    return counts


def _text(counts: dict[str, int]) -> str:
    return ",".join(f"{count}:{function}:0" for function, count in counts.items())


@functools.lru_cache(maxsize=1024)
def _name_of(function_arn: str) -> str:
    """A function in a lineage: eight hexadecimal digits, the same in every router."""
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]
