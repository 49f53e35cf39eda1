"""A JSON text, token by token and strictly.

Errors of a pattern come in the order of its text, text after it does not count, and how a number
is spelled matters: what a parser of whole documents returns is not enough.
"""

import re
from json import JSONDecodeError, JSONDecoder
from typing import Final, NamedTuple

from router.patterns.problems import PatternError

DEPTH_MAX: Final = 100
"""Deepest nesting of a pattern."""

_STRINGS: Final = JSONDecoder()
_BLANK: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD: Final = re.compile(r"true|false|null")
_CLOSING: Final = {"{": "}", "[": "]"}


class Token(NamedTuple):
    """`kind`: one of `{ } [ ]`, `key`, `string`, `number`, `word`; empty for an empty text.

    `text` is the string's value, or the literal as written.
    """

    kind: str
    text: str


class Tokens:
    """Reads one JSON value. Raises `PatternError` where the text is no JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []
        self._is_after_key = False
        self._is_after_value = False
        """Inside an object or array: a comma or its end comes next."""

    def next(self) -> Token:
        """The next token; a key's colon and the commas between values are read silently."""
        self._skip()
        if self._is_after_key:
            self._is_after_key = False
            return self._value()
        closing = _CLOSING[self._open[-1]] if self._open else ""
        if closing and self._peek() == closing:
            self._at += 1
            self._open.pop()
            self._is_after_value = True
            return Token(closing, closing)
        if not self._peek():
            if self._open:
                raise self._unexpected()
            return Token("", "")
        if self._is_after_value and self._open:
            self._expect(",")
            if self._peek() == closing:
                raise self._unexpected()
        if closing == "}":
            return self._key()
        return self._value()

    def _value(self) -> Token:
        start = self._at
        character = self._peek()
        self._is_after_value = True
        if character in _CLOSING:
            if len(self._open) == DEPTH_MAX:
                raise PatternError(f"Nested deeper than {DEPTH_MAX} levels")
            self._at += 1
            self._open.append(character)
            self._is_after_value = False
            return Token(character, character)
        if character == '"':
            return Token("string", self._string())
        for kind, spelling in (("number", _NUMBER), ("word", _WORD)):
            found = spelling.match(self._text, start)
            if found is not None:
                self._at = found.end()
                if self._peek().isalnum() or self._peek() in ("+", "-", ".", "_"):
                    raise self._unexpected()
                return Token(kind, found.group())
        raise self._unexpected()

    def _key(self) -> Token:
        if self._peek() != '"':
            raise self._unexpected()
        text = self._string()
        self._skip()
        self._expect(":")
        self._is_after_key = True
        return Token("key", text)

    def _string(self) -> str:
        try:
            text, self._at = _STRINGS.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            raise PatternError(f"{error.msg} at position {error.pos}") from None
        return str(text)

    def _skip(self) -> None:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found is not None else self._at

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._unexpected()
        self._at += 1
        self._skip()

    def _unexpected(self) -> PatternError:
        if not self._peek():
            return PatternError(f"Unexpected end of the text at position {self._at}")
        return PatternError(f"Unexpected character {self._peek()!r} at position {self._at}")
