"""Partition and deduplication keys: a header, or a place in the JSON body.

`header.NAME` needs no look at the body. `$.a.b[0].c` reads just that place: the decoder skips
over everything else without making objects of it, a quarter of the cost of a full parse. A path
of members alone is one call of it.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from router.model.errors import ConfigError, RouterError

KEY_CHARACTERS_MAX: Final = 256
"""Longest partition key (Kinesis quota); a longer one is replaced by its digest."""

STEPS_MAX: Final = 16
"""Most steps of one body path."""

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]")
_HEADER: Final = re.compile(r"header\.([!#$%&'*+.^_`|~0-9A-Za-z-]+)")


class BodyUnreadable(RouterError):
    """The body is not JSON, so a body path cannot be followed."""

    code = "body_unreadable"


class Key(Protocol):
    """Where a key is found in a request."""

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """The key; None when the request has none there. Raises `BodyUnreadable`.

        `headers` has lower-case names; `text` is the body, None when it is not UTF-8.
        """


class HeaderKey:
    """The value of a header."""

    def __init__(self, name: str) -> None:
        self._name = name.lower()

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        del text
        return bounded(headers.get(self._name))


class BodyKey:
    """A string, number or boolean of the JSON body; anything else there is no key."""

    def __init__(self, steps: tuple[str | int, ...]) -> None:
        self._steps = tuple(
            _Member(step) if isinstance(step, str) else _Item(step) for step in steps
        )
        self._members = _members(steps)

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        del headers
        if text is None:
            raise BodyUnreadable("the body is not UTF-8")
        try:
            return bounded(_scalar_text(self._find(text)))
        except (msgspec.DecodeError, RecursionError):
            raise BodyUnreadable("the body is not JSON") from None

    def _find(self, text: str) -> msgspec.Raw | None:
        if self._members is None:
            return self._follow(text)
        try:
            value = self._members.decode(text)
        except msgspec.ValidationError:
            # Maybe only the first of two members of one name is no object: look closer.
            return self._follow(text)
        for _ in self._steps:
            if value is None:
                return None
            value = value.value
        return value if isinstance(value, msgspec.Raw) else None

    def _follow(self, text: str) -> msgspec.Raw | None:
        place: str | msgspec.Raw | None = text
        for step in self._steps:
            try:
                place = step.enter(place)
            except msgspec.ValidationError:
                # Neither object nor list, so there is no such place. At the first step the
                # decoder stopped at once, and whether the rest is JSON is still to be seen.
                _SKIP.decode(text)
                return None
            if place is None:
                return None
        return place if isinstance(place, msgspec.Raw) else None


def parse_key(text: str) -> HeaderKey | BodyKey:
    """`header.NAME` or `$.a.b[0].c`. Raises `ConfigError`."""
    if match := _HEADER.fullmatch(text):
        return HeaderKey(match.group(1))
    steps: list[str | int] = []
    if text.startswith("$"):
        place = 1
        while match := _STEP.match(text, place):
            name, index = match.groups()
            steps.append(name if name is not None else int(index))
            place = match.end()
        if steps and place == len(text) and len(steps) <= STEPS_MAX:
            return BodyKey(tuple(steps))
    raise ConfigError(f"{text!r} is neither header.NAME nor a body path such as $.a.b[0].c")


def bounded(key: str | None) -> str | None:
    """The key as it is kept: None when empty, a digest when too long.

    A digest, because two long keys that begin alike are still two keys.
    """
    if not key:
        return None
    if len(key) <= KEY_CHARACTERS_MAX:
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _members(steps: tuple[str | int, ...]) -> msgspec.json.Decoder[Any] | None:
    """Reads a path of members alone in one go; None for any other path."""
    shape: Any = msgspec.Raw
    for step in reversed(steps):
        if not isinstance(step, str):
            return None
        field = msgspec.field(name=step, default=None)
        shape = msgspec.defstruct("Member", [("value", shape, field)], gc=False)
    return msgspec.json.Decoder(shape)


class _Member:
    """Into a member of an object."""

    def __init__(self, name: str) -> None:
        field = msgspec.field(name=name, default=None)
        shape = msgspec.defstruct("Member", [("value", msgspec.Raw, field)])
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape)

    def enter(self, place: Any) -> msgspec.Raw | None:
        value: msgspec.Raw | None = self._decoder.decode(place).value
        return value


class _Item:
    """Into an item of a list."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._decoder = msgspec.json.Decoder(list[msgspec.Raw])

    def enter(self, place: Any) -> msgspec.Raw | None:
        items = self._decoder.decode(place)
        return items[self._index] if self._index < len(items) else None


_SKIP: Final = msgspec.json.Decoder(msgspec.Raw)
"""Checks that a text is JSON and makes nothing of it."""


def _scalar_text(raw: msgspec.Raw | None) -> str | None:
    """Text of a JSON scalar. Numbers keep their digits: floats would merge large ids."""
    if raw is None:
        return None
    text = bytes(raw)
    match text[:1]:
        case b"{" | b"[" | b"n":
            return None
        case b'"':
            return msgspec.json.decode(text, type=str)
        case _:
            return text.decode()
