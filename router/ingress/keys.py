"""Partition and deduplication keys: a header, a form's field, a place in the JSON body.

`header.NAME` needs no look at the body; `cloudevent.NAME` is an attribute, in whichever mode it
came. `$.a.b[0].c` reads just that place: the decoder skips
over everything else without making objects of it, a quarter of the cost of a full parse. A path
of members alone is one call of it.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec

from router.ingress import cloudevents
from router.model.errors import ConfigError, RouterError
from router.model.media_types import FORM, FORM_BYTES_MAX, FORM_FIELDS_MAX, media_type

KEY_CHARACTERS_MAX: Final = 256
"""Longest partition key (Kinesis quota); a longer one is replaced by its digest."""

STEPS_MAX: Final = 16
"""Most steps of one body path."""

NEAR_ITEM_MAX: Final = 64
"""Up to this index an item of a list is read without making objects of those after it."""

PARTS_MAX: Final = 4
"""Most keys taken together."""

KEY_FORMS: Final = (
    "$.a.b[0] (JSON body), header.NAME, form.NAME (URL-encoded form), cloudevent.NAME (attribute)"
)
"""What a key may be, for people."""

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]")
_HEADER: Final = re.compile(r"header\.([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_FIELD: Final = re.compile(r"form\.([^\s=&]{1,128})")
_ATTRIBUTE: Final = re.compile(r"cloudevent\.([a-z0-9]{1,64})")


class BodyUnreadable(RouterError):
    """The body is not what the key is looked for in: JSON, or a form."""

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
        value = headers.get(self._name)
        # Said here too for what nearly always comes: it is asked for every record.
        return value if value and len(value) <= KEY_CHARACTERS_MAX else bounded(value)


class BodyKey:
    """A string, number or boolean of the JSON body; anything else there is no key."""

    def __init__(self, steps: tuple[str | int, ...]) -> None:
        self._steps = tuple(
            _Member(step) if isinstance(step, str) else _Item(step) for step in steps
        )
        self._texts, self._members = _members(steps, str), _members(steps, msgspec.Raw)

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        del headers
        if text is None:
            raise BodyUnreadable("the body is not UTF-8")
        if self._texts is not None:
            try:
                value = self._texts.decode(text)
                for _ in self._steps:
                    value = value.value
                return bounded(value)
            except (msgspec.MsgspecError, AttributeError, RecursionError):
                pass  # no text at that place, or no JSON: look closer
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


class FormKey:
    """The first field of a name in an URL-encoded form."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        if text is None or media_type(headers.get("content-type")) != FORM:
            raise BodyUnreadable("the body is not a form")
        if len(text) > FORM_BYTES_MAX:
            raise BodyUnreadable("the form is too large")
        try:
            fields = parse_qsl(text, errors="strict", max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            raise BodyUnreadable("the body is not a form that can be read") from None
        return bounded(next((value for name, value in fields if name == self._name), None))


class AttributeKey:
    """An attribute of a CloudEvent: of the body when it is structured, else of a header."""

    def __init__(self, name: str) -> None:
        self._member = BodyKey((name,))
        self._header = f"ce-{name}"

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        if cloudevents.is_structured(headers):
            return self._member.read(headers, text)
        given = headers.get(self._header)
        try:
            return bounded(given and cloudevents.decode_attribute(given))
        except ValueError:
            return None


class JointKey:
    """Several keys together; none when one of them is missing."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def read(self, headers: Mapping[str, str], text: str | None) -> str | None:
        """As `Key.read`."""
        values = [key.read(headers, text) for key in self._keys]
        if None in values:
            return None
        # With lengths, so that two that are cut elsewhere are still two.
        return bounded("".join(f"{len(value)}:{value}" for value in values if value))


def parse_keys(texts: str | Sequence[str]) -> Key:
    """One key, or several to be taken together. Raises `ConfigError`."""
    if isinstance(texts, str):
        return parse_key(texts)
    if not 1 <= len(texts) <= PARTS_MAX:
        raise ConfigError(f"a key has 1 to {PARTS_MAX} parts")
    return JointKey([parse_key(text) for text in texts])


def parse_key(text: str) -> Key:
    """A key as `KEY_FORMS` says. Raises `ConfigError`."""
    if match := _HEADER.fullmatch(text):
        return HeaderKey(match.group(1))
    if match := _FIELD.fullmatch(text):
        return FormKey(match.group(1))
    if match := _ATTRIBUTE.fullmatch(text):
        return AttributeKey(match.group(1))
    steps: list[str | int] = []
    if text.startswith("$"):
        place = 1
        while match := _STEP.match(text, place):
            name, index = match.groups()
            steps.append(name if name is not None else int(index))
            place = match.end()
        if steps and place == len(text) and len(steps) <= STEPS_MAX:
            return BodyKey(tuple(steps))
    raise ConfigError(f"{text!r} is not a key: write {KEY_FORMS}")


def bounded(key: str | None) -> str | None:
    """The key as it is kept: None when empty, a digest when too long.

    A digest, because two long keys that begin alike are still two keys.
    """
    if not key:
        return None
    if len(key) <= KEY_CHARACTERS_MAX:
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _members(steps: tuple[str | int, ...], shape: Any) -> msgspec.json.Decoder[Any] | None:
    """Reads a value at a path of members alone in one go; None for any other path."""
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
        self._near = _near_item(index) if index <= NEAR_ITEM_MAX else None

    def enter(self, place: Any) -> msgspec.Raw | None:
        if self._near is not None:
            value: msgspec.Raw | None = self._near.decode(place).value
            return value
        items = self._decoder.decode(place)
        return items[self._index] if self._index < len(items) else None


def _near_item(index: int) -> msgspec.json.Decoder[Any]:
    """Reads an item of a list and makes no objects of those that follow it."""
    names = [*(f"item_{before}" for before in range(index)), "value"]
    fields = [(name, msgspec.Raw, msgspec.field(default=None)) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Items", fields, array_like=True))


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
