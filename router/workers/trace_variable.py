"""The variable `_X_AMZN_TRACE_ID`, new with each invocation, for Python, C code and subprocesses.

`os.environ` sets it by `setenv`, and GNU's C library keeps every text that a variable ever had: 160
bytes an invocation that never come back, and each is looked for among all before it. So the text is
written into memory of our own, which `putenv` makes part of the environment as it is.
Runs in the child: standard library only.
"""

import ctypes
import os

NAME = "_X_AMZN_TRACE_ID"

TEXT_BYTES_MAX = 4_096
"""Longest text that is set so; the router's are shorter."""

_KEY = NAME.encode()
_HEAD = _KEY + b"="
_END = b"\0"


class TraceVariable:
    """Two places for the text, in turn: a thread may be reading the one that was set before."""

    def __init__(self) -> None:
        size = len(_HEAD) + TEXT_BYTES_MAX + len(_END)
        self._places = [ctypes.create_string_buffer(_HEAD, size) for _ in range(2)]
        self._current, self._other = (
            (memoryview(place).cast("B"), ctypes.addressof(place)) for place in self._places
        )
        # With the interpreter's lock held, as what `os.environ` calls.
        self._put = ctypes.PyDLL(None).putenv
        self._put.argtypes = [ctypes.c_void_p]

    def set(self, text: "str | None") -> None:
        """Give it this text; None: there is no such variable. Raises `ValueError` for no text."""
        variables = os.environ
        if text is None:
            variables.pop(NAME, None)
            return
        data = text.encode("utf-8", "surrogateescape")
        known = getattr(variables, "_data", None)
        if known is None or len(data) > TEXT_BYTES_MAX or _END in data:
            variables[NAME] = text
            return
        self._current, self._other = self._other, self._current
        place, address = self._current
        line = _HEAD + data + _END
        place[: len(line)] = line
        self._put(address)
        known[_KEY] = data


VARIABLE = TraceVariable()
