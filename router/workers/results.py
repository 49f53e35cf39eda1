"""What a handler returns as JSON, as the Lambda runtime for Python writes it.

The same text as `json.dumps`, but: a Decimal is the number it shows, a named tuple an object, bytes
are UTF-8 text, and NaN is written. Runs in the child: standard library only.
"""

import decimal
import json
import os
from collections.abc import Callable
from typing import Any

from . import child_output

_make_writer: Any = getattr(json.encoder, "c_make_encoder", None)
"""None in an interpreter without it."""

_ascii_text = json.encoder.encode_basestring_ascii
_utf8_text: Any = getattr(json.encoder, "encode_basestring")  # noqa: B009  # not in the stubs

PLAIN = frozenset({str, int, float, bool, type(None)})


def encoder(runtime: str) -> Callable[[Any], str]:
    """How this runtime writes results. What it returns raises as the runtime's own would."""
    minor = runtime.removeprefix("python3.")
    ascii_only = minor.isdigit() and int(minor) < child_output.UTF8_RUNTIME_MINOR
    plain = _Plain(ascii_only=ascii_only)

    def encode(result: Any) -> str:
        try:
            text = plain.encode(result)
        except TypeError:
            return _encode_with_care(result, ascii_only=ascii_only)
        if "[" in text and _has_named(result):
            return _encode_with_care(result, ascii_only=ascii_only)
        return text

    return encode


class _Plain:
    """`json.JSONEncoder`, whose `encode` makes anew for each result what is kept here."""

    def __init__(self, *, ascii_only: bool) -> None:
        self._encoder = json.JSONEncoder(ensure_ascii=ascii_only)
        self._text = _ascii_text if ascii_only else _utf8_text
        self._write = self._writer()

    def encode(self, result: Any) -> str:
        """Raises what `json.JSONEncoder.encode` raises."""
        if self._write is None:
            return self._encoder.encode(result)
        try:
            return "".join(self._write(result, 0))
        except BaseException:
            self._write = self._writer()  # it takes what it was in for still being written
            raise

    def _writer(self) -> Any:
        if _make_writer is None:
            return None
        encoder = self._encoder
        return _make_writer(
            {},  # what is being written: something that is in itself is found out so
            encoder.default,
            self._text,
            encoder.indent,
            encoder.key_separator,
            encoder.item_separator,
            encoder.sort_keys,
            encoder.skipkeys,
            encoder.allow_nan,
        )


def _has_named(result: Any) -> bool:
    """Whether a named tuple is in it; `json` takes it for a list. `result` is a tree."""
    waiting = [result]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind in PLAIN:
            continue
        if kind is list:
            waiting += item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            if _is_named(item):
                return True
            waiting += item
    return False


def _is_named(value: Any) -> bool:
    return callable(getattr(value, "_asdict", None))


def _encode_with_care(result: Any, *, ascii_only: bool) -> str:
    """Slow, so only when there is need.

    The encoder of the standard library cannot write a number of ours, so each Decimal is written
    as a string nobody can guess and put in its place afterwards.
    """
    mark = os.urandom(16).hex()
    numbers: list[str] = []

    def simple(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, decimal.Decimal):
            numbers.append("NaN" if value.is_nan() else str(value))
            return f"{mark}{len(numbers) - 1}."
        if type(value) not in PLAIN and _is_named(value):
            value = value._asdict()
        if isinstance(value, dict):
            return {_key(name): simple(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [simple(item) for item in value]
        return value

    text = json.JSONEncoder(ensure_ascii=ascii_only).encode(simple(result))
    first, *parts = text.split(f'"{mark}')
    for part in parts:
        index, _, rest = part.partition('."')
        first += numbers[int(index)] + rest
    return first


def _key(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name
